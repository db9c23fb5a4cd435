use std::path::Path;

use crate::config::DrillConfig;
use crate::domain::DrillDefinition;
use crate::engine::catalog;
use crate::error::DrillError;

/// The paper form's four drills; a run that names none does these.
const FORM: usize = 4;

/// The form's drills, and those of the network.
const BUILT_IN: [(&str, &str); 9] = [
    (
        "drills/kill-switch-activation.toml",
        include_str!("../../../drills/kill-switch-activation.toml"),
    ),
    (
        "drills/kill-switch-deactivation.toml",
        include_str!("../../../drills/kill-switch-deactivation.toml"),
    ),
    (
        "drills/crash-recovery.toml",
        include_str!("../../../drills/crash-recovery.toml"),
    ),
    (
        "drills/position-reconciliation.toml",
        include_str!("../../../drills/position-reconciliation.toml"),
    ),
    (
        "drills/gateway-cut-from-risk.toml",
        include_str!("../../../drills/gateway-cut-from-risk.toml"),
    ),
    (
        "drills/gateway-cut-from-exchange.toml",
        include_str!("../../../drills/gateway-cut-from-exchange.toml"),
    ),
    (
        "drills/audit-unreachable.toml",
        include_str!("../../../drills/audit-unreachable.toml"),
    ),
    (
        "drills/position-unreachable.toml",
        include_str!("../../../drills/position-unreachable.toml"),
    ),
    (
        "drills/alert-late.toml",
        include_str!("../../../drills/alert-late.toml"),
    ),
];

/// Every drill that can be run: the built-in ones in the form's order, then the user's own by file name.
///
/// # Errors
/// When a file cannot be used, or two drills have the same name.
pub fn list_drills(config: &DrillConfig) -> Result<Vec<DrillDefinition>, DrillError> {
    let mut drills = Vec::new();
    for (file, text) in BUILT_IN {
        drills.push((file.to_owned(), DrillDefinition::parse(file, text, &catalog)?));
    }
    if let Some(folder) = &config.drills_dir {
        drills.extend(read_folder(folder)?);
    }
    for (at, (file, drill)) in drills.iter().enumerate() {
        for name in std::iter::once(&drill.id).chain(&drill.aliases) {
            if let Some((first, _)) = drills[..at].iter().find(|(_, earlier)| earlier.is_called(name)) {
                let (name, first, second) = (name.clone(), first.clone(), file.clone());
                return Err(DrillError::SameName { name, first, second });
            }
        }
    }
    Ok(drills.into_iter().map(|(_, drill)| drill).collect())
}

fn read_folder(folder: &Path) -> Result<Vec<(String, DrillDefinition)>, DrillError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DrillError::ReadFile { path, source }
    };
    let entries = std::fs::read_dir(folder).map_err(failed(folder))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let (file, text) = (
            path.display().to_string(),
            std::fs::read_to_string(path).map_err(failed(path))?,
        );
        let drill = DrillDefinition::parse(&file, &text, &catalog)?;
        Ok((file, drill))
    };
    paths.iter().map(read).collect()
}

/// The drills of these names, each once, in the order of the library; the form's four when no name is given.
///
/// # Errors
/// Names the drills that there are.
pub(crate) fn select(config: &DrillConfig, names: &[String]) -> Result<Vec<DrillDefinition>, DrillError> {
    let all = list_drills(config)?;
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|drill| drill.is_called(name))) {
        let known: Vec<_> = all
            .iter()
            .map(|drill| {
                std::iter::once(&drill.id)
                    .chain(&drill.aliases)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(" = ")
            })
            .collect();
        return Err(DrillError::Unknown {
            name: unknown.clone(),
            known: known.join(", "),
        });
    }
    if names.is_empty() {
        return Ok(all.into_iter().take(FORM).collect());
    }
    Ok(all
        .into_iter()
        .filter(|drill| names.iter().any(|name| drill.is_called(name)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use thunes_runtime::Settings;

    fn config(text: &str) -> DrillConfig {
        DrillConfig::read(&Settings::from_toml(text).expect("toml"))
            .expect("config")
            .0
    }

    #[test]
    fn the_built_in_drills_are_the_forms_four_and_those_of_the_network() {
        let drills = list_drills(&config("")).expect("good files");
        let ids: Vec<_> = drills.iter().map(|drill| drill.id.as_str()).collect();
        assert_eq!(ids, ["T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9"]);
        let form = select(&config(""), &[]).expect("built-in");
        assert_eq!(
            form.iter().map(|drill| drill.id.as_str()).collect::<Vec<_>>(),
            ["T1", "T2", "T3", "T4"]
        );
    }

    #[test]
    fn every_line_of_the_form_has_criteria() {
        let forms = [
            (
                "T1",
                &[
                    "Kill-switch activated successfully",
                    "Telegram alert received within 5 seconds",
                    "BUY orders rejected",
                    "SELL orders allowed",
                    "Audit trail logged correctly",
                ][..],
            ),
            (
                "T2",
                &[
                    "Kill-switch deactivated successfully",
                    "Runbook procedure followed without errors",
                    "Trading re-enabled (BUY orders allowed)",
                    "Audit trail logged correctly",
                    "No deviations from documented procedure",
                ],
            ),
            (
                "T3",
                &[
                    "System restarts without errors",
                    "Position state recovered correctly",
                    "Audit trail integrity maintained (no corruption)",
                    "No data loss in SQLite database",
                    "Logs indicate clean recovery",
                ],
            ),
            (
                "T4",
                &[
                    "Local positions match Binance testnet",
                    "No unexplained discrepancies",
                    "Reconciliation process documented",
                    "Automated reconciliation script exists (or created during drill)",
                ],
            ),
        ];
        let drills = list_drills(&config("")).expect("good files");
        for (id, lines) in forms {
            let drill = drills.iter().find(|drill| drill.id == id).expect(id);
            for line in lines {
                assert!(
                    drill.criteria.iter().any(|criterion| criterion.form == *line),
                    "{id} has nothing for {line:?}"
                );
            }
        }
    }

    #[test]
    fn a_drill_is_found_by_any_name_in_any_case_and_a_stranger_is_named() {
        let pick = |names: &[&str]| select(&config(""), &names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        let ids: Vec<_> = pick(&["crash-RECOVERY", "t1", "T1"])
            .expect("known")
            .into_iter()
            .map(|d| d.id)
            .collect();
        assert_eq!(ids, ["T1", "T3"]);
        let error = pick(&["T1", "T99"]).expect_err("unknown").to_string();
        assert!(
            error.contains("T99") && error.contains("kill-switch-activation"),
            "{error}"
        );
    }

    #[test]
    fn a_drill_of_the_users_own_is_read_and_must_not_take_a_name() {
        let folder = tempfile::tempdir().expect("folder");
        let own = "id = \"MINE\"\ntitle = \"t\"\nobjective = \"o\"\n[[step]]\nname = \"n\"\naction = \"reconcile\"\n\
            decides = { as_expected = \"mine.clean\" }\n[[criterion]]\nid = \"mine.clean\"\nobjective = \"clean\"\n";
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, own).expect("written");
        let with_own = config(&format!(
            "[drill]\ndrills_dir = {:?}\n",
            folder.path().display().to_string()
        ));
        assert!(
            list_drills(&with_own)
                .expect("good")
                .iter()
                .any(|drill| drill.id == "MINE")
        );
        assert_eq!(
            select(&with_own, &[]).expect("built-in").len(),
            4,
            "own drills run when they are named"
        );
        std::fs::write(&path, own.replace("\"MINE\"", "\"t3\"")).expect("written");
        let error = list_drills(&with_own).expect_err("taken").to_string();
        assert!(
            error.contains("crash-recovery.toml") && error.contains("mine.toml"),
            "{error}"
        );
    }
}
