//! Faults of the network, and their end.

use serde::Deserialize;
use thunes_runtime::clock;
use thunes_supervisor::embedded::Service;

use crate::action;
use crate::domain::{Evidence, EvidenceKind, Judgement, Measured};
use crate::engine::{ActionResult, Context, CutState, Outcome, answer};
use crate::environment::{Fault, FaultKind, LinkState, Place};
use crate::error::ActionError;

/// Makes links faulty until they are mended.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkFault {
    /// Each `client:server`.
    links: Vec<String>,
    kind: FaultKind,
    /// For `delay`.
    ms: Option<u64>,
}

action!(
    NetworkFault,
    "network_fault",
    [],
    "Cuts, black-holes, resets or delays links between services."
);

impl NetworkFault {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        begin(context).await?;
        let fault = Fault {
            kind: self.kind,
            ms: self.ms,
        };
        let wanted = |name: &str| self.links.iter().any(|link| link == name);
        let set = context.environment.network.set(fault, wanted).await?;
        if let Some(missing) = self.links.iter().find(|link| !set.contains(link)) {
            return Err(ActionError::NotMet(format!("there is no link {missing}")));
        }
        Ok(Outcome::did(format!("{:?} on {}", self.kind, set.join(", "))))
    }
}

/// Cuts a service off from everything: off its networks where it has any, otherwise by all of its links.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Isolate {
    service: String,
}

action!(
    Isolate,
    "isolate",
    [],
    "Takes a service off its networks, or cuts all of its links where it runs as a process."
);

impl Isolate {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let service = Service::parse(&self.service)
            .ok_or_else(|| ActionError::NotMet(format!("there is no service {:?}", self.service)))?;
        begin(context).await?;
        context.cut.isolated = Some(service);
        let how = match &context.environment.place {
            Place::Own(_) => {
                let cut = Fault {
                    kind: FaultKind::Cut,
                    ms: None,
                };
                let links = context
                    .environment
                    .network
                    .set(cut, |name| touches(name, service))
                    .await?;
                format!("links cut: {}", links.join(", "))
            }
            Place::Compose(_) => {
                let networks = context.targets().disconnect(service).await?;
                format!("taken off the networks {}", networks.join(", "))
            }
        };
        Ok(Outcome::did(format!("{service}: {how}")))
    }
}

fn touches(link: &str, service: Service) -> bool {
    link.split(':').any(|end| end == service.name())
}

/// Notes what the links had counted and when the fault took hold.
async fn begin(context: &mut Context) -> Result<(), ActionError> {
    context.cut = CutState {
        before: context.environment.network.links().await?,
        since_ms: clock::now_ms(),
        ..CutState::default()
    };
    Ok(())
}

/// Everything can reach everything again. A fault that hit nothing showed nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MendNetwork {}

action!(
    MendNetwork,
    "mend_network",
    ["hit"],
    "Ends every fault of the network, and says what it had hit by the proxies' own counters."
);

impl MendNetwork {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let now = context.environment.network.links().await?;
        let mut said = Vec::new();
        for link in context.environment.network.heal().await? {
            said.push(format!("{} mended", link.name));
        }
        for service in context.targets().services() {
            let networks = context.targets().reconnect(service).await?;
            if !networks.is_empty() {
                said.push(format!("{service} is back on {}", networks.join(", ")));
            }
        }
        context.cut.mended_at_ms = clock::now_ms();
        let hits = hits(context, &now);
        let total: u64 = hits.iter().map(|(_, hits)| hits).sum();
        let lines: Vec<_> = hits.iter().map(|(name, hits)| format!("{name}: {hits}")).collect();
        let faulty: Vec<_> = now.iter().filter(|link| link.fault.is_some()).collect();
        let evidence = vec![
            Evidence::new(EvidenceKind::Note, "hits by link", lines.join("\n")),
            answer("the faulty links, as the proxy counted them", &faulty),
        ];
        let judgement = match i64::try_from(total).unwrap_or(i64::MAX) {
            0 => Judgement::inconclusive("the fault hit no connection"),
            count => Judgement::Pass(Measured::count(count)),
        };
        if said.is_empty() {
            said.push("no fault was set".to_owned());
        }
        Ok(Outcome::did(said.join("; ")).finding("hit", judgement, evidence))
    }
}

/// What the fault did, by link: since it was set, or since the service was taken off its networks.
fn hits(context: &Context, now: &[LinkState]) -> Vec<(String, u64)> {
    let before = |name: &str| context.cut.before.iter().find(|link| link.name == name);
    let of_link = |link: &LinkState| match context.cut.isolated {
        Some(service) if touches(&link.name, service) => {
            let earlier = before(&link.name).map_or_else(Default::default, |link| link.counters);
            // Who cannot be reached is met by failing to connect to it, whoever cut it off.
            let failed = link.counters.upstream_failed.saturating_sub(earlier.upstream_failed);
            failed + link.counters.hits().saturating_sub(earlier.hits())
        }
        _ if link.fault.is_some() => link.since_fault.hits(),
        _ => 0,
    };
    now.iter()
        .map(|link| (link.name.clone(), of_link(link)))
        .filter(|(_, hits)| *hits > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_belongs_to_both_of_its_ends_and_to_nobody_else() {
        assert!(touches("risk:position", Service::Position) && touches("risk:position", Service::Risk));
        assert!(!touches("exchange-gateway:exchange", Service::ExchangeSim));
        assert!(!touches("risk:position", Service::Audit));
    }
}
