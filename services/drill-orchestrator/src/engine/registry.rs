use serde::de::DeserializeOwned;

use super::Action;
use crate::actions;
use crate::domain::CatalogError;

/// An action that drill files can name.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub name: &'static str,
    /// What it finds out; a file's `decides` ties these to criteria.
    pub findings: &'static [&'static str],
    pub about: &'static str,
    build: fn(&toml::Table) -> Result<Box<dyn Action>, String>,
}

/// The entry of an action whose parameters are the fields of `A`.
pub const fn entry<A: Action + DeserializeOwned + 'static>(
    name: &'static str,
    findings: &'static [&'static str],
    about: &'static str,
) -> Entry {
    Entry {
        name,
        findings,
        about,
        build: build_as::<A>,
    }
}

fn build_as<A: Action + DeserializeOwned + 'static>(with: &toml::Table) -> Result<Box<dyn Action>, String> {
    let action: A = with
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())?;
    Ok(Box::new(action))
}

fn find(name: &str) -> Result<&'static Entry, CatalogError> {
    let known = || actions::ALL.iter().map(|entry| entry.name).collect();
    actions::ALL
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| CatalogError::UnknownAction(known()))
}

/// What `action` finds out, if it can be used with these parameters.
///
/// # Errors
/// When there is no such action, or its parameters are wrong.
pub fn catalog(action: &str, with: &toml::Table) -> Result<&'static [&'static str], CatalogError> {
    let entry = find(action)?;
    (entry.build)(with).map_err(CatalogError::Parameters)?;
    Ok(entry.findings)
}

/// The action of a step of a checked file.
///
/// # Errors
/// As [`catalog`].
pub fn build(action: &str, with: &toml::Table) -> Result<Box<dyn Action>, CatalogError> {
    (find(action)?.build)(with).map_err(CatalogError::Parameters)
}

/// Every action, with what it does.
pub fn action_names() -> impl Iterator<Item = &'static Entry> {
    actions::ALL.iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parameters_are_refused_by_every_action() {
        let with: toml::Table = "no_such_parameter = 1".parse().expect("toml");
        for entry in action_names() {
            let refused = catalog(entry.name, &with);
            assert!(
                matches!(refused, Err(CatalogError::Parameters(_))),
                "{} takes anything",
                entry.name
            );
        }
        let mut names: Vec<_> = action_names().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), action_names().count(), "each action has a name of its own");
    }
}
