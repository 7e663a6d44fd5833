//! This service's settings, read once.

use shared::config::{self, CheckSettings, InvalidSetting, ServiceSettings};

use crate::seed::{self, ProductSeed};

/// Owns products, stock and reservations.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct InventorySettings {
    /// What every service has.
    #[command(flatten)]
    pub common: ServiceSettings,
    /// Products to begin with. What is known already is left as it is.
    #[arg(long, env = "SEED", value_enum, default_value_t = SeedKind::None)]
    #[arg(num_args = 0..=1, default_missing_value = "demo")]
    pub seed: SeedKind,
    /// So many products for load tests, `load-0001` and on, each with plenty of stock.
    #[arg(long, env = "SEED_PRODUCTS", default_value_t = 0)]
    pub seed_products: u32,
}

/// Products to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SeedKind {
    /// No products are introduced.
    None,
    /// The demo's small shop.
    Demo,
}

impl CheckSettings for InventorySettings {
    fn check(&self) -> Result<(), InvalidSetting> {
        self.common.check()?;
        config::within("SEED_PRODUCTS", self.seed_products.into(), 0, 100_000)
    }
}

impl InventorySettings {
    /// The products to begin with.
    pub fn seeds(&self) -> Vec<ProductSeed> {
        let mut seeds = match self.seed {
            SeedKind::None => vec![],
            SeedKind::Demo => seed::demo(),
        };
        seeds.extend(seed::load(self.seed_products));
        seeds
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::domain::naming::Quantity;

    fn settings(args: &[&str]) -> InventorySettings {
        let always = ["inventory-service", "--database-url", "postgres://me@db/inventory"];
        InventorySettings::try_parse_from(always.iter().chain(args)).unwrap()
    }

    fn skus(args: &[&str]) -> Vec<String> {
        settings(args).seeds().iter().map(|product_seed| product_seed.sku.to_string()).collect()
    }

    #[test]
    fn there_is_nothing_to_begin_with_unless_asked_for() {
        assert!(skus(&[]).is_empty());
        assert!(skus(&["--seed", "none"]).is_empty());
    }

    #[test]
    fn the_demo_has_something_for_each_way_that_an_order_can_go() {
        let seeds = settings(&["--seed"]).seeds();
        assert_eq!(seeds.len(), 8);
        let count = |sku: &str| {
            let seed = seeds.iter().find(|seed| seed.sku.as_str() == sku).unwrap();
            seed.quantity.map_or(0, Quantity::get)
        };
        assert_eq!((count("desk-lamp"), count("first-edition"), count("unobtainium")), (500, 1, 0));
        assert_eq!(skus(&["--seed", "demo"]), skus(&["--seed"]));
    }

    #[test]
    fn load_tests_get_as_many_products_as_they_ask_for() {
        let skus = skus(&["--seed-products", "10001"]);
        assert_eq!((skus.len(), &*skus[0], &*skus[10_000]), (10_001, "load-0001", "load-10001"));
    }

    #[test]
    fn too_many_products_are_refused() {
        let error = settings(&["--seed-products", "100001"]).check().unwrap_err();
        assert_eq!(error.to_string(), "SEED_PRODUCTS: 100001 is not between 0 and 100000");
    }
}
