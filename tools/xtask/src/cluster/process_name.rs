//! The processes of a cluster: their programs and databases.

use std::fmt;

/// A member of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProcessName {
    Gateway,
    Orders,
    Inventory,
    Payments,
    Notify,
}

impl ProcessName {
    /// All of them, in the order in which they are started.
    pub const ALL: [Self; 5] =
        [Self::Gateway, Self::Inventory, Self::Orders, Self::Payments, Self::Notify];

    /// The services: all but the gateway, which is another firm's.
    pub const SERVICES: [Self; 4] = [Self::Orders, Self::Inventory, Self::Payments, Self::Notify];

    /// The name of its program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Gateway => "gateway-simulator",
            Self::Orders => "order-service",
            Self::Inventory => "inventory-service",
            Self::Payments => "payment-service",
            Self::Notify => "notify-service",
        }
    }

    /// Its public port and its admin port in docker-compose.yml, which the documents name.
    pub fn documented_ports(self) -> [Option<u16>; 2] {
        match self {
            Self::Gateway => [Some(8005), None],
            Self::Orders => [Some(8001), Some(9001)],
            Self::Inventory => [Some(8002), Some(9002)],
            Self::Payments => [Some(8003), Some(9003)],
            Self::Notify => [Some(8004), Some(9004)],
        }
    }

    /// The name of its database; the gateway has none.
    pub fn database(self) -> Option<&'static str> {
        match self {
            Self::Gateway => None,
            Self::Orders => Some("orders"),
            Self::Inventory => Some("inventory"),
            Self::Payments => Some("payments"),
            Self::Notify => Some("notify"),
        }
    }
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.program())
    }
}
