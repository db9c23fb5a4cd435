use std::path::PathBuf;

use thunes_runtime::{ConfigFaults, KeyDoc, ListenAddress, Settings};

/// The settings of section `audit`.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    pub listen: ListenAddress,
    /// Allows an address that is not loopback.
    pub plaintext: bool,
    pub data_dir: PathBuf,
    /// Requests that may wait for the disk.
    pub queue_max: usize,
}

impl AuditConfig {
    /// Reads the section.
    ///
    /// # Errors
    /// Every setting that cannot be used.
    pub fn read(settings: &Settings) -> Result<(Self, Vec<KeyDoc>), ConfigFaults> {
        let mut reader = settings.reader("audit");
        let queue_doc = "How many append requests may wait for the disk; a further one is refused as OVERLOADED.";
        let config = Self {
            listen: reader.listen("listen", "127.0.0.1:7103", "Where the gRPC server listens."),
            plaintext: reader.boolean(
                "plaintext",
                false,
                "Listen on an address that is not loopback, without TLS.",
            ),
            data_dir: reader.path(
                "data_dir",
                "thunes-data",
                "Where the log lives: DIR/logs/audit_trail.jsonl.",
            ),
            queue_max: usize::try_from(reader.integer("queue_max", 1024, 1..=65_536, queue_doc)).unwrap_or(1024),
        };
        Ok((config, reader.finish()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_setting_is_named_at_once() {
        let settings = Settings::from_toml("[audit]\nlisten = \"here\"\nqueue_max = 0\nplaintext = 1\nspeed = 3\n");
        let faults = AuditConfig::read(&settings.expect("toml"))
            .expect_err("four faults")
            .faults;
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            ["audit.listen", "audit.plaintext", "audit.queue_max", "audit.speed"]
        );
        let (config, docs) = AuditConfig::read(&Settings::default()).expect("defaults");
        assert_eq!((config.listen.port(), config.queue_max, docs.len()), (7103, 1024, 4));
    }
}
