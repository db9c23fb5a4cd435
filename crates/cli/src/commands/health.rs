use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use thunes_runtime::ListenAddress;
use thunes_supervisor::{HealthProbe, check_health};

use crate::call::Context;
use crate::failure::{EXIT_FAILED, Exits};

/// Looking the name up and asking, together; whoever asks every few seconds wants an answer before the next time.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct HealthArgs {
    /// Ask the standard gRPC health service.
    #[arg(long, value_name = "HOST:PORT")]
    grpc: Option<ListenAddress>,
    /// GET must answer 200.
    #[arg(long, value_name = "HOST:PORT/PATH", value_parser = parse_page)]
    http: Option<Page>,
    /// Ask the standard gRPC health service over a Unix socket.
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
}

/// What to GET, and from where.
#[derive(Debug, Clone)]
struct Page {
    host: ListenAddress,
    path: String,
}

fn parse_page(text: &str) -> Result<Page, String> {
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let host = host.parse().map_err(|_| {
        "an address or name, a port and a path, such as 127.0.0.1:7111/admin/health, without http:// before it"
            .to_owned()
    })?;
    if path.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control()) {
        return Err("a path without spaces".to_owned());
    }
    Ok(Page {
        host,
        path: format!("/{path}"),
    })
}

/// Exit code 0 when the answer is "ready", else 1 with what was answered instead.
pub async fn run(args: HealthArgs, context: &Context) -> anyhow::Result<u8> {
    let subject = args.subject();
    let answer = tokio::time::timeout(ANSWER_WITHIN, args.ask())
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} ms", ANSWER_WITHIN.as_millis())));
    answer.map_err(|reason| Exits {
        exit: EXIT_FAILED,
        message: format!("{subject} is not healthy: {reason}"),
    })?;
    context
        .out
        .result(&json!({ "healthy": true, "subject": subject }), || {
            format!("{subject} is healthy")
        })?;
    Ok(0)
}

impl HealthArgs {
    fn subject(&self) -> String {
        match (&self.grpc, &self.http, &self.unix) {
            (Some(host), _, _) => host.to_string(),
            (_, Some(page), _) => format!("{}{}", page.host, page.path),
            (_, _, Some(socket)) => socket.display().to_string(),
            (None, None, None) => String::new(),
        }
    }

    async fn ask(self) -> Result<(), String> {
        if let Some(host) = &self.grpc {
            return ask_any(host, HealthProbe::grpc).await;
        }
        if let Some(Page { host, path }) = self.http {
            return ask_any(&host, |address| HealthProbe::http(address, path.clone())).await;
        }
        check_health(&HealthProbe::unix(self.unix.unwrap_or_default())).await
    }
}

/// A name can have several addresses, and a server may listen on one of them only.
async fn ask_any(host: &ListenAddress, probe: impl Fn(SocketAddr) -> HealthProbe) -> Result<(), String> {
    let addresses = match (host.ip(), host.name()) {
        (Some(ip), _) => vec![SocketAddr::new(ip, host.port())],
        (None, name) => tokio::net::lookup_host((name.unwrap_or_default(), host.port()))
            .await
            .map_err(|error| format!("the name is not known: {error}"))?
            .collect(),
    };
    let mut answer = Err("the name has no address".to_owned());
    for address in addresses {
        answer = check_health(&probe(address)).await;
        if answer.is_ok() {
            break;
        }
    }
    answer
}
