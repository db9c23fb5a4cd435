use std::collections::BTreeMap;
use std::path::PathBuf;

use thunes_runtime::{ConfigFaults, KeyDoc, ListenAddress, Reader, Settings};
use thunes_supervisor::HealthProbe;
use thunes_supervisor::embedded::Service;

use crate::report::{Contact, Form};

/// Settings of section `[drill]`.
#[derive(Debug, Clone)]
pub struct DrillConfig {
    pub listen: ListenAddress,
    /// Listen beyond loopback, although nothing is encrypted and nobody is identified.
    pub plaintext: bool,
    /// Holds `drill.db`, the journal of every run.
    pub data_dir: PathBuf,
    /// Drill files of the user's own: every `*.toml` in this folder.
    pub drills_dir: Option<PathBuf>,
    /// The first of the two words that a live account needs; the other is the caller's flag.
    pub allow_live: bool,
    /// What the form asks of people.
    pub form: Form,
    /// Whether a run of the service starts an environment of its own, or drills the one that it is part of.
    pub environment: DrilledEnvironment,
    /// Where the services of this environment are; used when it is a compose environment.
    pub compose: ComposeConfig,
    /// Address of a trace in a viewer, with `{trace_id}` in it; empty when there is none.
    pub trace_url: String,
}

/// What `RunDrill` runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrilledEnvironment {
    /// Processes, started for the run.
    Own,
    /// The containers beside this one.
    Compose,
}

/// The containers' addresses, and what of them can be seen and touched.
#[derive(Debug, Clone)]
pub struct ComposeConfig {
    pub guard_socket: PathBuf,
    /// Holds the services' data folders, each under the service's name; read only.
    pub evidence_dir: PathBuf,
    pub risk_url: String,
    pub position_url: String,
    pub audit_url: String,
    pub gateway_url: String,
    pub sim_admin_url: String,
    pub telegram_url: String,
    /// The admin addresses of the fault proxies.
    pub proxy_urls: Vec<String>,
}

/// Key, role, and what the form itself says of contact and notes.
const ROLES: [(&str, &str, &str, &str); 4] = [
    ("primary", "Primary On-Call", "", "Available 24/7"),
    ("secondary", "Secondary On-Call", "", "Backup"),
    (
        "exchange",
        "Binance Support",
        "support@binance.com",
        "Testnet: testnet@binance.com",
    ),
    ("infrastructure", "Infrastructure", "", "Server access"),
];

impl DrillConfig {
    /// Reads the section.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn read(settings: &Settings) -> Result<(Self, Vec<KeyDoc>), ConfigFaults> {
        let mut reader = settings.reader("drill");
        let config = Self {
            listen: reader.listen("listen", "127.0.0.1:7105", "Where the service listens."),
            plaintext: reader.boolean(
                "plaintext",
                false,
                "Listen beyond loopback without encryption and identity.",
            ),
            data_dir: reader.path(
                "data_dir",
                "thunes-data",
                "Folder of drill.db, the journal of every run.",
            ),
            drills_dir: reader
                .optional(
                    "drills_dir",
                    "Folder of drill files of your own; every *.toml in it is a drill.",
                )
                .map(PathBuf::from),
            allow_live: reader.boolean(
                "allow_live",
                false,
                "Lets a drill run against a live account, if the caller asks for it too.",
            ),
            form: Form {
                frequency: reader.text(
                    "frequency",
                    "",
                    "How often the drill is done, as the report shows it; blank is left for a person.",
                ),
                contacts: contacts(&mut reader),
            },
            environment: reader.parsed(
                "environment",
                "own",
                "What RunDrill runs against: `own`, an environment started for the run, or `compose`, the containers beside \
                 the orchestrator.",
                |text| match text {
                    "own" => Ok(DrilledEnvironment::Own),
                    "compose" => Ok(DrilledEnvironment::Compose),
                    _ => Err("own or compose".to_owned()),
                },
            ),
            compose: compose(&mut reader),
            trace_url: reader.text(
                "trace_url",
                "",
                "Where a trace can be looked at, such as http://127.0.0.1:16686/trace/{trace_id}; the report links to it.",
            ),
        };
        let docs = reader.finish()?;
        Ok((config, docs))
    }
}

impl ComposeConfig {
    /// How to ask each service whether it is ready.
    pub fn probes(&self) -> BTreeMap<Service, HealthProbe> {
        let address = |url: &str| url.rsplit('/').next().unwrap_or_default().to_owned();
        let grpc = |url: &str| HealthProbe::grpc(address(url));
        let mut probes = BTreeMap::from([
            (Service::Risk, grpc(&self.risk_url)),
            (Service::Position, grpc(&self.position_url)),
            (Service::Audit, grpc(&self.audit_url)),
            (Service::ExchangeGateway, grpc(&self.gateway_url)),
            (
                Service::ExchangeSim,
                HealthProbe::http(address(&self.sim_admin_url), "/admin/health"),
            ),
            (
                Service::TelegramStandin,
                HealthProbe::http(address(&self.telegram_url), "/standin/health"),
            ),
        ]);
        if let Some(url) = self.proxy_urls.first() {
            probes.insert(Service::FaultProxy, HealthProbe::http(address(url), "/admin/health"));
        }
        probes
    }
}

fn contacts(reader: &mut Reader<'_>) -> Vec<Contact> {
    let mut contact = |(key, role, contact, notes): (&str, &str, &str, &str)| Contact {
        role: role.to_owned(),
        name: reader.text(
            &format!("contacts.{key}.name"),
            "",
            "Who it is; blank is left for a person.",
        ),
        contact: reader.text(&format!("contacts.{key}.contact"), contact, "How to reach them."),
        notes: reader.text(
            &format!("contacts.{key}.notes"),
            notes,
            "What else the report says of them.",
        ),
    };
    ROLES.map(&mut contact).to_vec()
}

fn compose(reader: &mut Reader<'_>) -> ComposeConfig {
    let mut url = |key: &str, default: &str| {
        const ABOUT: &str = "Where this peer is (proxy_urls: each fault proxy's admin API, comma separated); used when \
                             drill.environment is compose.";
        reader.text(key, default, ABOUT).trim_end_matches('/').to_owned()
    };
    let risk_url = url("risk_url", "http://127.0.0.1:7101");
    let position_url = url("position_url", "http://127.0.0.1:7102");
    let audit_url = url("audit_url", "http://127.0.0.1:7103");
    let gateway_url = url("gateway_url", "http://127.0.0.1:7104");
    let sim_admin_url = url("sim_admin_url", "http://127.0.0.1:7111");
    let telegram_url = url("telegram_url", "http://127.0.0.1:7112");
    let proxy_urls = url("proxy_urls", "http://127.0.0.1:7113");
    ComposeConfig {
        guard_socket: reader.path(
            "guard_socket",
            "/run/guard/guard.sock",
            "Socket of the process that may touch the containers; used when drill.environment is compose.",
        ),
        evidence_dir: reader.path(
            "evidence_dir",
            "/evidence",
            "Holds the services' data folders under their names, read only; used when drill.environment is compose.",
        ),
        risk_url,
        position_url,
        audit_url,
        gateway_url,
        sim_admin_url,
        telegram_url,
        proxy_urls: proxy_urls
            .split(',')
            .map(|url| url.trim().trim_end_matches('/').to_owned())
            .filter(|url| !url.is_empty())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_and_frequency_come_from_the_settings() {
        let text = "[drill]\nfrequency = \"Weekly\"\n[drill.contacts.primary]\nname = \"Ada\"\ncontact = \"+43 1\"\n";
        let (config, docs) = DrillConfig::read(&Settings::from_toml(text).expect("toml")).expect("good");
        assert_eq!(config.form.frequency, "Weekly");
        let primary = &config.form.contacts[0];
        assert_eq!(
            (primary.name.as_str(), primary.contact.as_str(), primary.notes.as_str()),
            ("Ada", "+43 1", "Available 24/7")
        );
        assert_eq!(config.form.contacts[1].name, "");
        assert!(docs.iter().any(|doc| doc.key == "drill.contacts.infrastructure.notes"));
    }

    #[test]
    fn several_mistakes_are_named_at_once() {
        let text = "[drill]\nlisten = \"nowhere\"\nallow_live = \"perhaps\"\ncontact = 1\n";
        let faults = DrillConfig::read(&Settings::from_toml(text).expect("toml")).expect_err("three faults");
        let keys: Vec<_> = faults.faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["drill.listen", "drill.allow_live", "drill.contact"]);
    }
}
