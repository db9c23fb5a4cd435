//! What happens when, drawn from the seed alone: one seed gives one schedule.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use thunes_failpoint::Failpoint;
use thunes_supervisor::embedded::Service;

/// What one life of a service brings, from its start to its SIGKILL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LifePlan {
    /// The place that ends it, and at which passing; None when it is killed from outside.
    pub dies_at: Option<(&'static str, u64)>,
    /// It stops itself before its first passing of this place and is woken after `held_ms`.
    pub stops_at: Option<&'static str>,
    /// SIGSTOP from outside, so long after it was ready.
    pub stopped_after_ms: Option<u64>,
    /// How long a stop lasts: past the end of a lease.
    pub held_ms: u64,
    /// SIGKILL from outside comes so long after it was ready, if it lives then.
    pub patience_ms: u64,
}

impl LifePlan {
    /// As THUNES_FAILPOINTS says it.
    pub fn failpoints(&self) -> String {
        let kill = self.dies_at.map(|(name, nth)| format!("{name}=kill@{nth}"));
        let stop = self.stops_at.map(|name| format!("{name}=stop"));
        kill.into_iter().chain(stop).collect::<Vec<_>>().join(";")
    }
}

/// The lives of one service, one after the other.
#[derive(Debug)]
pub struct Schedule {
    service: Service,
    places: Vec<&'static Failpoint>,
    lease_ms: u64,
    rng: StdRng,
}

/// Places that are passed often are passed this often at most before they act.
const PASSINGS_MAX: u64 = 12;

impl Schedule {
    /// For one service; a binary without failpoints gets kills from outside only.
    pub fn new(seed: u64, service: Service, lease_ms: u64, with_failpoints: bool) -> Self {
        let places = thunes_failpoint::of_service(service.name()).filter(|_| with_failpoints);
        Self {
            service,
            places: places.collect(),
            lease_ms,
            rng: StdRng::seed_from_u64(mix(seed, service as u64 + 1)),
        }
    }

    /// The next life.
    pub fn next_life(&mut self) -> LifePlan {
        let rng = &mut self.rng;
        let (low, high) = match self.service {
            // It opens nothing until the lease of the run before is over, so that short lives only would test nothing.
            Service::ExchangeGateway => (1200, 6000),
            Service::Risk => (300, 4000),
            // Without an exchange nothing happens that a crash could lose.
            Service::ExchangeSim => (1500, 9000),
            _ => (300, 5000),
        };
        let patience_ms = rng.random_range(low..high);
        // Drawn in any case, so that each choice leaves the others as they are.
        let (at_place, place, nth) = (
            rng.random_range(0..100) < 65,
            rng.random_range(0..self.places.len().max(1)),
            rng.random_range(1..=PASSINGS_MAX),
        );
        let nth = if rng.random_bool(0.5) { 1 } else { nth };
        let (stops, by_itself) = (rng.random_range(0..100) < 15, rng.random_bool(0.5));
        let (stopped_after_ms, held_ms) = (
            rng.random_range(0..patience_ms),
            rng.random_range(self.lease_ms..3 * self.lease_ms),
        );
        let leases = matches!(self.service, Service::ExchangeGateway | Service::Risk);
        let stops_at = (self.service == Service::ExchangeGateway && !self.places.is_empty())
            .then_some("gateway.submit.before_send")
            .filter(|_| stops && by_itself);
        LifePlan {
            dies_at: self
                .places
                .get(place)
                .filter(|_| at_place)
                .map(|point| (point.name, nth)),
            stops_at,
            stopped_after_ms: (leases && stops && stops_at.is_none()).then_some(stopped_after_ms),
            held_ms,
            patience_ms,
        }
    }
}

/// A seed for one of several independent draws.
pub(crate) fn mix(seed: u64, stream: u64) -> u64 {
    let mut mixed = seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(seed: u64, service: Service) -> Vec<LifePlan> {
        let mut schedule = Schedule::new(seed, service, 700, true);
        (0..200).map(|_| schedule.next_life()).collect()
    }

    #[test]
    fn one_seed_gives_one_schedule_and_another_gives_another() {
        for service in [Service::ExchangeGateway, Service::Risk, Service::Audit] {
            assert_eq!(lives(7, service), lives(7, service));
            assert_ne!(lives(7, service), lives(8, service));
        }
    }

    #[test]
    fn every_place_of_a_service_has_its_turn() {
        let services = ["audit", "position", "risk", "exchange-gateway", "exchange-sim"];
        for service in services.map(|name| Service::parse(name).expect("a service")) {
            let mut schedule = Schedule::new(1, service, 700, true);
            let all: Vec<LifePlan> = (0..2000).map(|_| schedule.next_life()).collect();
            for point in thunes_failpoint::of_service(service.name()) {
                assert!(
                    all.iter()
                        .any(|life| life.dies_at.is_some_and(|(name, _)| name == point.name)),
                    "{}",
                    point.name
                );
            }
        }
    }

    #[test]
    fn without_failpoints_every_kill_comes_from_outside() {
        let mut schedule = Schedule::new(1, Service::ExchangeGateway, 700, false);
        for _ in 0..500 {
            let life = schedule.next_life();
            assert_eq!((life.dies_at, life.stops_at), (None, None));
            assert!(life.failpoints().is_empty());
        }
    }
}
