use stateright::{Model, Property};
use thunes_risk::domain::leases::LeaseRules;

use super::Flaw;
use super::world::{Bounds, Step, World};

/// The fence within bounds, with or without a flaw.
#[derive(Debug, Clone)]
pub struct FenceModel {
    bounds: Bounds,
    flaw: Flaw,
}

/// In the model's units; what counts is their order, and that each is more than nothing.
const RULES: LeaseRules = LeaseRules {
    lease_ms: 2,
    recv_window_ms: 1,
    uncertainty_ms: 1,
};

/// Long enough for a lease, the receive window after it, and something after that.
const SMALLEST: Bounds = Bounds {
    gateways: 1,
    time: 6,
    orders: 1,
    asks: 2,
    activations: 1,
    deactivations: 0,
    restarts: 0,
    cuts: 0,
    pause_at_fence: true,
    scoped: false,
    rules: RULES,
};

impl FenceModel {
    /// One gateway with two orders, one activation, a cut stream.
    pub fn one_gateway(flaw: Flaw) -> Self {
        let bounds = Bounds {
            orders: 2,
            cuts: 1,
            ..SMALLEST
        };
        Self::within(bounds, flaw)
    }

    /// Active, not active, active again.
    pub fn on_and_off(flaw: Flaw) -> Self {
        let bounds = Bounds {
            activations: 2,
            deactivations: 1,
            asks: 3,
            ..SMALLEST
        };
        Self::within(bounds, flaw)
    }

    /// One symbol is halted while leases go on.
    pub fn one_symbol(flaw: Flaw) -> Self {
        let bounds = Bounds {
            scoped: true,
            asks: 3,
            ..SMALLEST
        };
        Self::within(bounds, flaw)
    }

    /// One gateway, and a risk that ends and comes back.
    pub fn restart_of_risk(flaw: Flaw) -> Self {
        let bounds = Bounds {
            activations: 2,
            restarts: 1,
            ..SMALLEST
        };
        Self::within(bounds, flaw)
    }

    /// Two gateways that want the same account.
    pub fn two_gateways(flaw: Flaw) -> Self {
        let bounds = Bounds {
            gateways: 2,
            asks: 1,
            time: 5,
            pause_at_fence: false,
            ..SMALLEST
        };
        Self::within(bounds, flaw)
    }

    fn within(bounds: Bounds, flaw: Flaw) -> Self {
        Self { bounds, flaw }
    }
}

impl Model for FenceModel {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::start(&self.bounds)]
    }

    fn actions(&self, state: &World, actions: &mut Vec<Step>) {
        // What follows a broken promise says nothing more.
        if !state.broken {
            actions.extend(state.steps(&self.bounds));
        }
    }

    fn next_state(&self, state: &World, step: Step) -> Option<World> {
        state.after(step, &self.bounds, self.flaw)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(FenceModel::P1, |_, state: &World| !state.broken),
            Property::sometimes(FenceModel::TRADES, |_, state: &World| state.accepted),
        ]
    }
}

impl FenceModel {
    pub const P1: &'static str = "after the answer no opening order is accepted";
    pub const TRADES: &'static str = "an order can be accepted";
}
