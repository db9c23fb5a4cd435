//! The registry tells the truth: the sources pass every place that it lists, and no other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thunes_failpoint::{ALL, Owner};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Place to the sources that pass it: `pass("NAME")` in services/*/src and crates/*/src.
fn passed() -> BTreeMap<String, Vec<PathBuf>> {
    let mut files = Vec::new();
    for part in ["services", "crates"] {
        for package in std::fs::read_dir(workspace().join(part)).expect("the workspace") {
            rust_files(&package.expect("a package").path().join("src"), &mut files);
        }
    }
    assert!(files.len() > 100, "these are the sources: {files:?}");
    let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source");
        for part in text.split("pass(\"").skip(1) {
            let name = part.split('"').next().expect("split gives at least one part");
            places.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    places
}

#[test]
fn p4_the_registry_lists_every_place_that_the_sources_pass_and_no_other() {
    let passed = passed();
    let unknown: Vec<_> = passed
        .iter()
        .filter(|(name, _)| thunes_failpoint::find(name).is_none())
        .collect();
    assert!(unknown.is_empty(), "passed, but not in the registry: {unknown:#?}");
    let gone: Vec<_> = ALL.iter().filter(|point| !passed.contains_key(point.name)).collect();
    assert!(gone.is_empty(), "in the registry, but passed nowhere: {gone:#?}");
}

#[test]
fn p4_a_place_has_one_name_and_stands_in_its_owners_sources() {
    let passed = passed();
    for point in ALL {
        assert_eq!(
            ALL.iter().filter(|other| other.name == point.name).count(),
            1,
            "{} is listed twice",
            point.name
        );
        let part = match point.owner {
            Owner::ExchangeSim => "services/exchange-sim/",
            Owner::Audit if point.name.starts_with("tlog.") => "crates/tlog/",
            Owner::Audit => "services/audit/",
            Owner::Position => "services/position/",
            Owner::Risk => "services/risk/",
            Owner::ExchangeGateway => "services/exchange-gateway/",
            Owner::WithOutbox => "crates/store/",
        };
        let sources = passed.get(point.name).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(sources.len(), 1, "{} stands in one place: {sources:?}", point.name);
        assert!(
            sources[0].to_string_lossy().contains(part),
            "{} is not in {part}: {sources:?}",
            point.name
        );
    }
}

/// Every write that a service makes durable lies between two places, so that the crash matrix reaches both sides of it.
#[test]
fn p4_every_commit_of_a_service_has_a_place_before_it() {
    let mut files = Vec::new();
    for service in ["audit", "exchange-gateway", "position", "risk"] {
        rust_files(&workspace().join("services").join(service).join("src"), &mut files);
    }
    // What tells of a start: nobody was told anything yet. And what a measurement fills its own database with.
    let excepted = ["position/src/service.rs", "reconciling/speed.rs"];
    for file in files {
        let shown = file.to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("a source");
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(".commit()")) {
            if excepted.iter().any(|end| shown.ends_with(end)) {
                continue;
            }
            let before = &lines[index.saturating_sub(6)..index];
            assert!(
                before.iter().any(|line| line.contains("pass(\"")),
                "{shown}:{}: no failpoint before {line:?}",
                index + 1
            );
        }
    }
}
