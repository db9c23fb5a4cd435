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
        let said = format!("{:?} on {}", self.kind, set.join(", "));
        context.cut.since_ms = clock::now_ms();
        context.cut.links = set;
        Ok(Outcome::did(said))
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
        if matches!(
            service,
            Service::FaultProxy | Service::ExchangeSim | Service::DrillOrchestrator
        ) {
            return Err(ActionError::NotMet(format!(
                "{service} is what the drill itself stands on; it is not cut off"
            )));
        }
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
                // What came until now was no fault.
                context.cut.before = context.environment.network.links().await?;
                format!("taken off the networks {}", networks.join(", "))
            }
        };
        context.cut.since_ms = clock::now_ms();
        Ok(Outcome::did(format!("{service}: {how}")))
    }
}

fn touches(link: &str, service: Service) -> bool {
    link.split(':').any(|end| end == service.name())
}

/// Forgets the fault before, and notes what the links had counted. The moment of the fault is noted once it is there.
pub(super) async fn begin(context: &mut Context) -> Result<(), ActionError> {
    context.cut = CutState::default();
    context.cut.before = context.environment.network.links().await?;
    Ok(())
}

/// Whether what the drill did to the network is still so.
///
/// # Errors
/// When no fault was made, or it is gone: what is seen now says nothing of it.
pub(super) async fn fault_is_there(context: &Context) -> Result<(), ActionError> {
    if context.cut.since_ms == 0 {
        return Err(ActionError::NotMet(
            "no fault of the network was made before".to_owned(),
        ));
    }
    let links = context.environment.network.links().await?;
    let since = |link: &LinkState| link.fault.as_ref().and_then(|fault| fault["since_ms"].as_i64());
    let gone = context.cut.links.iter().find(|name| {
        let link = links.iter().find(|link| link.name == **name);
        link.and_then(since).is_none_or(|at_ms| at_ms > context.cut.since_ms)
    });
    match gone {
        None => Ok(()),
        Some(name) => Err(ActionError::NotMet(format!(
            "the fault on {name} is gone: was its proxy started again meanwhile?"
        ))),
    }
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
        let seen = context.environment.network.links().await;
        context.cut.mend_begun_ms = clock::now_ms();
        // One that does not answer must not keep the others from being mended.
        let (mut said, mut failed) = context.environment.network.heal().await;
        for service in context.targets().services() {
            match context.targets().reconnect(service).await {
                Ok(networks) if networks.is_empty() => {}
                Ok(networks) => said.push(format!("{service} is back on {}", networks.join(", "))),
                Err(error) => failed.push(format!("{service}: {error}")),
            }
        }
        context.cut.mended_at_ms = clock::now_ms();
        if !failed.is_empty() {
            return Err(ActionError::NotMet(format!(
                "not everything was mended: {}",
                failed.join("; ")
            )));
        }
        let seen = seen?;
        let hits = hits(context, &seen);
        let lines: Vec<_> = hits.iter().map(|(name, hits)| format!("{name}: {hits}")).collect();
        let faulty: Vec<_> = seen.iter().filter(|link| link.fault.is_some()).collect();
        let evidence = vec![
            Evidence::new(EvidenceKind::Note, "hits by link", lines.join("\n")),
            answer("the faulty links, as the proxy counted them", &faulty),
        ];
        if said.is_empty() {
            said.push("no fault was set".to_owned());
        }
        Ok(Outcome::did(said.join("; ")).finding("hit", judge(context, &hits), evidence))
    }
}

/// Each link that was made faulty must have been hit; of a service that was cut off, any of its links.
fn judge(context: &Context, hits: &[(String, u64)]) -> Judgement {
    let of = |name: &str| hits.iter().find(|(link, _)| link == name).map_or(0, |(_, hits)| *hits);
    if let Some(untouched) = context.cut.links.iter().find(|link| of(link) == 0) {
        return Judgement::inconclusive(format!("the fault hit no connection on {untouched}"));
    }
    let total: u64 = hits.iter().map(|(_, hits)| hits).sum();
    match i64::try_from(total).unwrap_or(i64::MAX) {
        0 => Judgement::inconclusive("the fault hit no connection"),
        count => Judgement::Pass(Measured::count(count)),
    }
}

/// What the fault did, by link: since it was set, or since the service was taken off its networks.
fn hits(context: &Context, now: &[LinkState]) -> Vec<(String, u64)> {
    let before = |name: &str| context.cut.before.iter().find(|link| link.name == name);
    let of_link = |link: &LinkState| match context.cut.isolated {
        Some(service) if touches(&link.name, service) => {
            let earlier = before(&link.name).map_or_else(Default::default, |link| link.counters);
            // Who cannot be reached is met by failing to connect to it, or by sending and hearing nothing.
            let failed = link.counters.upstream_failed.saturating_sub(earlier.upstream_failed);
            let sent = link.counters.bytes_to_server.saturating_sub(earlier.bytes_to_server);
            let heard = link.counters.bytes_to_client.saturating_sub(earlier.bytes_to_client);
            failed + u64::from(sent > 0 && heard == 0) + link.counters.hits().saturating_sub(earlier.hits())
        }
        None if context.cut.links.contains(&link.name) => link.since_fault.hits(),
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
