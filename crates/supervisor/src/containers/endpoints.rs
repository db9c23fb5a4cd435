use std::time::Duration;

use bollard::models::EndpointSettings;
use thunes_runtime::clock;

use crate::containers::direct::{Direct, Held};
use crate::containers::saved::{Endpoints, asked_for};
use crate::containers::state::aliases_of;
use crate::containers::{ContainerError, NetworkName, ServiceName};

/// The engine sets a network up in well under a second.
const CONFIRM_MAX: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

impl Direct {
    /// Saves what the container has on its networks, then takes it off them.
    pub(crate) async fn take_off(
        &self,
        service: &ServiceName,
        network: Option<&NetworkName>,
    ) -> Result<Vec<String>, ContainerError> {
        let held = self.hold(service).await?;
        let present = self.endpoints(&held).await?;
        let leaving: Endpoints = chosen(&present, network);
        if leaving.is_empty() {
            return Err(no_such(service, network, &present));
        }
        let project = &self.scope.project;
        let mut saved = self.saved.load(project, service, &held.id)?;
        for (name, endpoint) in &leaving {
            // Where the engine itself put it back without its names, what was saved before is the truth.
            if saved.get(name).is_none_or(|before| satisfies(endpoint, before)) {
                saved.insert(name.clone(), endpoint.clone());
            }
        }
        self.saved.store(project, service, &held.id, saved)?;
        for (name, endpoint) in &leaving {
            self.engine.disconnect(&held.id, network_of(name, endpoint)).await?;
        }
        let names: Vec<String> = leaving.into_keys().collect();
        self.until_endpoints(&held, service, "disconnect", |seen| {
            names.iter().all(|name| !seen.contains_key(name))
        })
        .await?;
        Ok(names)
    }

    /// Puts the container back on what it was taken off, and forgets it when the engine shows it there.
    pub(crate) async fn put_back(
        &self,
        service: &ServiceName,
        network: Option<&NetworkName>,
    ) -> Result<Vec<String>, ContainerError> {
        let held = self.hold(service).await?;
        let project = &self.scope.project;
        let mut saved = self.saved.load(project, service, &held.id)?;
        let present = self.endpoints(&held).await?;
        let returning = chosen(&saved, network);
        if returning.is_empty() {
            let there = network.is_some_and(|network| present.contains_key(network.as_str()));
            return match network {
                Some(_) if !there => Err(no_such(service, network, &saved)),
                None if present.is_empty() => Err(ContainerError::NothingSaved {
                    service: service.to_string(),
                }),
                _ => Ok(Vec::new()),
            };
        }
        let mut connected = Vec::new();
        for (name, endpoint) in &returning {
            if self.connect_one(&held, name, endpoint, present.get(name)).await? {
                connected.push(name.clone());
            }
        }
        self.until_endpoints(&held, service, "reconnect", |seen| {
            let there = |(name, wanted): (&String, _)| seen.get(name).is_some_and(|have| satisfies(have, wanted));
            returning.iter().all(there)
        })
        .await?;
        saved.retain(|name, _| !returning.contains_key(name));
        self.saved.store(project, service, &held.id, saved)?;
        Ok(connected)
    }

    /// A container that was started while it was cut off is put on its first network by the engine, without its names:
    /// that does not count as being there.
    async fn connect_one(
        &self,
        held: &Held,
        name: &str,
        wanted: &EndpointSettings,
        present: Option<&EndpointSettings>,
    ) -> Result<bool, ContainerError> {
        let network = network_of(name, wanted);
        match present {
            Some(have) if satisfies(have, wanted) => return Ok(false),
            Some(_) => self.engine.disconnect(&held.id, network).await?,
            None => {}
        }
        self.engine.connect_network(&held.id, network, wanted.clone()).await?;
        Ok(true)
    }

    async fn endpoints(&self, held: &Held) -> Result<Endpoints, ContainerError> {
        let inspected = self.engine.inspect(&held.id).await?;
        let networks = inspected.network_settings.and_then(|settings| settings.networks);
        let networks = networks.ok_or(ContainerError::Malformed {
            call: "inspect",
            what: "NetworkSettings.Networks",
        })?;
        let endpoints = networks.into_iter().map(|(name, endpoint)| {
            let asked_for = asked_for(&held.id, &endpoint);
            (name, asked_for)
        });
        Ok(endpoints.collect())
    }

    async fn until_endpoints(
        &self,
        held: &Held,
        service: &ServiceName,
        call: &'static str,
        wanted: impl Fn(&Endpoints) -> bool,
    ) -> Result<(), ContainerError> {
        let begun = clock::instant();
        loop {
            let seen = self.endpoints(held).await?;
            if wanted(&seen) {
                return Ok(());
            }
            if begun.elapsed() > CONFIRM_MAX {
                let names: Vec<String> = seen.into_keys().collect();
                return Err(ContainerError::NotConfirmed {
                    service: service.to_string(),
                    call,
                    waited: CONFIRM_MAX,
                    seen: format!("it is on the networks [{}]", names.join(", ")),
                });
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

fn chosen(endpoints: &Endpoints, network: Option<&NetworkName>) -> Endpoints {
    let wanted = |name: &String| network.is_none_or(|network| network.as_str() == name);
    let chosen = endpoints.iter().filter(|(name, _)| wanted(name));
    chosen
        .map(|(name, endpoint)| (name.clone(), endpoint.clone()))
        .collect()
}

/// Two networks can share a name, so the id is meant where it is known.
fn network_of<'a>(name: &'a str, endpoint: &'a EndpointSettings) -> &'a str {
    endpoint
        .network_id
        .as_deref()
        .filter(|id| !id.is_empty())
        .unwrap_or(name)
}

/// Every name that it had there, it has.
fn satisfies(have: &EndpointSettings, wanted: &EndpointSettings) -> bool {
    // Both lists went through `asked_for` and hold no short id any more.
    let (have, wanted) = (aliases_of("", have), aliases_of("", wanted));
    wanted.iter().all(|alias| have.contains(alias))
}

fn no_such(service: &ServiceName, network: Option<&NetworkName>, known: &Endpoints) -> ContainerError {
    ContainerError::NoSuchNetwork {
        service: service.to_string(),
        network: network.map(ToString::to_string),
        known: known.keys().cloned().collect(),
    }
}
