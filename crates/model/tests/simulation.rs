//! Seeded lives of one gateway, risk and an exchange. `THUNES_SIMULATION_SEEDS` says how many, `THUNES_SIMULATION_SEED` which one alone.

use thunes_model::{Fault, Tally, simulate};

/// Enough to find every fault that is built in on purpose, many times over.
const SEEDS: u64 = 10_000;
/// Within so many seeds each built-in fault must show.
const SEEDS_FOR_A_FAULT: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

#[test]
fn p1_p2_p4_p5_hold_in_every_seed() {
    let seeds = match number("THUNES_SIMULATION_SEED") {
        Some(one) => one..one + 1,
        None => 0..number("THUNES_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let mut tally = Tally::default();
    for seed in seeds.clone() {
        let outcome = simulate(seed, Fault::None);
        assert!(
            outcome.broken.is_empty(),
            "seed {seed} (THUNES_SIMULATION_SEED={seed}) breaks {:#?}\n{}",
            outcome.broken,
            outcome.trace.join("\n")
        );
        tally.add(&outcome.tally);
    }
    println!("{} seeds: {tally:?}", seeds.end - seeds.start);
    if seeds.end - seeds.start >= 100 {
        let Tally {
            accepted,
            refused_late,
            in_doubt,
            found,
            never_arrived,
            activations_answered,
            gateway_crashes,
            gateway_pauses,
            risk_crashes,
        } = tally;
        let all = [
            accepted,
            refused_late,
            in_doubt,
            found,
            never_arrived,
            activations_answered,
            gateway_crashes,
            gateway_pauses,
            risk_crashes,
        ];
        assert!(
            all.iter().all(|count| *count > 0),
            "something never happened: {tally:?}"
        );
    }
}

#[test]
fn one_seed_lives_the_same_life_twice() {
    for seed in 0..200 {
        assert_eq!(simulate(seed, Fault::None), simulate(seed, Fault::None), "seed {seed}");
    }
    assert_ne!(simulate(1, Fault::None).trace, simulate(2, Fault::None).trace);
}

#[test]
fn each_rule_left_out_is_found() {
    for (fault, promise) in [
        (Fault::AbsenceBelievedAtOnce, "P4"),
        (Fault::BlindResend, "P4"),
        (Fault::SilenceIsFailure, "P4"),
        (Fault::ConfirmWithRequestsInFlight, "P1"),
        (Fault::TwoReadings, "P1"),
        (Fault::DoubtfulSalesNotHeldBack, "P2"),
        (Fault::ExposureFreedAtOnce, "P2"),
    ] {
        let found = (0..SEEDS_FOR_A_FAULT).find_map(|seed| {
            let broken = simulate(seed, fault).broken;
            broken
                .iter()
                .any(|what| what.starts_with(promise))
                .then_some((seed, broken))
        });
        let (seed, broken) =
            found.unwrap_or_else(|| panic!("{fault:?} breaks {promise} in none of {SEEDS_FOR_A_FAULT} seeds"));
        println!("{fault:?}: seed {seed}: {}", broken[0]);
    }
}
