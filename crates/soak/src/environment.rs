use std::path::PathBuf;

use thunes_supervisor::embedded::{Plan, Service};

/// The fence's times in a crash test, short so that a second holds many leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    pub lease_ms: i64,
    pub recv_window_ms: i64,
    pub uncertainty_ms: i64,
}

impl Windows {
    /// A gateway renews every 300 ms, so a lease must be longer.
    pub const SHORT: Self = Self {
        lease_ms: 700,
        recv_window_ms: 500,
        uncertainty_ms: 200,
    };
}

/// An environment for crash tests: short windows, limits that nobody meets, prices that walk.
pub fn crash_plan(program: impl Into<PathBuf>, data_dir: impl Into<PathBuf>, seed: u64, windows: Windows) -> Plan {
    let mut plan = Plan::isolated(program, data_dir, seed);
    plan.failpoint_hits = Some(plan.data_dir.clone());
    let text = |number: i64| number.to_string();
    let (lease, window, uncertainty) = (
        text(windows.lease_ms),
        text(windows.recv_window_ms),
        text(windows.uncertainty_ms),
    );
    for (service, key, value) in [
        (Service::Risk, "risk.lease_ms", lease.as_str()),
        (Service::Risk, "risk.recv_window_ms", &window),
        (Service::Risk, "risk.uncertainty_ms", &uncertainty),
        (Service::Risk, "risk.limits.order_notional_max", "1000000"),
        (Service::Risk, "risk.limits.position_notional_max", "100000000"),
        (Service::Risk, "risk.limits.daily_loss_max", "100000000"),
        (Service::Risk, "risk.limits.orders_per_minute_max", "100000"),
        (Service::ExchangeGateway, "gateway.recv_window_ms", &window),
        (Service::ExchangeGateway, "gateway.uncertainty_ms", &uncertainty),
        (Service::ExchangeGateway, "gateway.closing_recv_window_ms", "1000"),
        (Service::ExchangeGateway, "gateway.exchange.order_timeout_ms", "800"),
        (Service::ExchangeSim, "sim.price_tick_ms", "250"),
        (Service::ExchangeSim, "sim.balances", "USDT=10000000"),
        (Service::ExchangeSim, "sim.request_weight_per_minute", "10000000"),
        (Service::ExchangeSim, "sim.orders_per_10s", "1000000"),
        (Service::ExchangeSim, "sim.orders_per_day", "10000000"),
    ] {
        plan = plan.setting(service, key, value);
    }
    plan
}
