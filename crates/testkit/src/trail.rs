use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// The lines of an audit trail, each of which must be JSON.
#[derive(Debug)]
pub struct Trail {
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    pub seq: u64,
    pub event_id: String,
    pub event_type: String,
    pub service: String,
    pub trace_id: String,
    pub payload: Value,
}

impl Trail {
    /// Reads the file while nobody writes it.
    ///
    /// # Panics
    /// When a line is no JSON, is cut short, or does not count on from the one before (P6).
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "P6: the last line is cut short: {:?}",
            text.lines().last()
        );
        let mut lines = Vec::new();
        for (index, raw) in text.lines().enumerate() {
            let line: Value =
                serde_json::from_str(raw).unwrap_or_else(|e| panic!("P6: line {}: {e}: {raw}", index + 1));
            let text = |key: &str| {
                line[key]
                    .as_str()
                    .unwrap_or_else(|| panic!("P6: no {key}: {raw}"))
                    .to_owned()
            };
            let seq = line["seq"].as_u64().unwrap_or_else(|| panic!("P6: no seq: {raw}"));
            assert_eq!(seq, index as u64 + 1, "P6: the numbers do not count on: {raw}");
            lines.push(Line {
                seq,
                event_id: text("event_id"),
                event_type: text("event_type"),
                service: text("service"),
                trace_id: text("trace_id"),
                payload: line["payload"].clone(),
            });
        }
        Self { lines }
    }

    /// The line of that number.
    pub fn line(&self, seq: u64) -> Option<&Line> {
        seq.checked_sub(1)
            .and_then(|index| self.lines.get(usize::try_from(index).ok()?))
    }

    pub fn of_type<'a>(&'a self, event_type: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.event_type == event_type)
    }

    /// Asserts that each producer's events stand there once and in the producer's own order (P7), and returns how many
    /// each has.
    ///
    /// # Panics
    /// When a number is missing, comes twice or comes out of order.
    pub fn assert_each_producer_counts_on(&self) -> BTreeMap<String, u64> {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for line in &self.lines {
            let parts: Vec<&str> = line.event_id.split(':').collect();
            let [producer, incarnation, number] = parts[..] else {
                continue;
            };
            if producer == "req" {
                continue;
            }
            let number: u64 = number
                .parse()
                .unwrap_or_else(|_| panic!("P7: event id {}", line.event_id));
            let before = last.entry(format!("{producer}:{incarnation}")).or_default();
            assert_eq!(
                number,
                *before + 1,
                "P7: after {before} of {producer} comes {}",
                line.event_id
            );
            *before = number;
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(ids: &[&str]) -> Trail {
        let line = |(index, id): (usize, &&str)| Line {
            seq: index as u64 + 1,
            event_id: (*id).to_owned(),
            event_type: "X".to_owned(),
            service: "risk".to_owned(),
            trace_id: String::new(),
            payload: Value::Null,
        };
        Trail {
            lines: ids.iter().enumerate().map(line).collect(),
        }
    }

    #[test]
    fn p7_producers_count_each_for_himself() {
        let counts =
            trail(&["risk:a:1", "position:b:1", "own", "req:x:0", "risk:a:2"]).assert_each_producer_counts_on();
        assert_eq!((counts["risk:a"], counts["position:b"]), (2, 1));
    }

    #[test]
    #[should_panic(expected = "after 1 of risk")]
    fn p7_a_missing_event_is_seen() {
        trail(&["risk:a:1", "risk:a:3"]).assert_each_producer_counts_on();
    }

    #[test]
    #[should_panic(expected = "after 1 of risk")]
    fn p7_an_event_that_stands_twice_is_seen() {
        trail(&["risk:a:1", "risk:a:1"]).assert_each_producer_counts_on();
    }

    #[test]
    #[should_panic(expected = "cut short")]
    fn p6_a_torn_line_is_seen() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("trail"), "{\"seq\":1").expect("written");
        Trail::read(&folder.path().join("trail"));
    }
}
