//! The broker: the one that is given, or that of the system that is found.

use clap::{ArgMatches, Args, Command, Error, FromArgMatches, parser::ValueSource};
use shared::{
    config::{BrokerSettings, CheckSettings as _},
    kafka::KafkaSettings,
    topics::ReplicaCount,
};

use crate::which_system::FoundSystem;

/// The client's name at the broker.
const CLIENT_ID: &str = "sagactl";

/// The settings of the broker, which are the services' own, and whether its address was given.
#[derive(Clone, Debug)]
pub(crate) struct BrokerChoice {
    settings: BrokerSettings,
    is_given: bool,
}

impl BrokerChoice {
    /// Whether an option or a variable says where the broker is.
    pub(crate) fn is_given(&self) -> bool {
        self.is_given
    }

    pub(crate) fn replicas(&self) -> ReplicaCount {
        self.settings.replicas()
    }

    /// The broker that is given, or the usual one.
    pub(crate) fn settings(&self) -> anyhow::Result<KafkaSettings> {
        self.settings.check()?;
        Ok(self.settings.settings(CLIENT_ID)?)
    }

    /// The broker of this system. How it is spoken to is as given.
    pub(crate) fn settings_of(&self, system: &FoundSystem) -> anyhow::Result<KafkaSettings> {
        let (brokers, prefix) =
            (&system.addresses.kafka_brokers, &system.addresses.kafka_topic_prefix);
        let (brokers, prefix) = (brokers.clone(), prefix.clone());
        Ok(KafkaSettings { brokers, prefix, ..self.settings()? })
    }
}

impl FromArgMatches for BrokerChoice {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let settings = BrokerSettings::from_arg_matches(matches)?;
        let source = matches.value_source("kafka_brokers");
        let is_given = source.is_some_and(|source| source != ValueSource::DefaultValue);
        Ok(Self { settings, is_given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for BrokerChoice {
    fn augment_args(command: Command) -> Command {
        BrokerSettings::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        BrokerSettings::augment_args_for_update(command)
    }
}
