use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::Settings;

/// One setting that cannot be used: its key, the value as given, the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub key: String,
    pub value: String,
    pub rule: String,
}

/// Every fault of the settings, all at once.
#[derive(Debug, Clone, thiserror::Error)]
pub struct ConfigFaults {
    pub origin: String,
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} setting(s) cannot be used ({}):", self.faults.len(), self.origin)?;
        for fault in &self.faults {
            write!(f, "\n  {} = {:?}: {}", fault.key, fault.value, fault.rule)?;
        }
        Ok(())
    }
}

/// What a key is for; the reference page is made of these.
#[derive(Debug, Clone)]
pub struct KeyDoc {
    pub key: String,
    pub default: String,
    pub doc: &'static str,
}

/// Every section that a settings file can have.
const SECTIONS: &[&str] = &[
    "risk", "position", "audit", "gateway", "sim", "drill", "telegram", "proxy",
];

/// Reads one section key by key, gathering every fault instead of stopping at the first.
#[derive(Debug)]
pub struct Reader<'a> {
    settings: &'a Settings,
    section: String,
    known: BTreeSet<String>,
    faults: Vec<Fault>,
    docs: Vec<KeyDoc>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(settings: &'a Settings, section: &str) -> Self {
        Self {
            settings,
            section: section.to_owned(),
            known: BTreeSet::new(),
            faults: Vec::new(),
            docs: Vec::new(),
        }
    }

    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.section)
    }

    fn file_value(&self, full: &str) -> Option<&'a toml::Value> {
        let mut parts = full.split('.');
        let mut value = self.settings.file.get(parts.next()?)?;
        for part in parts {
            value = value.as_table()?.get(part)?;
        }
        Some(value)
    }

    fn raw(&mut self, key: &str, default: &str, doc: &'static str) -> Option<String> {
        let full = self.full(key);
        self.known.insert(full.clone());
        self.docs.push(KeyDoc {
            key: full.clone(),
            default: default.to_owned(),
            doc,
        });
        if let Some(value) = self.settings.overrides.get(&full) {
            return Some(value.clone());
        }
        if let Some(value) = self.settings.environment.get(&Settings::env_name(&full)) {
            return Some(value.clone());
        }
        match self.file_value(&full)? {
            toml::Value::String(text) => Some(text.clone()),
            toml::Value::Array(items) => {
                let texts = items
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
                Some(texts.collect::<Vec<_>>().join(","))
            }
            other => Some(other.to_string()),
        }
    }

    fn fault(&mut self, key: &str, value: &str, rule: impl Into<String>) {
        let key = self.full(key);
        self.faults.push(Fault {
            key,
            value: value.to_owned(),
            rule: rule.into(),
        });
    }

    /// Records a fault that only the reading component can see, such as two settings that contradict each other.
    pub fn refuse(&mut self, key: &str, value: &str, rule: impl Into<String>) {
        self.fault(key, value, rule);
    }

    /// Text, with a default.
    pub fn text(&mut self, key: &str, default: &str, doc: &'static str) -> String {
        self.raw(key, default, doc).unwrap_or_else(|| default.to_owned())
    }

    /// Text that may be absent; empty counts as absent.
    pub fn optional(&mut self, key: &str, doc: &'static str) -> Option<String> {
        self.raw(key, "", doc).filter(|value| !value.is_empty())
    }

    /// A path, with a default.
    pub fn path(&mut self, key: &str, default: &str, doc: &'static str) -> PathBuf {
        PathBuf::from(self.text(key, default, doc))
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, key: &str, default: i64, bounds: RangeInclusive<i64>, doc: &'static str) -> i64 {
        let Some(text) = self.raw(key, &default.to_string(), doc) else {
            return default;
        };
        match text.parse::<i64>() {
            Ok(value) if bounds.contains(&value) => value,
            _ => {
                self.fault(
                    key,
                    &text,
                    format!("a whole number from {} to {}", bounds.start(), bounds.end()),
                );
                default
            }
        }
    }

    /// true or false.
    pub fn boolean(&mut self, key: &str, default: bool, doc: &'static str) -> bool {
        let Some(text) = self.raw(key, if default { "true" } else { "false" }, doc) else {
            return default;
        };
        match text.as_str() {
            "true" => true,
            "false" => false,
            _ => {
                self.fault(key, &text, "true or false");
                default
            }
        }
    }

    /// A list; in the environment and on the command line its items are joined by commas.
    pub fn list(&mut self, key: &str, default: &[&str], doc: &'static str) -> Vec<String> {
        let joined = default.join(",");
        let text = self.raw(key, &joined, doc).unwrap_or(joined);
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Anything with a parser; `default` must parse.
    pub fn parsed<T>(
        &mut self,
        key: &str,
        default: &str,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let text = self.text(key, default, doc);
        match parse(&text) {
            Ok(value) => value,
            Err(rule) => {
                self.fault(key, &text, rule);
                parse(default).unwrap_or_else(|rule| panic!("the default of {key} must parse: {rule}"))
            }
        }
    }

    /// Ends the reading of this section.
    ///
    /// # Errors
    /// Every fault that was found, unknown keys of the section included.
    pub fn finish(mut self) -> Result<Vec<KeyDoc>, ConfigFaults> {
        if let Some(table) = self.file_value(&self.section.clone()) {
            let mut unknown = Vec::new();
            collect_unknown(&self.section, table, &self.known, &mut unknown);
            for (key, value) in unknown {
                self.faults.push(Fault {
                    key,
                    value,
                    rule: "no such setting; see docs/CONFIGURATION.md".into(),
                });
            }
        }
        for section in self
            .settings
            .file
            .keys()
            .filter(|name| !SECTIONS.contains(&name.as_str()))
        {
            let rule = format!("no such section; there are {}", SECTIONS.join(", "));
            self.faults.push(Fault {
                key: format!("[{section}]"),
                value: String::new(),
                rule,
            });
        }
        if self.faults.is_empty() {
            return Ok(self.docs);
        }
        let origin = self
            .settings
            .origin
            .as_ref()
            .map_or("flags and environment".into(), |p| p.display().to_string());
        Err(ConfigFaults {
            origin,
            faults: self.faults,
        })
    }
}

fn collect_unknown(prefix: &str, value: &toml::Value, known: &BTreeSet<String>, unknown: &mut Vec<(String, String)>) {
    if known.contains(prefix) {
        return;
    }
    match value {
        toml::Value::Table(table) => {
            for (key, inner) in table {
                collect_unknown(&format!("{prefix}.{key}"), inner, known, unknown);
            }
        }
        other => unknown.push((prefix.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_mistakes_are_named_at_once() {
        let settings = Settings::from_toml(
            "[risk]\nport = 99999\nfast = \"maybe\"\ntypo = 1\n[risk.limits]\nx = 1\n[gatway]\ny = 1\n",
        )
        .expect("toml");
        let mut reader = settings.reader("risk");
        reader.integer("port", 7101, 1..=65535, "");
        reader.boolean("fast", false, "");
        let faults = reader.finish().expect_err("five faults");
        let keys: Vec<_> = faults.faults.iter().map(|f| f.key.as_str()).collect();
        assert_eq!(
            keys,
            ["risk.port", "risk.fast", "risk.limits.x", "risk.typo", "[gatway]"]
        );
        let shown = faults.to_string();
        assert!(shown.contains("99999") && shown.contains("1 to 65535"), "{shown}");
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let mut settings = Settings::from_toml("[sim]\nx = 1\ny = 1\nz = 1\n").expect("toml");
        settings.environment.insert("THUNES_SIM_Y".into(), "2".into());
        settings.environment.insert("THUNES_SIM_Z".into(), "2".into());
        let settings = settings.with("sim.z", "3");
        let mut reader = settings.reader("sim");
        let got = ["x", "y", "z"].map(|key| reader.integer(key, 0, 0..=9, ""));
        assert_eq!(got, [1, 2, 3]);
        reader.finish().expect("no faults");
    }
}
