mod sink;
mod tracing_cost;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;
use thunes_proto::gateway::v1::gateway_service_client::GatewayServiceClient;
use thunes_proto::gateway::v1::{GetGatewayStatusRequest, SubmitOrderRequest};
use thunes_proto::risk::v1::risk_service_client::RiskServiceClient;
use thunes_proto::risk::v1::{ActivateKillSwitchRequest, DeactivateKillSwitchRequest, ValidateTradeRequest};
use thunes_proto::types::v1::Side;
use thunes_rpc::{Client, connect, deadline};
use thunes_supervisor::embedded::{Environment, Plan, Service};

use crate::call::Context;

/// How fast this machine does it: order round trips, and activations until the fence is closed.
#[derive(Debug, Args)]
pub struct MeasureArgs {
    /// Orders for each number of callers.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    orders: u32,
    /// Activations of the kill-switch, each until it is fenced.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    activations: u32,
    /// Callers at the same time, for the second round of orders.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    callers: u32,
    /// Measure what tracing costs instead: orders through two environments in turn, one of which exports telemetry.
    #[arg(long)]
    tracing: bool,
    /// Where it exports to; left out, to a receiver in this process that drops everything.
    #[arg(long, value_name = "URL", requires = "tracing")]
    otlp_endpoint: Option<String>,
}

const CALL_LIMIT: Duration = Duration::from_secs(30);
const READY_WITHIN: Duration = Duration::from_secs(20);
/// A minute: longer than anything that is timed here.
const MICROSECONDS_MAX: u64 = 60_000_000;

#[derive(Debug, Serialize)]
struct Latency {
    count: u64,
    p50_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

impl From<&Histogram<u64>> for Latency {
    fn from(times: &Histogram<u64>) -> Self {
        Self {
            count: times.len(),
            p50_us: times.value_at_quantile(0.5),
            p99_us: times.value_at_quantile(0.99),
            p999_us: times.value_at_quantile(0.999),
            max_us: times.max(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Orders {
    callers: u32,
    orders_per_second: u64,
    round_trip: Latency,
}

#[derive(Debug, Serialize)]
struct Measured {
    debug_build: bool,
    environment_up_ms: u64,
    validate_trade: Latency,
    orders: Vec<Orders>,
    activation_until_fenced: Latency,
    /// Highest resident memory of each process, in KiB.
    peak_memory_kib: BTreeMap<String, u64>,
    peak_memory_total_kib: u64,
}

/// Starts an environment of its own, measures, and takes it down.
pub async fn run(args: MeasureArgs, context: &Context) -> anyhow::Result<u8> {
    let folder = std::env::temp_dir().join(format!("thunes-measure-{}", std::process::id()));
    if args.tracing {
        let cost = tracing_cost::measure(&args, &folder).await;
        let _ = std::fs::remove_dir_all(&folder);
        let cost = cost?;
        context.out.result(&cost, || cost.text())?;
        return Ok(0);
    }
    let measured = measure(&args, &folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    let measured = measured?;
    context.out.result(&measured, || text(&measured))?;
    Ok(0)
}

async fn measure(args: &MeasureArgs, folder: &Path) -> anyhow::Result<Measured> {
    let program = std::env::current_exe().context("this program does not know its own file")?;
    let started = Instant::now();
    let environment = Environment::start(plan(program, folder)).await?;
    let gateway = GatewayServiceClient::new(connect(&environment.url(Service::ExchangeGateway))?);
    let risk = RiskServiceClient::new(connect(&environment.url(Service::Risk))?);
    wait_until_open(&gateway).await?;
    let environment_up_ms = u64::try_from(started.elapsed().as_millis())?;
    let validate_trade = validations(risk.clone(), args.orders).await?;
    let mut orders = Vec::new();
    for callers in [1, args.callers] {
        orders.push(order_round(&gateway, callers, args.orders).await?);
    }
    let activation = activations(risk, &gateway, args.activations).await?;
    let peak_memory_kib = peak_memory(&environment);
    environment.stop_all().await;
    Ok(Measured {
        debug_build: cfg!(debug_assertions),
        environment_up_ms,
        validate_trade,
        orders,
        activation_until_fenced: activation,
        peak_memory_total_kib: peak_memory_kib.values().sum(),
        peak_memory_kib,
    })
}

/// Limits that do not get in the way of measuring.
fn plan(program: PathBuf, folder: &Path) -> Plan {
    Plan::isolated(program, folder, 1)
        .setting(Service::Risk, "risk.limits.orders_per_minute_max", "1000000")
        .setting(Service::Risk, "risk.limits.position_notional_max", "100000000")
        .setting(Service::Risk, "risk.limits.daily_loss_max", "100000000")
        .setting(Service::ExchangeSim, "sim.orders_per_10s", "1000000")
        .setting(Service::ExchangeSim, "sim.request_weight_per_minute", "10000000")
}

async fn wait_until_open(gateway: &GatewayServiceClient<Client>) -> anyhow::Result<()> {
    let mut gateway = gateway.clone();
    let begun = Instant::now();
    loop {
        let status = gateway
            .get_gateway_status(deadline(GetGatewayStatusRequest {}, CALL_LIMIT))
            .await?
            .into_inner();
        if status.opening_allowed {
            return Ok(());
        }
        if begun.elapsed() > READY_WITHIN {
            bail!(
                "the gateway does not allow opening: {}",
                status.opening_refused_reason_code
            );
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn validations(mut risk: RiskServiceClient<Client>, count: u32) -> anyhow::Result<Latency> {
    let mut times = Histogram::new_with_max(MICROSECONDS_MAX, 3)?;
    for _ in 0..count {
        let request = ValidateTradeRequest {
            symbol: "BTCUSDT".into(),
            quote_amount: "100".into(),
            side: Side::Buy as i32,
            strategy_id: "measure".into(),
        };
        let begun = Instant::now();
        risk.validate_trade(deadline(request, CALL_LIMIT)).await?;
        times.saturating_record(microseconds(begun));
    }
    Ok(Latency::from(&times))
}

async fn order_round(gateway: &GatewayServiceClient<Client>, callers: u32, orders: u32) -> anyhow::Result<Orders> {
    let (times, elapsed) = timed_orders(gateway, callers, orders).await?;
    Ok(Orders {
        callers,
        orders_per_second: per_second(times.len(), elapsed)?,
        round_trip: Latency::from(&times),
    })
}

fn per_second(count: u64, elapsed: Duration) -> anyhow::Result<u64> {
    Ok(count * 1000 / u64::try_from(elapsed.as_millis())?.max(1))
}

async fn timed_orders(
    gateway: &GatewayServiceClient<Client>,
    callers: u32,
    orders: u32,
) -> anyhow::Result<(Histogram<u64>, Duration)> {
    let begun = Instant::now();
    let share = orders.div_ceil(callers);
    let mut tasks = Vec::new();
    for _ in 0..callers {
        tasks.push(tokio::spawn(one_caller(gateway.clone(), share)));
    }
    let mut times = Histogram::new_with_max(MICROSECONDS_MAX, 3)?;
    for task in tasks {
        times.add(task.await??)?;
    }
    Ok((times, begun.elapsed()))
}

/// Buys twice and sells once what a purchase surely brought, so that there is always something to sell.
async fn one_caller(mut gateway: GatewayServiceClient<Client>, orders: u32) -> anyhow::Result<Histogram<u64>> {
    let mut times = Histogram::new_with_max(MICROSECONDS_MAX, 3)?;
    for index in 0..orders {
        let (side, amount) = if index % 3 == 2 {
            (Side::Sell, "10")
        } else {
            (Side::Buy, "20")
        };
        let request = SubmitOrderRequest {
            symbol: "BTCUSDT".into(),
            side: side as i32,
            quote_amount: amount.into(),
            strategy_id: "measure".into(),
            ..Default::default()
        };
        let begun = Instant::now();
        let answer = gateway.submit_order(deadline(request, CALL_LIMIT)).await?.into_inner();
        times.saturating_record(microseconds(begun));
        if !answer.accepted {
            let order = answer.order.unwrap_or_default();
            bail!(
                "an order was not accepted, so nothing is measured: {} {}",
                order.reason_code,
                order.reason
            );
        }
    }
    Ok(times)
}

/// Each activation finds a gateway that holds a lease; the time is the caller's, the answer included.
async fn activations(
    mut risk: RiskServiceClient<Client>,
    gateway: &GatewayServiceClient<Client>,
    count: u32,
) -> anyhow::Result<Latency> {
    let mut times = Histogram::new_with_max(MICROSECONDS_MAX, 3)?;
    for _ in 0..count {
        let request = ActivateKillSwitchRequest {
            reason: "measurement".into(),
            ..Default::default()
        };
        let begun = Instant::now();
        let answer = risk
            .activate_kill_switch(deadline(request, CALL_LIMIT))
            .await?
            .into_inner();
        times.saturating_record(microseconds(begun));
        if !answer.changed || answer.gateways.is_empty() {
            bail!("an activation changed nothing or had no gateway to fence");
        }
        let request = DeactivateKillSwitchRequest {
            reason: "measurement".into(),
            ..Default::default()
        };
        risk.deactivate_kill_switch(deadline(request, CALL_LIMIT)).await?;
        wait_until_open(gateway).await?;
    }
    Ok(Latency::from(&times))
}

fn microseconds(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(MICROSECONDS_MAX)
}

fn peak_memory(environment: &Environment) -> BTreeMap<String, u64> {
    let peak = |service: Service| {
        let pid = environment.target(service).ok()?.pid()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib = line.split_whitespace().next()?.parse().ok()?;
        Some((service.name().to_owned(), kib))
    };
    environment.services().into_iter().filter_map(peak).collect()
}

fn text(measured: &Measured) -> String {
    let row = |what: String, l: &Latency| {
        format!(
            "{what:<44} p50 {:>8} µs   p99 {:>8} µs   p99.9 {:>8} µs   max {:>8} µs   n {}\n",
            l.p50_us, l.p99_us, l.p999_us, l.max_us, l.count
        )
    };
    let mut lines = row("ValidateTrade".into(), &measured.validate_trade);
    for orders in &measured.orders {
        let what = format!(
            "order round trip, {} caller(s), {}/s",
            orders.callers, orders.orders_per_second
        );
        lines += &row(what, &orders.round_trip);
    }
    lines += &row("activation until fenced".into(), &measured.activation_until_fenced);
    lines += &format!("environment up: {} ms\n", measured.environment_up_ms);
    for (service, kib) in &measured.peak_memory_kib {
        lines += &format!("peak memory of {service}: {kib} KiB\n");
    }
    lines += &format!("peak memory of all: {} KiB\n", measured.peak_memory_total_kib);
    if measured.debug_build {
        lines += "This is a debug build: the numbers say little.\n";
    }
    lines
}
