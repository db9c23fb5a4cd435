//! Cutting off and putting back.

use std::time::Duration;

use thunes_supervisor::containers::{Container, ContainerControl, ContainerError, NetworkName};
use thunes_supervisor::{HealthProbe, check_health};
use thunes_testkit::docker::{Fleet, Spec, service};

use crate::{LONG, fleet, until_last_line};

async fn two_networks(fleet: &Fleet, words: &str) -> Container {
    fleet.network("back").await;
    let on = |network: &str, alias: &str| (network.to_owned(), vec![alias.to_owned()]);
    let risk = Spec {
        networks: vec![on("default", "gate"), on("back", "gate-behind")],
        ..Spec::new("risk", words)
    };
    fleet.start(&risk).await;
    fleet.direct().await.inspect(&service("risk")).await.expect("inspected")
}

fn names(fleet: &Fleet) -> Vec<String> {
    ["back", "default"].map(|name| fleet.network_name(name)).to_vec()
}

/// Names and aliases; the addresses may have changed.
fn where_it_is(container: &Container) -> Vec<(String, Vec<String>)> {
    let networks = container.networks.iter();
    networks
        .map(|network| (network.name.clone(), network.aliases.clone()))
        .collect()
}

fn saved(fleet: &Fleet) -> usize {
    std::fs::read_dir(fleet.state_dir()).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_container_that_was_cut_off_is_unknown_by_name_and_known_again_under_all_its_names_when_put_back() {
    let fleet = fleet!();
    let before = two_networks(&fleet, "tick").await;
    let aliases = where_it_is(&before);
    assert!(
        aliases[1].1.contains(&"gate".to_owned()) && aliases[0].1.contains(&"gate-behind".to_owned()),
        "{aliases:?}"
    );
    for (watcher, name) in [("watch-a", "risk"), ("watch-b", "gate")] {
        fleet.start(&Spec::new(watcher, &format!("resolve {name}"))).await;
        until_last_line(&fleet, watcher, &format!("{name} is 1")).await;
    }
    let (direct, risk) = (fleet.direct().await, service("risk"));

    assert_eq!(direct.disconnect(&risk, None).await.expect("cut off"), names(&fleet));
    let cut_off = direct.inspect(&risk).await.expect("inspected");
    assert_eq!(cut_off.networks, []);
    assert!(cut_off.is_running(), "it runs on");
    assert_eq!(saved(&fleet), 1);
    until_last_line(&fleet, "watch-a", "risk is unknown").await;
    until_last_line(&fleet, "watch-b", "gate is unknown").await;
    let twice = direct.disconnect(&risk, None).await.expect_err("it is on none");
    assert!(matches!(twice, ContainerError::NoSuchNetwork { .. }), "{twice}");

    assert_eq!(direct.reconnect(&risk, None).await.expect("put back"), names(&fleet));
    let back = direct.inspect(&risk).await.expect("inspected");
    assert_eq!(where_it_is(&back), aliases);
    assert_eq!(back.started_at, before.started_at, "the same run");
    assert_eq!(saved(&fleet), 0, "nothing to remember any more");
    until_last_line(&fleet, "watch-a", "risk is 1").await;
    until_last_line(&fleet, "watch-b", "gate is 1").await;
    assert_eq!(
        direct.reconnect(&risk, None).await.expect("nothing to do"),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn one_network_can_be_cut_and_a_wrong_one_is_an_error_that_lists_the_right_ones() {
    let fleet = fleet!();
    let before = two_networks(&fleet, "tick").await;
    let (direct, risk) = (fleet.direct().await, service("risk"));
    let back = NetworkName::parse(&fleet.network_name("back")).expect("a name");
    let wrong = NetworkName::parse("bridge").expect("a name");

    let error = direct
        .disconnect(&risk, Some(&wrong))
        .await
        .expect_err("it is not on it")
        .to_string();
    assert!(error.contains(back.as_str()), "{error}");
    assert!(
        direct.reconnect(&risk, Some(&wrong)).await.is_err(),
        "never on a network that it was not taken off"
    );
    assert_eq!(
        direct.reconnect(&risk, Some(&back)).await.expect("it is on it"),
        Vec::<String>::new()
    );

    assert_eq!(
        direct.disconnect(&risk, Some(&back)).await.expect("cut"),
        [back.to_string()]
    );
    let left = direct.inspect(&risk).await.expect("inspected");
    assert_eq!(where_it_is(&left), where_it_is(&before)[1..]);
    // The other one as well, in a second step: both are remembered.
    direct.disconnect(&risk, None).await.expect("cut off");
    assert_eq!(direct.reconnect(&risk, None).await.expect("put back"), names(&fleet));
    assert_eq!(
        where_it_is(&direct.inspect(&risk).await.expect("inspected")),
        where_it_is(&before)
    );
}

#[tokio::test]
async fn a_crash_between_cutting_off_and_putting_back_forgets_nothing() {
    let fleet = fleet!();
    let before = two_networks(&fleet, "tick").await;
    let risk = service("risk");
    fleet.direct().await.disconnect(&risk, None).await.expect("cut off");
    // Whoever did that is gone. It crashed while the container was down, too, and the engine put the new run on its first
    // network by itself, without the names.
    let direct = fleet.direct().await;
    direct.kill(&risk).await.expect("killed");
    direct.start(&risk).await.expect("started");
    direct.reconnect(&risk, None).await.expect("put back by the next one");
    assert_eq!(
        where_it_is(&direct.inspect(&risk).await.expect("inspected")),
        where_it_is(&before)
    );

    // It was saved, and the crash came before the engine was told.
    direct.disconnect(&risk, None).await.expect("cut off");
    let file = std::fs::read_dir(fleet.state_dir())
        .expect("state")
        .next()
        .expect("a file")
        .expect("a file")
        .path();
    let kept = std::fs::read(&file).expect("saved");
    direct.reconnect(&risk, None).await.expect("put back");
    std::fs::write(&file, kept).expect("written");
    assert_eq!(
        fleet
            .direct()
            .await
            .reconnect(&risk, None)
            .await
            .expect("nothing to do"),
        Vec::<String>::new()
    );
    assert_eq!(saved(&fleet), 0);
    assert_eq!(
        where_it_is(&direct.inspect(&risk).await.expect("inspected")),
        where_it_is(&before)
    );
}

#[tokio::test]
async fn what_is_not_remembered_is_an_error_and_what_cannot_be_remembered_is_not_cut_off() {
    let fleet = fleet!();
    two_networks(&fleet, "tick").await;
    let (direct, risk) = (fleet.direct().await, service("risk"));
    direct.disconnect(&risk, None).await.expect("cut off");
    std::fs::remove_dir_all(fleet.state_dir()).expect("lost");
    let lost = direct.reconnect(&risk, None).await.expect_err("lost");
    assert!(matches!(lost, ContainerError::NothingSaved { .. }), "{lost}");
    assert!(lost.to_string().contains("--force-recreate"), "{lost}");

    fleet.start(&Spec::new("audit", "tick")).await;
    std::fs::write(fleet.state_dir(), "no folder").expect("in the way");
    let audit = service("audit");
    let before = direct.inspect(&audit).await.expect("inspected");
    let refused = direct.disconnect(&audit, None).await.expect_err("it cannot be saved");
    assert!(matches!(refused, ContainerError::State { .. }), "{refused}");
    assert_eq!(
        direct.inspect(&audit).await.expect("inspected"),
        before,
        "it was left alone"
    );
}

#[tokio::test]
async fn a_published_port_leads_into_the_container_again_after_it_was_put_back() {
    let fleet = fleet!();
    let risk = Spec {
        publish: Some(80),
        ..Spec::new("risk", "serve 80 0")
    };
    fleet.start(&risk).await;
    let (direct, risk) = (fleet.direct().await, service("risk"));
    let address = async || {
        let published = direct.inspect(&risk).await.expect("inspected").published;
        assert_eq!(published.len(), 1, "{published:?}");
        assert_eq!(
            (published[0].container_port, published[0].protocol.as_str()),
            (80, "tcp")
        );
        format!("127.0.0.1:{}", published[0].host_port)
    };
    let answers = async |address: String| {
        let probe = HealthProbe::http(address, "/");
        let asked = async {
            while check_health(&probe).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LONG, asked).await.is_ok()
    };
    let before = address().await;
    assert!(answers(before.clone()).await);
    direct.disconnect(&risk, None).await.expect("cut off");
    assert!(
        check_health(&HealthProbe::http(before, "/")).await.is_err(),
        "nobody answers from the host, either"
    );
    direct.reconnect(&risk, None).await.expect("put back");
    let after = address().await;
    assert!(answers(after).await);
}
