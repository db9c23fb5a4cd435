//! A real process, a real kill -9 under load: what was answered is in the ledger, and the ledger adds up.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::client::{KEY, Sim, now_ms, request, sign, still};
use crate::money::check;

const DIR: &str = "EXCHANGE_SIM_TEST_DIR";

/// Not a test of its own: the process that the test below starts and kills.
#[test]
fn as_process() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let rest = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let written = Path::new(&dir).join("address.tmp");
        std::fs::write(&written, rest.local_addr().unwrap().to_string()).unwrap();
        std::fs::rename(&written, Path::new(&dir).join("address")).unwrap();
        thunes_exchange_sim::serve(still(Path::new(&dir)), rest, admin, CancellationToken::new())
            .await
            .unwrap();
    });
}

/// Killed and reaped whatever becomes of the test.
struct Process(Child);

impl Process {
    fn kill_9(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_9();
    }
}

fn spawn(dir: &Path) -> Process {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::as_process", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Process(child)
}

async fn place(to: std::net::SocketAddr, id: &str) -> Option<Value> {
    let query = format!(
        "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.0002&newClientOrderId={id}&timestamp={}",
        now_ms()
    );
    let path = format!("/api/v3/order?{query}&signature={}", sign(&query));
    request(to, "POST", &path, Some(KEY), "")
        .await
        .filter(|reply| reply.status == 200)
        .map(|reply| reply.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_what_was_answered_before_a_kill_9_is_in_the_ledger_and_the_ledger_adds_up() {
    let dir = TempDir::new().unwrap();
    let answered: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    for round in 0..3 {
        let _ = std::fs::remove_file(dir.path().join("address"));
        let mut child = spawn(dir.path());
        let address = loop {
            if let Ok(text) = std::fs::read_to_string(dir.path().join("address")) {
                break text.parse().unwrap();
            }
            tokio::task::yield_now().await;
        };
        let already = answered.lock().await.len();
        let load: Vec<_> = (0..4)
            .map(|worker| {
                let answered = answered.clone();
                tokio::spawn(async move {
                    for number in 0.. {
                        let id = format!("r{round}-w{worker}-{number}");
                        match place(address, &id).await {
                            Some(body) => answered.lock().await.push((id, body)),
                            // The process is gone: what it was asked last is in doubt, the rest must be kept.
                            None => return,
                        }
                    }
                })
            })
            .collect();
        while answered.lock().await.len() < already + 40 {
            tokio::task::yield_now().await;
        }
        child.kill_9();
        for worker in load {
            // A worker that could not even connect any more has panicked; its answers count all the same.
            let _ = worker.await;
        }
    }
    let sim = Sim::start(still(dir.path())).await;
    let ledger = sim.ledger().await;
    let orders = ledger["orders"].as_array().unwrap();
    let answered = answered.lock().await;
    assert!(answered.len() >= 120);
    for (id, body) in answered.iter() {
        let kept: Vec<_> = orders
            .iter()
            .filter(|order| order["client_order_id"] == id.as_str())
            .collect();
        assert_eq!(
            kept.len(),
            1,
            "{id} was answered and must be in the ledger exactly once"
        );
        assert_eq!(kept[0]["order_id"], body["orderId"]);
        let fills = ledger["fills"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|f| f["order_id"] == body["orderId"])
            .count();
        assert_eq!(fills, body["fills"].as_array().unwrap().len(), "{id}");
    }
    check(&ledger, "after three kills");
    sim.stop().await;
}
