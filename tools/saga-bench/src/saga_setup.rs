//! Sets up a run: tables, codecs, products, and the outside world's answers.

use std::time::Duration;

use inventory_service::{
    domain::{
        inventory::InventoryCommand,
        naming::{Quantity, Sku},
        product::{ProductCommand, ProductOffer},
    },
    request::StockRequest,
};
use notify_service::jobs::email::{EmailJob, SmtpClient, SmtpServer, SmtpSettings, StepLimits};
use order_service::commands::{CancelOrders, PlaceOrders};
use payment_service::{
    domain::payment::{Currency, GatewayCharge, Money},
    gateway::{ChargeFinding, ChargeOutcome, GatewayClient, GatewaySettings, RefundOutcome},
    jobs::{ChargeJob, RefundJob, ResolveJob},
};
use shared::{
    backoff::BackoffSchedule,
    breaker::{BreakerSettings, CircuitBreaker},
    clock::Clock,
    codec::{AvroCodec, CodecSettings, RecordKind},
    consumer::RecordHandler,
    db,
    health::ProcessHealth,
    jobs::{ClaimedJob, DoubtLimit, JobPolicy},
};
use tokio_util::sync::CancellationToken;

use crate::{
    instant_job::InstantJob,
    order_mix,
    service_core::{PATIENCE, ServiceCore, database},
    service_parts::{
        NotifyHandler, NotifyPart, OrderHandler, OrderPart, PaymentHandler, PaymentPart,
        SteppedBatcher, StockHandler, StockPart,
    },
};

/// Where a run works.
#[derive(Clone, Debug)]
pub struct SagaSettings {
    /// The four databases: of order-, inventory-, payment- and notify-service. Empty ones get their
    /// tables.
    pub databases: [String; 4],
    /// The schema registry, asked at the start only.
    pub registry_url: String,
    /// The prefix of the registry's subjects.
    pub prefix: String,
    /// Commands, messages, jobs and published messages in one transaction, at most.
    pub batch: usize,
}

/// Pieces of each product in stock: no run sells out.
const PIECES: i32 = 1_000_000;
/// The gateway is not asked: nothing has to listen here.
const NOWHERE: &str = "127.0.0.1:9";

impl SagaSettings {
    /// Makes the tables of all services that are missing.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        let migrations = [
            &order_service::MIGRATIONS,
            &inventory_service::MIGRATIONS,
            &payment_service::MIGRATIONS,
            &notify_service::MIGRATIONS,
        ];
        for (url, migrations) in self.databases.iter().zip(migrations) {
            let pool = db::pool(&database(url), "migrations")?;
            db::migrate(&pool, migrations).await?;
            pool.close().await;
        }
        Ok(())
    }

    pub(crate) async fn orders(&self) -> anyhow::Result<OrderPart> {
        let codec = self.codec::<OrderHandler>(order_service::NAME).await?;
        let app = order_service::app::App { codec, clock: Clock::System };
        let place = PlaceOrders {
            app: app.clone(),
            patience: time::Duration::hours(24),
            total_max: 99_999_999,
        };
        let cancel = CancelOrders { app: app.clone(), window: time::Duration::hours(24) };
        let core = self.core(order_service::NAME, 0, OrderHandler { app })?;
        let placing = SteppedBatcher::new(&core, "placing", place);
        let cancelling = SteppedBatcher::new(&core, "cancelling", cancel);
        Ok(OrderPart { core, placing, cancelling })
    }

    /// Also makes the products, whose messages the relay publishes.
    pub(crate) async fn stock(&self) -> anyhow::Result<StockPart> {
        let codec = self.codec::<StockHandler>(inventory_service::NAME).await?;
        let app = inventory_service::app::App { codec, clock: Clock::System };
        let products = products()?;
        let core = self.core(inventory_service::NAME, 1, StockHandler { app: app.clone() })?;
        let mut tx = db::begin(&core.pool).await?;
        let outcome = app.execute(&mut tx, &products).await?;
        let saved = outcome.effects.save(&mut tx, &core.wakers).await?;
        tx.commit().await?;
        core.wakers.after_commit(saved);
        Ok(StockPart { core })
    }

    pub(crate) async fn payments(&self) -> anyhow::Result<PaymentPart> {
        let codec = self.codec::<PaymentHandler>(payment_service::NAME).await?;
        let app = payment_service::app::App { codec, clock: Clock::System };
        let health = ProcessHealth::default().component("gateway");
        let breaker = CircuitBreaker::new("gateway", BreakerSettings::default(), health);
        let settings = GatewaySettings {
            url: format!("http://{NOWHERE}").parse()?,
            api_key: None,
            call_limit: PATIENCE,
            keys_kept: Duration::from_hours(23),
        };
        let gateway = GatewayClient::new(settings, breaker)?;
        let core = self.core(payment_service::NAME, 2, PaymentHandler { app: app.clone() })?;
        let charge = ChargeJob::new(app.clone(), gateway.clone());
        let resolve = ResolveJob::new(app.clone(), gateway.clone());
        let refund = RefundJob::new(app, gateway);
        let mut charges = core.worker(InstantJob { inner: charge, answer: charged }, &policy());
        let mut resolves =
            core.worker(InstantJob { inner: resolve, answer: not_charged }, &policy());
        let mut refunds = core.worker(InstantJob { inner: refund, answer: refunded }, &policy());
        charges.step().await?;
        resolves.step().await?;
        refunds.step().await?;
        Ok(PaymentPart { core, charges, resolves, refunds })
    }

    pub(crate) async fn notify(&self) -> anyhow::Result<NotifyPart> {
        let codec = self.codec::<NotifyHandler>(notify_service::NAME).await?;
        let mail_domain = "shop.example".to_owned();
        let app = notify_service::app::App { codec, clock: Clock::System, mail_domain };
        let smtp = SmtpSettings {
            server: SmtpServer::parse(&format!("smtp://{NOWHERE}"))?,
            hello_name: "shop.example".to_owned(),
            limits: StepLimits::RFC_5321,
            parked_max: 1,
        };
        let email = EmailJob {
            app: app.clone(),
            from: "Shop <orders@shop.example>".parse()?,
            smtp: SmtpClient::new(smtp, CancellationToken::new()),
            doubts: DoubtLimit { max: 3, pause: Duration::from_mins(1) },
        };
        let core = self.core(notify_service::NAME, 3, NotifyHandler { app })?;
        let mut mails = core.worker(InstantJob { inner: email, answer: mailed }, &policy());
        mails.step().await?;
        Ok(NotifyPart { core, mails })
    }

    fn core<H: shared::consumer::MessageHandler>(
        &self,
        service: &'static str,
        place: usize,
        handler: H,
    ) -> Result<ServiceCore<H>, sqlx::Error> {
        ServiceCore::new(service, (&self.databases[place], self.batch), handler)
    }

    /// Every service may write every record here: then each knows all schemas from the start.
    async fn codec<H: RecordHandler>(&self, service: &'static str) -> anyhow::Result<AvroCodec> {
        let writes: Vec<RecordKind> = contract::record_kinds();
        let settings = CodecSettings {
            source: contract::source(service),
            registry_url: self.registry_url.clone(),
            prefix: self.prefix.clone(),
        };
        let health = ProcessHealth::default().component("schemas");
        let stop = CancellationToken::new();
        Ok(AvroCodec::connect(&settings, &writes, &H::reads(), &health, &stop).await?)
    }
}

fn products() -> anyhow::Result<Vec<StockRequest>> {
    let names = (0..order_mix::PRODUCTS).map(|n| (order_mix::product(n), PIECES));
    names
        .chain([(order_mix::OUT_OF_STOCK.to_owned(), 0)])
        .map(|(name, pieces)| {
            let invalid = || anyhow::anyhow!("{name} cannot be a product");
            let offer = ProductOffer::new(name.clone(), 1_250, "EUR".to_owned(), true)
                .ok()
                .ok_or_else(invalid)?;
            let command = ProductCommand::Introduce { offer, quantity: Quantity::new(pieces) };
            let sku = Sku::parse(&name).ok_or_else(invalid)?;
            let command = InventoryCommand::Product { sku, command };
            Ok(StockRequest { command, trace: None })
        })
        .collect()
}

/// Nothing is tried twice here.
fn policy() -> JobPolicy {
    JobPolicy {
        backoff: BackoffSchedule::hold(),
        attempts_max: Some(3),
        attempt_limit: PATIENCE,
        concurrency_max: 1,
        poll: PATIENCE,
    }
}

fn text(job: &ClaimedJob, name: &str) -> String {
    job.payload[name].as_str().unwrap_or_default().to_owned()
}

fn charged(job: &ClaimedJob) -> ChargeOutcome {
    let currency = Currency::parse(&text(job, "currency"));
    match (text(job, "method") == order_mix::DECLINED, currency) {
        (false, Some(currency)) => {
            let minor = job.payload["amount_minor"].as_i64().unwrap_or_default();
            let id = format!("ch_{}", job.key);
            ChargeOutcome::Charged(GatewayCharge { id, amount: Money { minor, currency } })
        }
        _declined => ChargeOutcome::Declined { code: "card_declined".to_owned() },
    }
}

fn not_charged(_job: &ClaimedJob) -> ChargeFinding {
    ChargeFinding::NotCharged
}

fn refunded(job: &ClaimedJob) -> RefundOutcome {
    RefundOutcome::Refunded { id: format!("re_{}", job.key) }
}

fn mailed(job: &ClaimedJob) -> String {
    text(job, "message_id")
}
