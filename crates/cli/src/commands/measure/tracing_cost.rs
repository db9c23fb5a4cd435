//! What tracing costs: the same orders through two environments in turn, so that whatever else the machine does meets both.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;
use thunes_proto::gateway::v1::gateway_service_client::GatewayServiceClient;
use thunes_rpc::{Client, connect};
use thunes_supervisor::embedded::{Environment, Service};

use super::sink::Sink;
use super::{Latency, MICROSECONDS_MAX, MeasureArgs, per_second, plan, timed_orders, wait_until_open};

/// Turns of each environment; the orders are shared out evenly.
const TURNS: u32 = 10;
/// Orders before anything counts: connections, caches, the first pages of the databases.
const WARM_UP_ORDERS: u32 = 50;

#[derive(Debug, Serialize)]
struct Side {
    orders_per_second: u64,
    round_trip: Latency,
}

#[derive(Debug, Serialize)]
struct Compared {
    callers: u32,
    without: Side,
    with: Side,
    /// With through without: below 1 tracing costs.
    throughput_ratio: f64,
    /// With through without: above 1 tracing costs.
    p50_ratio: f64,
    p99_ratio: f64,
}

#[derive(Debug, Serialize)]
pub struct TracingCost {
    debug_build: bool,
    otlp_endpoint: String,
    /// Counted by our own receiver; None where another one was named.
    spans_received: Option<u64>,
    compared: Vec<Compared>,
}

struct Timed {
    gateway: GatewayServiceClient<Client>,
    times: Histogram<u64>,
    elapsed: Duration,
}

impl Timed {
    fn new(gateway: &GatewayServiceClient<Client>) -> anyhow::Result<Self> {
        Ok(Self {
            gateway: gateway.clone(),
            times: Histogram::new_with_max(MICROSECONDS_MAX, 3)?,
            elapsed: Duration::ZERO,
        })
    }

    async fn turn(&mut self, callers: u32, orders: u32) -> anyhow::Result<()> {
        let (times, elapsed) = timed_orders(&self.gateway, callers, orders).await?;
        self.times.add(times)?;
        self.elapsed += elapsed;
        Ok(())
    }

    fn side(&self) -> anyhow::Result<Side> {
        Ok(Side {
            orders_per_second: per_second(self.times.len(), self.elapsed)?,
            round_trip: Latency::from(&self.times),
        })
    }
}

pub async fn measure(args: &MeasureArgs, folder: &Path) -> anyhow::Result<TracingCost> {
    let sink = Sink::default();
    let (endpoint, own) = match &args.otlp_endpoint {
        Some(url) => (url.clone(), false),
        None => (sink.start().await.context("no receiver for telemetry")?, true),
    };
    let (plain, plain_gateway) = start(&folder.join("without"), "").await?;
    let (traced, traced_gateway) = start(&folder.join("with"), &endpoint).await?;
    let mut compared = Vec::new();
    for callers in [1, args.callers] {
        compared.push(compare(&plain_gateway, &traced_gateway, callers, args.orders).await?);
    }
    plain.stop_all().await;
    traced.stop_all().await;
    if own && sink.spans() == 0 {
        anyhow::bail!("no span arrived, so nothing was traced and nothing is measured");
    }
    Ok(TracingCost {
        debug_build: cfg!(debug_assertions),
        otlp_endpoint: endpoint,
        spans_received: own.then(|| sink.spans()),
        compared,
    })
}

async fn start(folder: &Path, endpoint: &str) -> anyhow::Result<(Environment, GatewayServiceClient<Client>)> {
    let program = std::env::current_exe().context("this program does not know its own file")?;
    let mut plan = plan(program, folder);
    for service in plan.services() {
        // Also where nothing is exported: a variable of this process must not change that.
        plan = plan.setting(service, "telemetry.otlp_endpoint", endpoint);
    }
    let environment = Environment::start(plan).await?;
    let gateway = GatewayServiceClient::new(connect(&environment.url(Service::ExchangeGateway))?);
    wait_until_open(&gateway).await?;
    Ok((environment, gateway))
}

async fn compare(
    plain: &GatewayServiceClient<Client>,
    traced: &GatewayServiceClient<Client>,
    callers: u32,
    orders: u32,
) -> anyhow::Result<Compared> {
    for gateway in [plain, traced] {
        timed_orders(gateway, callers, WARM_UP_ORDERS).await?;
    }
    let (mut without, mut with) = (Timed::new(plain)?, Timed::new(traced)?);
    for turn in 0..TURNS {
        // Who begins changes, so that neither always runs after the other.
        let mut both = [&mut without, &mut with];
        if turn % 2 == 1 {
            both.reverse();
        }
        for one in both {
            one.turn(callers, orders.div_ceil(TURNS)).await?;
        }
    }
    let (without, with) = (without.side()?, with.side()?);
    let ratio = |with: u64, without: u64| (with as f64 / without.max(1) as f64 * 1000.0).round() / 1000.0;
    Ok(Compared {
        callers,
        throughput_ratio: ratio(with.orders_per_second, without.orders_per_second),
        p50_ratio: ratio(with.round_trip.p50_us, without.round_trip.p50_us),
        p99_ratio: ratio(with.round_trip.p99_us, without.round_trip.p99_us),
        without,
        with,
    })
}

impl TracingCost {
    pub fn text(&self) -> String {
        let mut text = String::new();
        for one in &self.compared {
            text += &format!("{} caller(s), orders in turn through both environments:\n", one.callers);
            for (name, side) in [("without", &one.without), ("with", &one.with)] {
                text += &format!(
                    "  {name:<8} {:>6}/s   p50 {:>8} µs   p99 {:>8} µs   n {}\n",
                    side.orders_per_second, side.round_trip.p50_us, side.round_trip.p99_us, side.round_trip.count
                );
            }
            text += &format!(
                "  with/without: throughput {:.3}, p50 {:.3}, p99 {:.3}\n",
                one.throughput_ratio, one.p50_ratio, one.p99_ratio
            );
        }
        text += &format!("exported to {}", self.otlp_endpoint);
        text += &self
            .spans_received
            .map_or_else(String::new, |spans| format!(": {spans} spans"));
        text += "\n";
        if self.debug_build {
            text += "This is a debug build: the numbers say little.\n";
        }
        text
    }
}
