use thunes_runtime::{ConfigFaults, KeyDoc, ListenAddress, Settings};

/// The settings of the stand-in (`[telegram]`).
#[derive(Debug, Clone)]
pub struct StandinConfig {
    pub listen: ListenAddress,
    /// Whether it may listen beyond this machine although nothing is encrypted.
    pub plaintext: bool,
}

impl StandinConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// Every fault of the section at once.
    pub fn read(settings: &Settings) -> Result<(Self, Vec<KeyDoc>), ConfigFaults> {
        let mut r = settings.reader("telegram");
        let config = Self {
            listen: r.listen("listen", "127.0.0.1:7112", "where the Telegram stand-in listens"),
            plaintext: r.boolean(
                "plaintext",
                false,
                "allow the stand-in to listen beyond loopback, unencrypted",
            ),
        };
        Ok((config, r.finish()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_documented_one_and_mistakes_are_named_at_once() {
        let (config, docs) = StandinConfig::read(&Settings::default()).expect("defaults");
        assert_eq!((config.listen.port(), docs.len()), (7112, 2));
        let settings =
            Settings::from_toml("[telegram]\nlisten = \"here\"\nplaintext = 7\ntoken = \"x\"").expect("TOML");
        assert_eq!(StandinConfig::read(&settings).expect_err("three").faults.len(), 3);
    }
}
