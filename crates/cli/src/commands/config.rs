use clap::Subcommand;
use serde_json::json;
use thunes_container_guard::GuardConfig;
use thunes_runtime::{KeyDoc, Settings, TelemetryConfig};
use thunes_supervisor::embedded::Service;

use crate::call::Context;
use crate::services::{Configured, read_all};

/// The guard is no service of an environment: it is started by whoever runs containers.
const GUARD_SECTION: &str = "guard";

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the reference of all settings (docs/CONFIGURATION.md).
    Reference,
    /// Check the settings of all services; nothing is started.
    Check,
}

pub fn run(command: ConfigCommand, context: &Context) -> anyhow::Result<u8> {
    match command {
        ConfigCommand::Reference => reference(context)?,
        ConfigCommand::Check => check(context)?,
    }
    Ok(0)
}

fn check(context: &Context) -> anyhow::Result<()> {
    let settings = Settings::load(context.config.as_deref())?;
    let mut sections: Vec<&str> = read_all(&Service::ALL, &settings)?
        .iter()
        .map(|(service, _)| service.section())
        .collect();
    GuardConfig::read(&settings)?;
    sections.push(GUARD_SECTION);
    sections.push("telemetry");
    context.out.result(&json!({ "valid": true, "sections": sections }), || {
        format!("✅ The settings of all services can be used ({})", sections.join(", "))
    })
}

const HEAD: &str = "\
# Configuration

This page is printed by `thunes config reference`; do not edit it by hand.

A setting comes from a TOML file (`--config FILE` or `THUNES_CONFIG`), from the environment, or from a flag; the later
wins. The variable of a key is `THUNES_` and the key in capitals with `_` for every point: `risk.limits.daily_loss_max`
is `THUNES_RISK_LIMITS_DAILY_LOSS_MAX`. In a variable the items of a list are joined by commas. Every mistake is named at
once, with its key, its value and the rule; `thunes config check` only looks.

In a file a key stands in the table of its section:

```toml
[risk.limits]
order_notional_max = \"500\"
allowed_symbols = [\"BTCUSDT\", \"ETHUSDT\"]
```

`thunes up` sets the addresses, the data folder and the peers of every service itself. It starts the simulated exchange
unless `gateway.exchange.base_url` is set, and the Telegram stand-in unless `risk.telegram.token` is set.

For the commands themselves:

| variable | flag | meaning |
|---|---|---|
| `THUNES_CONFIG` | `--config` | the settings file |
| `THUNES_DATA_DIR` | `--data-dir` | the data folder: of the services to run, or of the running environment to talk to |
| `THUNES_ACTOR` | `--actor` | who acts, for the audit trail |
| `THUNES_RISK_URL`, `THUNES_POSITION_URL`, `THUNES_AUDIT_URL`, `THUNES_GATEWAY_URL` | `--risk-url`, … | where a service is |
| `THUNES_LOG` | | log levels, such as `info` or `thunes_risk=debug,info` |
";

fn reference(context: &Context) -> anyhow::Result<()> {
    // The defaults, not what happens to be set here.
    let settings = Settings::default();
    let mut text = HEAD.to_owned();
    let mut all = serde_json::Map::new();
    let mut sections = Vec::new();
    for service in Service::ALL {
        let (_, docs) = Configured::read(service, &settings)?;
        sections.push((service.section(), service.name(), docs));
    }
    let (_, docs) = GuardConfig::read(&settings)?;
    sections.push((GUARD_SECTION, "container-guard (`thunes guard`)", docs));
    let (_, docs) = TelemetryConfig::read(&settings)?;
    sections.push(("telemetry", "every process", docs));
    for (name, whose, docs) in sections {
        text += &section(name, whose, &docs);
        all.insert(name.to_owned(), keys(&docs));
    }
    context.out.result(&all, || text)
}

fn keys(docs: &[KeyDoc]) -> serde_json::Value {
    let keys = docs.iter().map(|doc| {
        let variable = Settings::env_name(&doc.key);
        json!({ "key": doc.key, "variable": variable, "default": doc.default, "doc": doc.doc })
    });
    keys.collect()
}

fn section(name: &str, whose: &str, docs: &[KeyDoc]) -> String {
    let mut text = format!("\n## `[{name}]`: {whose}\n\n| key | default | meaning |\n|---|---|---|\n");
    for doc in docs {
        let default = if doc.default.is_empty() {
            String::new()
        } else {
            format!("`{}`", doc.default)
        };
        // A bar would end the cell.
        let meaning = doc.doc.replace('|', "\\|");
        text += &format!("| `{}` | {} | {meaning} |\n", doc.key, default.replace('|', "\\|"));
    }
    text
}
