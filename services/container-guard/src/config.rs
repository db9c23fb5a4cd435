use std::path::PathBuf;

use thunes_runtime::{ConfigFaults, KeyDoc, Settings};
use thunes_supervisor::containers::{DOCKER_SOCKET, Project};

/// The settings of section `guard`.
#[derive(Debug, Clone)]
pub struct GuardConfig {
    /// Where it listens.
    pub socket: PathBuf,
    /// Where the Docker engine listens.
    pub docker_socket: PathBuf,
    pub state_dir: PathBuf,
    /// None for that of the container that it runs in.
    pub project: Option<Project>,
}

impl GuardConfig {
    /// Reads the section.
    ///
    /// # Errors
    /// Every setting that cannot be used.
    pub fn read(settings: &Settings) -> Result<(Self, Vec<KeyDoc>), ConfigFaults> {
        let mut reader = settings.reader("guard");
        let project_doc =
            "The compose project whose containers it guards. Empty for the project of the container that it runs in.";
        let project = reader.optional("project", project_doc);
        let project = project.and_then(|text| {
            let parsed = Project::parse(&text);
            parsed.map_err(|error| reader.refuse("project", &text, error.rule)).ok()
        });
        let config = Self {
            socket: reader.path(
                "socket",
                "/run/thunes/guard.sock",
                "The Unix socket on which it listens, with mode 0666: in a folder that only it and the orchestrator share.",
            ),
            docker_socket: reader.path(
                "docker_socket",
                DOCKER_SOCKET,
                "The Docker engine's Unix socket.",
            ),
            state_dir: reader.path(
                "state_dir",
                "/var/lib/thunes/guard",
                "Keeps what a container that was cut off had on its networks; must outlive the guard.",
            ),
            project,
        };
        Ok((config, reader.finish()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_that_no_compose_file_can_have_is_refused() {
        let settings = Settings::from_toml("[guard]\nproject = \"../other\"\nspeed = 3\n").expect("toml");
        let faults = GuardConfig::read(&settings).expect_err("two faults").faults;
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["guard.project", "guard.speed"]);
        let (config, docs) = GuardConfig::read(&Settings::default()).expect("defaults");
        assert_eq!((config.project, docs.len()), (None, 4));
    }
}
