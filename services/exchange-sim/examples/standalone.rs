//! The exchange alone, for clients in other languages: `standalone CONFIG.json` serves until Ctrl-C.

use thunes_exchange_sim::{SimConfig, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config: SimConfig = match std::env::args().nth(1) {
        Some(path) => serde_json::from_str(&std::fs::read_to_string(path)?)?,
        None => SimConfig::default(),
    };
    let rest = TcpListener::bind(config.rest_addr).await?;
    let admin = TcpListener::bind(config.admin_addr).await?;
    println!("rest={} admin={}", rest.local_addr()?, admin.local_addr()?);
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(serve(config, rest, admin, shutdown.clone()));
    tokio::signal::ctrl_c().await?;
    shutdown.cancel();
    Ok(ended.await??)
}
