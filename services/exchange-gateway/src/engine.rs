use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thunes_binance::{BinanceClient, TimeEstimate, TimeSync};
use thunes_proto::position::v1::position_service_client::PositionServiceClient;
use thunes_proto::risk::v1::Stop;
use thunes_proto::risk::v1::risk_service_client::RiskServiceClient;
use thunes_rpc::Client;
use thunes_runtime::clock;
use thunes_store::{Database, Outbox};
use thunes_types::Decimal;
use tokio::sync::{Notify, watch};

use crate::config::GatewayConfig;
use crate::domain::fence::Gate;
use crate::domain::filters::SymbolRules;
use crate::error::GatewayError;
use crate::health::Health;
use crate::metrics::Figures;
use crate::reconciling::Reconciling;
use crate::stopping::HaltOrder;
use crate::store::OrderRow;

/// The gateway without its wires.
pub(crate) struct Engine {
    pub config: GatewayConfig,
    pub database: Database,
    pub outbox: Outbox,
    pub figures: Figures,
    pub exchange: BinanceClient,
    pub risk: RiskServiceClient<Client>,
    pub position: PositionServiceClient<Client>,
    /// Names this run.
    pub incarnation: String,
    gate: Mutex<Gate>,
    /// Moves with every change of the gate.
    gate_changes: watch::Sender<u64>,
    time: Mutex<TimeSync>,
    rules: Mutex<HashMap<String, SymbolRules>>,
    prices: Mutex<HashMap<String, (Decimal, i64)>>,
    /// Average prices, of the symbols whose filters use one, and when each was read, by the boot clock.
    averages: Mutex<HashMap<String, (Decimal, i64)>>,
    /// Orders that have not ended, or whose fills position does not have: what risk must keep reserved.
    live: Mutex<HashMap<String, OrderRow>>,
    /// One turn per client_order_id.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    pub stream_connected: AtomicBool,
    /// The baseline is recorded and the orders of the run before are being asked for.
    pub ready: AtomicBool,
    /// What the last run left in doubt is known.
    pub resolved_since_start: AtomicBool,
    pub fills_waiting: Notify,
    pub doubts_waiting: Notify,
    /// The highest halted epoch that is on this gateway's disk.
    pub persisted_epoch: AtomicI64,
    pub reconciling: Reconciling,
    pub health: Health,
    /// Every halt that holds, as risk told last; None before its first word, and while another gateway has the account.
    halts: watch::Sender<Option<Vec<HaltOrder>>>,
    /// How far each halt is carried out, by its epoch.
    stops: Mutex<BTreeMap<i64, Stop>>,
    /// Counts the news of those.
    pub stop_news: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        config: GatewayConfig,
        database: Database,
        outbox: Outbox,
        figures: Figures,
        exchange: BinanceClient,
        risk: RiskServiceClient<Client>,
        position: PositionServiceClient<Client>,
        highest_halted_epoch: i64,
        reconciling: Reconciling,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            database,
            outbox,
            figures,
            exchange,
            risk,
            position,
            incarnation: uuid::Uuid::new_v4().simple().to_string(),
            gate: Mutex::new(Gate::restored(highest_halted_epoch)),
            gate_changes: watch::Sender::new(0),
            time: Mutex::new(TimeSync::new()),
            rules: Mutex::new(HashMap::new()),
            prices: Mutex::new(HashMap::new()),
            averages: Mutex::new(HashMap::new()),
            live: Mutex::new(HashMap::new()),
            turns: Mutex::new(HashMap::new()),
            stream_connected: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            resolved_since_start: AtomicBool::new(false),
            fills_waiting: Notify::new(),
            doubts_waiting: Notify::new(),
            persisted_epoch: AtomicI64::new(highest_halted_epoch),
            reconciling,
            health: Health::new(),
            halts: watch::Sender::new(None),
            stops: Mutex::new(BTreeMap::new()),
            stop_news: AtomicU64::new(0),
        })
    }

    /// Reads or changes the gate; whoever waits for it is woken.
    pub(crate) fn with_gate<T>(&self, change: impl FnOnce(&mut Gate) -> T) -> T {
        let result = change(&mut lock(&self.gate));
        self.gate_changes.send_modify(|n| *n += 1);
        result
    }

    /// Reads the gate.
    pub(crate) fn gate<T>(&self, read: impl FnOnce(&Gate) -> T) -> T {
        read(&lock(&self.gate))
    }

    pub(crate) fn watch_gate(&self) -> watch::Receiver<u64> {
        self.gate_changes.subscribe()
    }

    pub(crate) fn time<T>(&self, use_it: impl FnOnce(&mut TimeSync) -> T) -> T {
        use_it(&mut lock(&self.time))
    }

    pub(crate) fn time_estimate(&self) -> Option<TimeEstimate> {
        lock(&self.time).estimate(clock::boot_us())
    }

    /// The exchange's time now, and the receive window for everything that does not open a position.
    ///
    /// # Errors
    /// Before the first reading of the exchange's clock.
    pub(crate) fn stamp(&self) -> Result<(i64, i64), GatewayError> {
        let estimate = self.time_estimate().ok_or(GatewayError::ClockUnknown)?;
        Ok((
            estimate.exchange_ms(clock::boot_us()),
            self.config.closing_recv_window_ms,
        ))
    }

    pub(crate) fn rules(&self, symbol: &str) -> Option<SymbolRules> {
        lock(&self.rules).get(symbol).cloned()
    }

    pub(crate) fn set_rules(&self, rules: HashMap<String, SymbolRules>) {
        *lock(&self.rules) = rules;
    }

    /// Risk told which halts hold; None when they are not for this gateway to carry out.
    pub(crate) fn set_halts(&self, halts: Option<Vec<HaltOrder>>) {
        self.halts.send_if_modified(|known| {
            let news = *known != halts;
            *known = halts;
            news
        });
    }

    pub(crate) fn watch_halts(&self) -> watch::Receiver<Option<Vec<HaltOrder>>> {
        self.halts.subscribe()
    }

    pub(crate) fn with_stops<T>(&self, use_them: impl FnOnce(&mut BTreeMap<i64, Stop>) -> T) -> T {
        use_them(&mut lock(&self.stops))
    }

    pub(crate) fn last_price(&self, symbol: &str) -> Option<Decimal> {
        lock(&self.prices).get(symbol).map(|(price, _)| *price)
    }

    /// None when it is older than that.
    pub(crate) fn last_price_within(&self, symbol: &str, age_max_ms: i64) -> Option<Decimal> {
        let known = lock(&self.prices).get(symbol).copied();
        known
            .filter(|(_, at_ms)| clock::now_ms() - at_ms <= age_max_ms)
            .map(|(price, _)| price)
    }

    pub(crate) fn set_average(&self, symbol: &str, average: Decimal) {
        lock(&self.averages).insert(symbol.to_owned(), (average, clock::boot_ms()));
    }

    /// None once it is so old that it says nothing of what the exchange measures by: then that is left to the exchange.
    pub(crate) fn average_price(&self, symbol: &str) -> Option<Decimal> {
        let (average, read_at) = lock(&self.averages).get(symbol).copied()?;
        (clock::boot_ms() - read_at < AVERAGE_HOLDS_MS).then_some(average)
    }

    /// Orders of ours on a symbol that have not ended.
    pub(crate) fn open_orders(&self, symbol: &str) -> usize {
        let open = |order: &&OrderRow| order.symbol == symbol && order.state().is_ok_and(|state| !state.is_terminal());
        lock(&self.live).values().filter(open).count()
    }

    pub(crate) fn prices(&self) -> Vec<(String, Decimal, i64)> {
        lock(&self.prices)
            .iter()
            .map(|(symbol, (price, at_ms))| (symbol.clone(), *price, *at_ms))
            .collect()
    }

    pub(crate) fn set_price(&self, symbol: &str, price: Decimal, at_ms: i64) {
        lock(&self.prices).insert(symbol.to_owned(), (price, at_ms));
    }

    pub(crate) fn live(&self) -> Vec<OrderRow> {
        lock(&self.live).values().cloned().collect()
    }

    pub(crate) fn keep_live(&self, order: &OrderRow) {
        lock(&self.live).insert(order.client_order_id.clone(), order.clone());
    }

    pub(crate) fn drop_live(&self, client_order_id: &str) {
        lock(&self.live).remove(client_order_id);
    }

    /// The turn of one client_order_id: who has it locked is the only one to work on that order.
    pub(crate) fn turn(&self, client_order_id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = lock(&self.turns);
        if turns.len() > TURNS_KEPT {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(client_order_id.to_owned()).or_default())
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }
}

/// An average older than this denies no order.
const AVERAGE_HOLDS_MS: i64 = 30_000;
/// Beyond this many, turns that nobody holds are dropped.
const TURNS_KEPT: usize = 1024;
