//! The shipped dashboards and alerts speak of metrics that there are, and of places that there are.

use std::collections::BTreeSet;
use std::time::Duration;

use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Seed, buy, http_get, until_ok};

use crate::{THUNES, shipped_folder};

const WITHIN: Duration = Duration::from_secs(20);

fn read(file: &str) -> String {
    let path = shipped_folder().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every name that begins as our metrics do.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("thunes_"))
        .map(str::to_owned)
        .collect()
}

/// One of everything that has a figure: an order, an activation with its alert, a reconciliation.
pub async fn busy(cluster: &Cluster) {
    cluster.calls.order_now(buy("busy-1", "BTCUSDT", "100")).await;
    cluster.calls.activate("for the figures", "").await.expect("answered");
    cluster.calls.deactivate("for the figures", "").await.expect("answered");
    cluster.until_opening().await;
    until_ok("the books agree", WITHIN, async || {
        let answer = cluster.calls.reconcile(false).await.map_err(|s| s.to_string())?;
        if answer.discrepancies.is_empty() {
            Ok(())
        } else {
            Err(format!("{:?}", answer.discrepancies))
        }
    })
    .await;
}

/// The metrics that the services of a cluster show.
async fn scraped(cluster: &Cluster) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for service in [
        Service::Risk,
        Service::Position,
        Service::Audit,
        Service::ExchangeGateway,
    ] {
        let text = http_get(&format!("{}/metrics", cluster.env.url(service)))
            .await
            .expect("answered");
        all.extend(text.lines().filter(|line| !line.starts_with('#')).flat_map(names));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_that_is_charted_or_alerted_on_is_really_there() {
    let seed = Seed::of("every_metric_that_is_charted_or_alerted_on_is_really_there");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let before = scraped(&cluster).await;
    for unknown in ["thunes_alert_delay_seconds", "thunes_position_notional"] {
        assert!(
            !before.contains(unknown),
            "{unknown} is not known yet, so it must not show"
        );
    }
    busy(&cluster).await;
    let mut asked = names(&read("alerts.yml"));
    asked.extend(names(&read("grafana/dashboards/thunes.json")));
    // Names of recipients, not of metrics.
    assert!(asked.len() > 20, "{asked:?}");
    until_ok("every metric shows", WITHIN, async || {
        let there = scraped(&cluster).await;
        let missing: Vec<_> = asked.difference(&there).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("{missing:?}"))
        }
    })
    .await;
    // What the last run found out, the next one knows.
    cluster.kill(Service::ExchangeGateway).await;
    cluster.restart(Service::ExchangeGateway).await;
    assert!(scraped(&cluster).await.contains("thunes_reconciliation_age_seconds"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_callers_make_up_do_not_become_labels() {
    let seed = Seed::of("names_that_callers_make_up_do_not_become_labels");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let url = cluster.env.url(Service::Risk);
    let channel = tonic::transport::Endpoint::from_shared(url.clone())
        .expect("an address")
        .connect_lazy();
    for number in 0..50 {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.expect("connected");
        let path = format!("/made.up.Service{number}/Method{number}")
            .parse()
            .expect("a path");
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let status = client
            .unary(tonic::Request::new(()), path, codec)
            .await
            .expect_err("no such method");
        assert_eq!(status.code(), tonic::Code::Unimplemented);
    }
    let text = http_get(&format!("{url}/metrics")).await.expect("answered");
    assert!(!text.contains("made.up"), "{text}");
    let counted = "thunes_rpc_requests_total{code=\"UNIMPLEMENTED\",rpc_method=\"other\",rpc_service=\"other\",service=\"risk\"} 50";
    assert!(text.contains(counted), "{text}");
}

#[test]
fn every_alert_names_a_place_in_the_runbook_that_exists() {
    let runbook = shipped_folder().join("../../docs/OPERATIONAL-RUNBOOK.md");
    let runbook = std::fs::read_to_string(runbook).expect("the runbook");
    let anchor = |heading: &str| {
        let kept = heading.to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
        kept.collect::<String>().trim().replace(' ', "-")
    };
    let headings = runbook.lines().filter(|line| line.starts_with('#'));
    let anchors: BTreeSet<String> = headings
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect();
    let alerts = read("alerts.yml");
    let (mut alerts_count, mut places) = (0, 0);
    for line in alerts.lines().map(str::trim) {
        alerts_count += usize::from(line.starts_with("- alert:"));
        if let Some(place) = line.strip_prefix("runbook_url: docs/OPERATIONAL-RUNBOOK.md#") {
            places += 1;
            assert!(anchors.contains(place), "{place} is not in {anchors:?}");
        }
    }
    assert!(
        alerts_count > 10 && places == alerts_count,
        "{alerts_count} alerts, {places} places"
    );
}
