use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// A drill as its file says it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillDefinition {
    /// Short and upper case, such as T1.
    pub id: String,
    #[serde(default)]
    pub aliases: Vec<String>,
    pub title: String,
    /// As the summary table names it; the title when it is left out.
    #[serde(default)]
    pub short_title: String,
    pub objective: String,
    /// What must be true before; said to people, and judged by the steps named here.
    #[serde(default, rename = "precondition")]
    pub preconditions: Vec<StepDefinition>,
    /// Holds before the first step and again after the rollback.
    #[serde(default, rename = "steady_state")]
    pub steady_state: Vec<StepDefinition>,
    #[serde(rename = "step")]
    pub steps: Vec<StepDefinition>,
    #[serde(rename = "criterion")]
    pub criteria: Vec<CriterionDefinition>,
    #[serde(default, rename = "rollback")]
    pub rollback: Vec<StepDefinition>,
}

/// One action or probe.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDefinition {
    pub name: String,
    pub action: String,
    /// The action's parameters.
    #[serde(default)]
    pub with: toml::Table,
    /// Which criterion each of the action's findings decides.
    #[serde(default)]
    pub decides: BTreeMap<String, String>,
}

/// What must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriterionDefinition {
    pub id: String,
    pub objective: String,
    /// Of the measured value; empty where it has none.
    #[serde(default)]
    pub unit: String,
    /// The line of the paper form that it belongs to; empty when it goes beyond the form.
    #[serde(default)]
    pub form: String,
}

/// A drill file that cannot be used: where, what stands there, and the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {key} = {value:?}: {rule}")]
pub struct DrillFileError {
    pub file: String,
    pub key: String,
    pub value: String,
    pub rule: String,
}

/// Says what an action finds out, or why it cannot be used so.
pub type Catalog<'a> = &'a dyn Fn(&str, &toml::Table) -> Result<&'static [&'static str], CatalogError>;

/// Why a step cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogError {
    /// With the names that there are.
    UnknownAction(Vec<&'static str>),
    Parameters(String),
}

/// Most steps that a drill file may have.
const STEPS_MAX: usize = 100;

impl DrillDefinition {
    /// Reads a drill file and checks it whole.
    ///
    /// # Errors
    /// Names the file, the key, the value and the rule.
    pub fn parse(file: &str, text: &str, catalog: Catalog<'_>) -> Result<Self, DrillFileError> {
        let mut drill: Self = toml::from_str(text).map_err(|error| {
            let value = error
                .span()
                .and_then(|span| text.get(span))
                .unwrap_or_default()
                .chars()
                .take(80)
                .collect();
            let line = error
                .span()
                .map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            refuse(file, &format!("line {line}"), value, error.message())
        })?;
        if drill.short_title.is_empty() {
            drill.short_title.clone_from(&drill.title);
        }
        drill.check_names(file)?;
        let decided = drill.check_steps(file, catalog)?;
        let undecided = drill
            .criteria
            .iter()
            .zip(1..)
            .find(|(criterion, _)| !decided.contains(&criterion.id));
        match undecided {
            Some((criterion, number)) => Err(refuse(
                file,
                &format!("criterion[{number}].id"),
                criterion.id.clone(),
                "no step decides this criterion; name it in some step's `decides`",
            )),
            None => Ok(drill),
        }
    }

    fn check_names(&self, file: &str) -> Result<(), DrillFileError> {
        let word = |text: &str| {
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        const WORD: &str = "1 to 64 letters, digits, -, _ and .";
        for name in std::iter::once(&self.id).chain(&self.aliases) {
            if !word(name) {
                return Err(refuse(file, "id", name.clone(), WORD));
            }
        }
        if self.criteria.is_empty() {
            return Err(refuse(
                file,
                "criterion",
                String::new(),
                "a drill without criteria shows nothing; add [[criterion]]",
            ));
        }
        let mut seen = BTreeSet::new();
        for (criterion, number) in self.criteria.iter().zip(1..) {
            let key = format!("criterion[{number}].id");
            if !word(&criterion.id) {
                return Err(refuse(file, &key, criterion.id.clone(), WORD));
            }
            if !seen.insert(&criterion.id) {
                return Err(refuse(
                    file,
                    &key,
                    criterion.id.clone(),
                    "each criterion has an id of its own",
                ));
            }
        }
        Ok(())
    }

    fn check_steps(&self, file: &str, catalog: Catalog<'_>) -> Result<BTreeSet<String>, DrillFileError> {
        let known: BTreeSet<&str> = self.criteria.iter().map(|criterion| criterion.id.as_str()).collect();
        let mut decided = BTreeSet::new();
        let sections = [
            ("precondition", &self.preconditions),
            ("steady_state", &self.steady_state),
            ("step", &self.steps),
            ("rollback", &self.rollback),
        ];
        for (section, steps) in sections {
            if steps.len() > STEPS_MAX {
                return Err(refuse(file, section, steps.len().to_string(), "at most 100 steps"));
            }
            for (step, number) in steps.iter().zip(1..) {
                let at = format!("{section}[{number}]");
                check_step(file, &at, step, catalog, &known)?;
                if section != "step" && !step.decides.is_empty() {
                    let rule = "only [[step]] entries decide criteria";
                    return Err(refuse(file, &format!("{at}.decides"), step.name.clone(), rule));
                }
                decided.extend(step.decides.values().cloned());
            }
        }
        Ok(decided)
    }

    /// Whether a person means this drill by `name`; case does not matter.
    pub fn is_called(&self, name: &str) -> bool {
        std::iter::once(&self.id)
            .chain(&self.aliases)
            .any(|own| own.eq_ignore_ascii_case(name))
    }
}

fn check_step(
    file: &str,
    at: &str,
    step: &StepDefinition,
    catalog: Catalog<'_>,
    known: &BTreeSet<&str>,
) -> Result<(), DrillFileError> {
    let findings = catalog(&step.action, &step.with).map_err(|error| match error {
        CatalogError::UnknownAction(names) => {
            let rule = format!("no such action; there are: {}", names.join(", "));
            refuse(file, &format!("{at}.action"), step.action.clone(), &rule)
        }
        CatalogError::Parameters(rule) => refuse(
            file,
            &format!("{at}.with"),
            step.with.to_string().replace('\n', "; "),
            &rule,
        ),
    })?;
    for (finding, criterion) in &step.decides {
        if !findings.contains(&finding.as_str()) {
            let rule = format!("{} finds out: {}", step.action, findings.join(", "));
            return Err(refuse(file, &format!("{at}.decides"), finding.clone(), &rule));
        }
        if !known.contains(criterion.as_str()) {
            let rule = "no such criterion in this file; add it as [[criterion]]";
            return Err(refuse(
                file,
                &format!("{at}.decides.{finding}"),
                criterion.clone(),
                rule,
            ));
        }
    }
    Ok(())
}

fn refuse(file: &str, key: &str, value: String, rule: &str) -> DrillFileError {
    DrillFileError {
        file: file.to_owned(),
        key: key.to_owned(),
        value,
        rule: rule.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(action: &str, with: &toml::Table) -> Result<&'static [&'static str], CatalogError> {
        match (action, with.contains_key("bad")) {
            ("probe", false) => Ok(&["held"]),
            ("probe", true) => Err(CatalogError::Parameters("unknown field `bad`".into())),
            _ => Err(CatalogError::UnknownAction(vec!["probe"])),
        }
    }

    const GOOD: &str = "id = \"X1\"\naliases = [\"my-drill\"]\ntitle = \"Mine\"\nobjective = \"o\"\n\
        [[step]]\nname = \"look\"\naction = \"probe\"\ndecides = { held = \"x1.held\" }\n\
        [[criterion]]\nid = \"x1.held\"\nobjective = \"it holds\"\n";

    fn error(text: &str) -> DrillFileError {
        DrillDefinition::parse("mine.toml", text, &catalog).expect_err("must be refused")
    }

    #[test]
    fn a_good_file_is_read_and_called_by_any_of_its_names() {
        let drill = DrillDefinition::parse("mine.toml", GOOD, &catalog).expect("good");
        assert!(drill.is_called("x1") && drill.is_called("MY-DRILL") && !drill.is_called("x2"));
        assert_eq!(drill.short_title, "Mine");
    }

    #[test]
    fn an_unknown_action_is_named_with_file_key_and_value() {
        let got = error(&GOOD.replace("\"probe\"", "\"prob\""));
        assert_eq!(
            (got.file.as_str(), got.key.as_str(), got.value.as_str()),
            ("mine.toml", "step[1].action", "prob")
        );
        assert!(got.rule.contains("probe"), "{got}");
    }

    #[test]
    fn every_other_mistake_is_named_too() {
        let cases = [
            (GOOD.replace("held = ", "hold = "), "step[1].decides", "hold"),
            (
                GOOD.replace("held = \"x1.held\"", "held = \"x1.other\""),
                "step[1].decides.held",
                "x1.other",
            ),
            (
                GOOD.replace("decides = { held = \"x1.held\" }\n", ""),
                "criterion[1].id",
                "x1.held",
            ),
            (
                GOOD.replace("decides", "with = { bad = 1 }\ndecides"),
                "step[1].with",
                "bad = 1; ",
            ),
            (GOOD.replace("\"X1\"", "\"X 1\""), "id", "X 1"),
            (GOOD.replace("title = \"Mine\"", "titel = \"Mine\""), "line 3", "titel"),
            (
                format!("{GOOD}[[criterion]]\nid = \"x1.held\"\nobjective = \"again\"\n"),
                "criterion[2].id",
                "x1.held",
            ),
        ];
        for (text, key, value) in cases {
            let got = error(&text);
            assert_eq!((got.key.as_str(), got.value.as_str()), (key, value), "{got}");
        }
        assert!(error("id = ").rule.len() > 3);
    }
}
