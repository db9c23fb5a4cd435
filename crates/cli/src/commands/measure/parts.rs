//! Which part of a round of orders took what: the gateway's own stages, the calls to the other services, processor time.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde::Serialize;
use thunes_supervisor::embedded::{Environment, Service};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The services that an order goes through.
const SERVICES: [Service; 5] = [
    Service::ExchangeGateway,
    Service::Risk,
    Service::Position,
    Service::Audit,
    Service::ExchangeSim,
];
/// Process times are told in hundredths of a second (`USER_HZ`), whatever the kernel itself counts in.
const TICK_US: u64 = 10_000;
/// The gateway's stages in the order in which an order goes through them.
const STAGES: [&str; 4] = ["authorize", "intent", "exchange", "answer"];
/// The gateway's own time for an order, which the stages are parts of.
const WHOLE: &str = "exchange-gateway SubmitOrder";
/// What a page of metrics may have at most.
const PAGE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// One kind of work in a round: how often it was done, and how long it took on average.
#[derive(Debug, Serialize)]
pub struct Part {
    pub count: u64,
    pub mean_us: u64,
}

/// The parts of one round.
#[derive(Debug, Serialize)]
pub struct Parts {
    /// The caller waits for these, one after the other; the rest of a round trip is gRPC and the gateway's own thinking.
    pub stages_of_an_order: BTreeMap<String, Part>,
    /// As each server measures it. Position and audit are told after the caller has its answer.
    pub calls: BTreeMap<String, Part>,
    /// Processor time of each process in this round, in hundredths of a percent of all of them together.
    pub processor_share_bps: BTreeMap<String, u64>,
    pub processor_us_per_order: u64,
}

/// Sums so far, to be subtracted from later ones.
#[derive(Debug)]
pub struct Reading {
    sums: BTreeMap<String, (u64, f64)>,
    ticks: BTreeMap<String, u64>,
}

/// Reads what every service has counted until now.
pub async fn read(environment: &Environment) -> anyhow::Result<Reading> {
    let mut reading = Reading {
        sums: BTreeMap::new(),
        ticks: BTreeMap::new(),
    };
    for service in SERVICES {
        let pid = environment.target(service)?.pid().context("a service is not running")?;
        reading.ticks.insert(service.name().to_owned(), processor_ticks(pid)?);
        // The simulated exchange serves its metrics on its admin port; the gateway measures it from outside.
        if service != Service::ExchangeSim {
            let page = metrics_page(&environment.url(service)).await?;
            collect(service.name(), &page, &mut reading.sums);
        }
    }
    Ok(reading)
}

/// What came to pass between two readings.
///
/// # Errors
/// When no order was counted: then nothing was measured.
pub fn between(before: &Reading, after: &Reading, orders: u64) -> anyhow::Result<Parts> {
    let (mut stages, mut calls) = (BTreeMap::new(), BTreeMap::new());
    for (name, (count, sum)) in &after.sums {
        let (count_before, sum_before) = before.sums.get(name).copied().unwrap_or((0, 0.0));
        let count = count.saturating_sub(count_before);
        if count == 0 {
            continue;
        }
        let part = Part {
            count,
            mean_us: ((sum - sum_before) * 1e6 / count as f64).round() as u64,
        };
        match name.strip_prefix("stage ") {
            Some(stage) => stages.insert(stage.to_owned(), part),
            None => calls.insert(name.clone(), part),
        };
    }
    if stages.is_empty() {
        bail!("the gateway counted no stage of an order, so nothing is measured");
    }
    let ticks: BTreeMap<&String, u64> = after
        .ticks
        .iter()
        .map(|(name, ticks)| (name, ticks.saturating_sub(before.ticks.get(name).copied().unwrap_or(0))))
        .collect();
    let all: u64 = ticks.values().sum::<u64>().max(1);
    Ok(Parts {
        stages_of_an_order: stages,
        calls,
        processor_share_bps: ticks
            .iter()
            .map(|(name, n)| ((*name).clone(), n * 10_000 / all))
            .collect(),
        processor_us_per_order: all * TICK_US / orders.max(1),
    })
}

/// User and system time, from the numbers behind the parenthesised name.
fn processor_ticks(pid: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("no process times")?;
    let numbers = stat.rsplit_once(") ").context("no name in the process times")?.1;
    let fields: Vec<&str> = numbers.split_whitespace().collect();
    let field = |index: usize| -> anyhow::Result<u64> { Ok(fields.get(index).context("too few numbers")?.parse()?) };
    Ok(field(11)? + field(12)?)
}

async fn metrics_page(url: &str) -> anyhow::Result<String> {
    let address = url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address)
        .await
        .with_context(|| format!("no metrics at {url}"))?;
    // The end of the connection is the end of an HTTP/1.0 answer.
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut page = String::new();
    connection.take(PAGE_BYTES_MAX).read_to_string(&mut page).await?;
    Ok(page)
}

fn collect(service: &str, page: &str, sums: &mut BTreeMap<String, (u64, f64)>) {
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let Some((metric, labels)) = series.split_once('{') else {
            continue;
        };
        let name = if metric.starts_with("thunes_order_stage_duration_seconds") {
            label(labels, "stage").map(|stage| format!("stage {stage}"))
        } else if metric.starts_with("thunes_rpc_duration_seconds") && label(labels, "code") == Some("OK") {
            label(labels, "rpc_method").map(|method| format!("{service} {method}"))
        } else {
            None
        };
        let (Some(name), Ok(value)) = (name, value.parse::<f64>()) else {
            continue;
        };
        let entry = sums.entry(name).or_insert((0, 0.0));
        if metric.ends_with("_count") {
            entry.0 += value as u64;
        } else if metric.ends_with("_sum") {
            entry.1 += value;
        }
    }
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let value = labels.split_once(&format!("{name}=\""))?.1;
    value.split_once('"').map(|(value, _)| value)
}

impl Parts {
    pub fn text(&self) -> String {
        let mut text = String::new();
        let whole_us = self.calls.get(WHOLE).map_or(0, |whole| whole.mean_us).max(1);
        for stage in STAGES {
            let Some(part) = self.stages_of_an_order.get(stage) else {
                continue;
            };
            let percent = part.mean_us * 100 / whole_us;
            text += &format!(
                "  stage {stage:<38} mean {:>8} µs   {percent} % of the order\n",
                part.mean_us
            );
        }
        for (call, part) in &self.calls {
            text += &format!("  {call:<44} mean {:>8} µs   n {}\n", part.mean_us, part.count);
        }
        let share = |(service, bps): (&String, &u64)| format!("{service} {}.{:02} %", bps / 100, bps % 100);
        let shares: Vec<String> = self.processor_share_bps.iter().map(share).collect();
        text += &format!(
            "  processor: {} µs an order; {}\n",
            self.processor_us_per_order,
            shares.join(", ")
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_counts_of_the_two_histograms_are_read_and_others_are_not() {
        let page = "# HELP x\nthunes_order_stage_duration_seconds_bucket{service=\"g\",stage=\"exchange\",le=\"1\"} 4\n\
            thunes_order_stage_duration_seconds_sum{service=\"g\",stage=\"exchange\"} 0.5\n\
            thunes_order_stage_duration_seconds_count{service=\"g\",stage=\"exchange\"} 4\n\
            thunes_rpc_duration_seconds_sum{code=\"OK\",rpc_method=\"AuthorizeOrder\",rpc_service=\"r\"} 1.5\n\
            thunes_rpc_duration_seconds_count{code=\"OK\",rpc_method=\"AuthorizeOrder\",rpc_service=\"r\"} 3\n\
            thunes_rpc_duration_seconds_count{code=\"UNAVAILABLE\",rpc_method=\"AuthorizeOrder\",rpc_service=\"r\"} 9\n\
            thunes_orders_open 7\n";
        let mut sums = BTreeMap::new();
        collect("risk", page, &mut sums);
        assert_eq!(sums.get("stage exchange"), Some(&(4, 0.5)));
        assert_eq!(sums.get("risk AuthorizeOrder"), Some(&(3, 1.5)));
        assert_eq!(sums.len(), 2);
    }

    #[test]
    fn what_is_between_two_readings_is_their_difference() {
        let reading = |count, sum, ticks| Reading {
            sums: BTreeMap::from([("stage intent".to_owned(), (count, sum))]),
            ticks: BTreeMap::from([("risk".to_owned(), ticks), ("audit".to_owned(), ticks * 3)]),
        };
        let parts = between(&reading(10, 1.0, 100), &reading(30, 1.1, 200), 20).expect("measured");
        let intent = &parts.stages_of_an_order["intent"];
        assert_eq!((intent.count, intent.mean_us), (20, 5000));
        assert_eq!(parts.processor_share_bps["audit"], 7500);
        let nothing = between(&reading(1, 1.0, 1), &reading(1, 1.0, 1), 1);
        assert!(nothing.is_err(), "no order was counted");
    }
}
