use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bollard::models::EndpointSettings;
use serde::{Deserialize, Serialize};

use crate::containers::state::aliases_of;
use crate::containers::{ContainerError, Project, ServiceName};

const SCHEMA_VERSION: u32 = 1;

/// What a container had on its networks before it was taken off them, by the network's name.
pub(crate) type Endpoints = BTreeMap<String, EndpointSettings>;

/// The memory of disconnections: one file for each container that is cut off. The engine forgets aliases when it
/// disconnects, so they are on disk before, and stay there until the engine shows them again.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    dir: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    schema_version: u32,
    container_id: String,
    networks: Endpoints,
}

impl Saved {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn path(&self, project: &Project, service: &ServiceName) -> PathBuf {
        // A project's name has no point, so no two pairs share a file.
        self.dir.join(format!("{project}.{service}.networks.json"))
    }

    /// What is saved of the container `id`; empty for a container that was made anew since, which has all that it should.
    pub(crate) fn load(&self, project: &Project, service: &ServiceName, id: &str) -> Result<Endpoints, ContainerError> {
        let path = self.path(project, service);
        let read = || -> io::Result<Endpoints> {
            let text = match std::fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Endpoints::new()),
                read => read?,
            };
            let record: Record = serde_json::from_slice(&text)?;
            if record.schema_version != SCHEMA_VERSION {
                let version = record.schema_version;
                return Err(io::Error::other(format!("schema version {version} is not known here")));
            }
            Ok(if record.container_id == id {
                record.networks
            } else {
                Endpoints::new()
            })
        };
        read().map_err(|source| ContainerError::State {
            path: path.clone(),
            source,
        })
    }

    /// Replaces what is saved, on disk when it returns; nothing to save means no file.
    pub(crate) fn store(
        &self,
        project: &Project,
        service: &ServiceName,
        id: &str,
        networks: Endpoints,
    ) -> Result<(), ContainerError> {
        let path = self.path(project, service);
        let write = || -> io::Result<()> {
            if networks.is_empty() {
                return match std::fs::remove_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    removed => removed.and_then(|()| File::open(&self.dir)?.sync_all()),
                };
            }
            DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
            let record = Record {
                schema_version: SCHEMA_VERSION,
                container_id: id.to_owned(),
                networks,
            };
            replace(&self.dir, &path, &serde_json::to_vec_pretty(&record)?)
        };
        write().map_err(|source| ContainerError::State {
            path: path.clone(),
            source,
        })
    }
}

fn replace(dir: &Path, path: &Path, contents: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(contents)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    File::open(dir)?.sync_all()
}

/// What can be asked for at a connection: not the addresses that the engine chose, which may be another's by then.
pub(crate) fn asked_for(id: &str, endpoint: &EndpointSettings) -> EndpointSettings {
    EndpointSettings {
        ipam_config: endpoint.ipam_config.clone(),
        links: endpoint.links.clone(),
        aliases: Some(aliases_of(id, endpoint)),
        driver_opts: endpoint.driver_opts.clone(),
        network_id: endpoint.network_id.clone(),
        ..EndpointSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_survives_for_this_container_only() {
        let folder = tempfile::tempdir().expect("folder");
        let saved = Saved::new(folder.path().join("state"));
        let (project, service) = (
            Project::parse("p").expect("name"),
            ServiceName::parse("risk").expect("name"),
        );
        let endpoint = EndpointSettings {
            aliases: Some(vec!["risk".into(), "0123456789ab".into()]),
            ip_address: Some("172.18.0.2".into()),
            ..EndpointSettings::default()
        };
        let id = "0123456789abcdef";
        let networks = Endpoints::from([("p_default".to_owned(), asked_for(id, &endpoint))]);
        saved.store(&project, &service, id, networks).expect("stored");
        let loaded = saved.load(&project, &service, id).expect("loaded");
        let kept = &loaded["p_default"];
        assert_eq!(
            kept.aliases,
            Some(vec!["risk".to_owned()]),
            "the engine adds the short id itself"
        );
        assert_eq!(kept.ip_address, None);
        assert!(saved.load(&project, &service, "another").expect("loaded").is_empty());
        saved.store(&project, &service, id, Endpoints::new()).expect("stored");
        assert_eq!(
            std::fs::read_dir(folder.path().join("state")).expect("folder").count(),
            0
        );

        std::fs::write(folder.path().join("state/p.risk.networks.json"), "{").expect("damaged");
        assert!(
            saved.load(&project, &service, id).is_err(),
            "damage is not taken for nothing"
        );
    }
}
