//! The health of a process: each part reports that it is ready, or why not.
//!
//! **Architecture invariant:** a service that lost a dependency is not ready, but alive: it waits
//! and recovers by itself. Only a fatal error ends it.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

/// Everything that has to be up before this process is ready.
#[derive(Clone, Debug, Default)]
pub struct ProcessHealth(Arc<RwLock<BTreeMap<&'static str, ComponentState>>>);

/// The state of a part: ready, perhaps with a remark; or the reason why it is not ready.
pub(crate) type ComponentState = Result<Cow<'static, str>, String>;

/// One part's entry in the health of the process.
#[derive(Clone, Debug)]
pub struct HealthComponent {
    health: ProcessHealth,
    name: &'static str,
}

impl ProcessHealth {
    /// Adds a part; it is not ready until it says so.
    pub fn component(&self, name: &'static str) -> HealthComponent {
        let component = HealthComponent { health: self.clone(), name };
        component.not_ready("starting");
        component
    }

    /// Whether every part is ready.
    pub fn is_ready(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().all(Result::is_ok)
    }

    /// The name and state of each part.
    pub fn report(&self) -> BTreeMap<&'static str, ComponentState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl HealthComponent {
    /// The part can work.
    pub fn ready(&self) {
        self.set(Ok(Cow::Borrowed("ready")));
    }

    /// The part can work, with a remark for people.
    pub fn ready_though(&self, remark: impl Into<Cow<'static, str>>) {
        self.set(Ok(remark.into()));
    }

    /// The part cannot work, and why.
    pub(crate) fn not_ready(&self, reason: &str) {
        self.set(Err(reason.to_owned()));
    }

    fn set(&self, state: ComponentState) {
        let known = self.health.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.get(self.name) == Some(&state) {
            return;
        }
        drop(known);
        self.health.0.write().unwrap_or_else(PoisonError::into_inner).insert(self.name, state);
    }
}
