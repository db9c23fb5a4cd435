use std::net::SocketAddr;
use std::path::PathBuf;

use thunes_runtime::{ConfigFaults, KeyDoc, Reader, Settings};

use crate::report::{Contact, Form};

/// Settings of section `[drill]`.
#[derive(Debug, Clone)]
pub struct DrillConfig {
    pub listen: SocketAddr,
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
            listen: reader.parsed("listen", "127.0.0.1:7105", "Where the service listens.", |text| {
                text.parse().map_err(|_| "an address such as 127.0.0.1:7105".to_owned())
            }),
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
        };
        read_peers(&mut reader);
        let docs = reader.finish()?;
        Ok((config, docs))
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

// An environment tells each of its services where the others are. A drill has an environment of its own, so these are
// read only to be known as settings.
fn read_peers(reader: &mut Reader<'_>) {
    for key in [
        "risk_url",
        "position_url",
        "audit_url",
        "gateway_url",
        "sim_url",
        "sim_admin_url",
        "telegram_url",
        "proxy_urls",
    ] {
        let _ = reader.optional(
            key,
            "Set by `thunes up`; not used: a drill starts an environment of its own.",
        );
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
