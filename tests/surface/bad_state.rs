//! Folders and files that cannot be used, and processes that die while they start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thunes_supervisor::embedded::Service;
use thunes_supervisor::{HealthProbe, ProcessSpec, Target, wait_healthy};
use thunes_testkit::{Cluster, Seed, buy, thunes};

use crate::THUNES;

const SERVICES: [&str; 6] = [
    "risk",
    "position",
    "audit",
    "exchange-gateway",
    "drill-orchestrator",
    "exchange-sim",
];

// As root no folder is read-only; one that lies under a file cannot be made by anybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_that_cannot_be_used_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("file"), "not a folder").expect("written");
    let bad = folder.path().join("file/data");
    let bad = bad.to_str().expect("text");
    for service in SERVICES {
        let mut args = vec!["serve", service, "--listen", "127.0.0.1:0", "--data-dir", bad];
        if service == "exchange-sim" {
            // Its second port must be free, too; any is.
            std::fs::write(
                folder.path().join("sim.toml"),
                "[sim]\nadmin_listen = \"127.0.0.1:0\"\n",
            )
            .expect("written");
            args.extend(["--config", "sim.toml"]);
        }
        let said = thunes(Path::new(THUNES), folder.path(), &args).await;
        assert_eq!(said.exit, Some(1), "{service}: {}", said.err);
        assert!(
            said.err.contains("file"),
            "{service}: the path is not named: {}",
            said.err
        );
        assert!(!said.err.contains("panicked"), "{service}: {}", said.err);
        let remedy = ["writable", "--data-dir", "data_dir", "another", "folder"]
            .iter()
            .any(|word| said.err.contains(word));
        assert!(remedy, "{service}: what to do is not said: {}", said.err);
    }
    let said = thunes(
        Path::new(THUNES),
        folder.path(),
        &["up", "--free-ports", "--data-dir", bad],
    )
    .await;
    said.assert_exit(1).assert_says("file");
}

// A database that is no database: position and the gateway do not start, say so, and leave it as it is; they must not
// begin a new one, since what is in it exists nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_ledger_is_not_served_and_not_touched() {
    let seed = Seed::of("a_damaged_ledger_is_not_served_and_not_touched");
    let cluster = Cluster::start(THUNES, seed.number).await;
    cluster.calls.order_now(buy("b1", "BTCUSDT", "12")).await;
    for (service, file) in [
        (Service::Position, "position.db"),
        (Service::ExchangeGateway, "gateway.db"),
    ] {
        cluster.kill(service).await;
        let path = cluster.data_dir().join(file);
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(cluster.data_dir().join(format!("{file}{suffix}")));
        }
        let garbage = b"this was a database once".repeat(300);
        std::fs::write(&path, &garbage).expect("written");
        let target = cluster.target(service);
        target.start().await.expect("started");
        let exit = tokio::time::timeout(Duration::from_secs(10), target.wait_exit()).await;
        let exit = exit
            .unwrap_or_else(|_| panic!("{service} serves a damaged database"))
            .expect("exit");
        assert_eq!(exit.code, Some(1), "{service}: {exit}");
        let said = target.log_tail();
        assert!(
            said.contains(path.to_str().expect("text")) && said.contains("damaged"),
            "{service}: {said}"
        );
        assert!(
            said.contains("Restore") || said.contains("restore"),
            "{service}: what to do is not said: {said}"
        );
        assert!(!said.contains("panicked"), "{service}: {said}");
        assert_eq!(
            std::fs::read(&path).expect("the file"),
            garbage,
            "{service}: nothing is changed"
        );
    }
}

struct Alone {
    service: &'static str,
    port: u16,
    folder: PathBuf,
}

impl Alone {
    fn target(&self) -> Target {
        let listen = format!("127.0.0.1:{}", self.port);
        let args = [
            "serve",
            self.service,
            "--listen",
            &listen,
            "--data-dir",
            self.folder.to_str().expect("text"),
        ];
        Target::new(ProcessSpec::new(self.service, THUNES, &self.folder).args(args))
    }
}

// The first start makes folders, files and tables: killed anywhere in it, the next one goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_killed_in_its_first_start_starts_again() {
    let mut seed = Seed::of("a_service_killed_in_its_first_start_starts_again");
    let folder = tempfile::tempdir().expect("folder");
    for service in ["risk", "position", "audit", "exchange-gateway"] {
        for round in 0..5 {
            let free = std::net::TcpListener::bind("127.0.0.1:0")
                .expect("a port")
                .local_addr()
                .expect("address");
            let alone = Alone {
                service,
                port: free.port(),
                folder: folder.path().join(format!("{service}-{round}")),
            };
            let target = alone.target();
            target.start().await.expect("started");
            let lived = seed.moment(5, 90).await;
            let _ = target.kill().await;
            let target = alone.target();
            target.start().await.expect("started");
            let ready = wait_healthy(&target, &HealthProbe::grpc(free), Duration::from_secs(10)).await;
            assert!(
                ready.is_ok(),
                "{service} killed after {lived:?} does not start again: {ready:?}\n{}",
                target.log_tail()
            );
            target.kill().await.expect("killed");
        }
    }
}
