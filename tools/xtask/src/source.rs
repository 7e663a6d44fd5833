//! The option that selects the source of the servers (native, Docker, given), shared by commands.

use devstack::ServerSource;

/// Where broker, database, registry and mail sink come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StackSource {
    /// From the environment if it names them, else as local processes.
    #[default]
    Auto,
    /// As local processes, from packages.
    Native,
    /// In containers.
    Docker,
}

impl StackSource {
    /// The same, in the words of the stack.
    pub fn source(self) -> ServerSource {
        match self {
            Self::Auto => ServerSource::Auto,
            Self::Native => ServerSource::Native,
            Self::Docker => ServerSource::Docker,
        }
    }
}
