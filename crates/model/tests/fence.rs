//! Every schedule of the fence within bounds, on the code that the services run.

use stateright::{Checker, Model};
use thunes_model::{FenceModel, Flaw};

fn check(name: &str, model: FenceModel) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{name}: {} states", checker.unique_state_count());
    checker.assert_properties();
}

fn finds(model: FenceModel, flaw: Flaw) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    let path = checker.discovery(FenceModel::P1);
    println!("{flaw:?}: {} states", checker.unique_state_count());
    let path = path.unwrap_or_else(|| panic!("no schedule breaks the fence without {flaw:?}"));
    println!(
        "{flaw:?}: broken after {} steps: {:?}",
        path.clone().into_actions().len(),
        path.into_actions()
    );
}

#[test]
fn p1_no_schedule_of_one_gateway_breaks_the_fence() {
    check("one gateway", FenceModel::one_gateway(Flaw::None));
}

#[test]
fn p1_no_schedule_of_turning_it_on_and_off_breaks_the_fence() {
    check("on and off", FenceModel::on_and_off(Flaw::None));
}

#[test]
fn p1_no_schedule_of_halting_one_symbol_breaks_the_fence() {
    check("one symbol", FenceModel::one_symbol(Flaw::None));
}

#[test]
fn p1_no_schedule_with_a_restart_of_risk_breaks_the_fence() {
    check("restart of risk", FenceModel::restart_of_risk(Flaw::None));
}

#[test]
fn p1_no_schedule_of_two_gateways_breaks_the_fence() {
    check("two gateways", FenceModel::two_gateways(Flaw::None));
}

#[test]
fn p1_each_rule_left_out_is_found() {
    for flaw in [
        Flaw::LeaseFromAnswer,
        Flaw::ConfirmWithRequestsInFlight,
        Flaw::TwoReadings,
        Flaw::NoGrace,
        Flaw::NoReceiveWindow,
    ] {
        finds(FenceModel::one_gateway(flaw), flaw);
        finds(FenceModel::one_symbol(flaw), flaw);
    }
    finds(
        FenceModel::restart_of_risk(Flaw::RestartForgetsHolder),
        Flaw::RestartForgetsHolder,
    );
    finds(FenceModel::two_gateways(Flaw::TakeoverAtOnce), Flaw::TakeoverAtOnce);
}
