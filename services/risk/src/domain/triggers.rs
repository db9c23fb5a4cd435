use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thunes_types::{Decimal, HaltLevel, MoneyError, checked_sub};

use super::halts::Cause;

macro_rules! triggers {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $actor:literal;)*) => {
        /// What activates the switch by itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Trigger {
            $($(#[$doc])* $variant,)*
        }

        impl Trigger {
            pub const ALL: &'static [Trigger] = &[$(Trigger::$variant,)*];

            /// As it stands in settings, events and the status.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Who activates, in the trail.
            pub fn actor(self) -> &'static str {
                match self {
                    $(Self::$variant => $actor,)*
                }
            }

            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|trigger| trigger.name() == name)
            }
        }
    };
}

triggers! {
    /// Quote lost today.
    DailyLoss = "daily_loss", "risk:daily-loss";
    /// Quote below the day's best P&L.
    Drawdown = "drawdown", "risk:drawdown";
    /// Orders asked for within a minute.
    OrderRate = "order_rate", "risk:order-rate";
    /// Rejections by the exchange within a minute.
    RejectRate = "reject_rate", "risk:reject-rate";
    /// Quote that no reconciliation explains.
    Reconciliation = "reconciliation", "risk:reconciliation";
    /// Milliseconds without the exchange's stream of our own orders.
    AccountStream = "account_stream", "risk:account-stream";
    /// Milliseconds since the last price of a symbol that is held.
    MarketData = "market_data", "risk:market-data";
    /// Milliseconds by which the exchange's clock moved against ours within a minute.
    ClockOffset = "clock_offset", "risk:clock-offset";
    /// Milliseconds by which the exchange's clock can be off.
    ClockUncertainty = "clock_uncertainty", "risk:clock-uncertainty";
}

/// What a trigger looks at now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub trigger: Trigger,
    /// None while it is not known: that neither fires nor ends an excursion.
    pub measured: Option<Decimal>,
    /// None: the trigger is off.
    pub threshold: Option<Decimal>,
    /// For people: what it is about, such as the symbol.
    pub detail: String,
}

impl Reading {
    /// For the event.
    pub fn cause(&self) -> Cause {
        let text = |value: Option<Decimal>| value.map_or_else(String::new, |value| value.normalize().to_string());
        Cause {
            trigger: self.trigger.name(),
            measured: text(self.measured),
            threshold: text(self.threshold),
        }
    }

    /// The reason of the activation: trigger, measured value and threshold.
    pub fn reason(&self) -> String {
        let Cause {
            measured, threshold, ..
        } = self.cause();
        let detail = &self.detail;
        match self.trigger {
            Trigger::DailyLoss => format!("Daily loss: P&L {detail} has reached the limit of -{threshold}"),
            Trigger::Drawdown => {
                format!("Drawdown: the day's P&L is {measured} below its best ({detail}), the threshold is {threshold}")
            }
            Trigger::OrderRate => {
                format!("Order rate: {measured} orders were asked for within a minute, the threshold is {threshold}")
            }
            Trigger::RejectRate => {
                format!(
                    "Reject rate: the exchange rejected {measured} orders within a minute, the threshold is {threshold}"
                )
            }
            Trigger::Reconciliation => format!(
                "Reconciliation: {measured} in the quote asset is unexplained ({detail}), the threshold is {threshold}"
            ),
            Trigger::AccountStream => {
                format!("Account stream: silent for {measured} ms while trading, the threshold is {threshold} ms")
            }
            Trigger::MarketData => {
                format!(
                    "Market data: the newest price of {detail} is {measured} ms old, the threshold is {threshold} ms"
                )
            }
            Trigger::ClockOffset => format!(
                "Clock: the exchange's clock moved by {measured} ms against ours within a minute, the threshold is {threshold} ms"
            ),
            Trigger::ClockUncertainty => {
                format!("Clock: the exchange's clock is uncertain by {measured} ms, the threshold is {threshold} ms")
            }
        }
    }
}

/// The best P&L of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// UTC, as position names it.
    pub day: String,
    pub pnl: Decimal,
}

/// Which triggers have fired, and the day's peak.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Triggers {
    /// In an excursion that they have fired for.
    fired: BTreeSet<Trigger>,
    peak: Option<Peak>,
    /// Something changed that is not on disk.
    dirty: bool,
}

impl Triggers {
    pub fn restored(fired: BTreeSet<Trigger>, peak: Option<Peak>) -> Self {
        Self {
            fired,
            peak,
            dirty: false,
        }
    }

    pub fn has_fired(&self, trigger: Trigger) -> bool {
        self.fired.contains(&trigger)
    }

    pub fn fired(&self) -> impl Iterator<Item = Trigger> {
        self.fired.iter().copied()
    }

    pub fn peak(&self) -> Option<&Peak> {
        self.peak.as_ref()
    }

    /// Whether there is something to write, and forgets that.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// It could not be written.
    pub fn mark_dirty(&mut self) {
        self.dirty = true;
    }

    /// Hears of the day's P&L. A new day begins with what it has.
    pub fn hear_pnl(&mut self, day: &str, pnl: Decimal) {
        let risen = self.peak.as_ref().is_none_or(|peak| peak.day != day || pnl > peak.pnl);
        if risen {
            self.peak = Some(Peak {
                day: day.to_owned(),
                pnl,
            });
            self.dirty = true;
        }
    }

    /// How far the P&L is below the day's best.
    ///
    /// # Errors
    /// When the difference does not fit.
    pub fn drawdown(&self, pnl: Decimal) -> Result<Decimal, MoneyError> {
        self.peak
            .as_ref()
            .map_or(Ok(Decimal::ZERO), |peak| checked_sub(peak.pnl, pnl))
    }

    /// Whether this reading makes its trigger fire. It fires once per excursion: not again before the value was below
    /// the threshold. While everything is halted already, at `level` or beyond, it waits: it fires when that ends and
    /// the value is still too high.
    pub fn fires(&mut self, reading: &Reading, level: HaltLevel, halted: Option<HaltLevel>) -> bool {
        let trigger = reading.trigger;
        let above = match (reading.measured, reading.threshold) {
            (Some(measured), Some(threshold)) => measured >= threshold,
            (None, Some(_)) => return false,
            (_, None) => false,
        };
        if !above {
            self.dirty |= self.fired.remove(&trigger);
            return false;
        }
        if self.fired.contains(&trigger) || halted.is_some_and(|halted| halted >= level) {
            return false;
        }
        self.fired.insert(trigger);
        self.dirty = true;
        true
    }
}

/// At which level each trigger activates.
pub type TriggerLevels = BTreeMap<Trigger, HaltLevel>;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(measured: Option<i64>) -> Reading {
        Reading {
            trigger: Trigger::RejectRate,
            measured: measured.map(Decimal::from),
            threshold: Some(Decimal::from(10)),
            detail: String::new(),
        }
    }

    #[test]
    fn p1_a_trigger_fires_at_its_threshold_and_not_just_below() {
        let mut triggers = Triggers::default();
        assert!(!triggers.fires(&reading(Some(9)), HaltLevel::HaltNew, None));
        assert!(triggers.fires(&reading(Some(10)), HaltLevel::HaltNew, None));
        let reason = reading(Some(10)).reason();
        assert!(
            reason.contains("rejected 10 orders") && reason.contains("threshold is 10"),
            "{reason}"
        );
    }

    #[test]
    fn a_trigger_fires_once_per_excursion() {
        let mut triggers = Triggers::default();
        assert!(triggers.fires(&reading(Some(12)), HaltLevel::HaltNew, None));
        assert!(
            !triggers.fires(&reading(Some(15)), HaltLevel::HaltNew, None),
            "the same excursion"
        );
        assert!(
            !triggers.fires(&reading(None), HaltLevel::HaltNew, None),
            "unknown is not below"
        );
        assert!(!triggers.fires(&reading(Some(15)), HaltLevel::HaltNew, None));
        assert!(!triggers.fires(&reading(Some(3)), HaltLevel::HaltNew, None));
        assert!(
            triggers.fires(&reading(Some(10)), HaltLevel::HaltNew, None),
            "a new one"
        );
    }

    #[test]
    fn p1_a_trigger_that_did_not_have_to_fire_fires_when_the_halt_ends() {
        let mut triggers = Triggers::default();
        assert!(!triggers.fires(&reading(Some(12)), HaltLevel::HaltNew, Some(HaltLevel::HaltNew)));
        assert!(triggers.fires(&reading(Some(12)), HaltLevel::HaltNew, None));
        let mut triggers = Triggers::default();
        assert!(
            triggers.fires(&reading(Some(12)), HaltLevel::Flatten, Some(HaltLevel::HaltNew)),
            "it raises a halt of a lower level"
        );
    }

    #[test]
    fn the_drawdown_counts_from_the_days_peak_also_after_a_restart() {
        let d = Decimal::from;
        let mut triggers = Triggers::default();
        triggers.hear_pnl("2026-11-24", d(-5));
        triggers.hear_pnl("2026-11-24", d(40));
        triggers.hear_pnl("2026-11-24", d(10));
        assert_eq!(triggers.drawdown(d(10)), Ok(d(30)));
        assert!(triggers.take_dirty() && !triggers.take_dirty());
        let mut again = Triggers::restored(BTreeSet::new(), triggers.peak().cloned());
        again.hear_pnl("2026-11-24", d(10));
        assert_eq!(again.drawdown(d(10)), Ok(d(30)));
        again.hear_pnl("2026-11-25", d(10));
        assert_eq!(again.drawdown(d(10)), Ok(d(0)), "a new day begins with what it has");
    }

    proptest! {
        // Between two firings the value was below the threshold at least once.
        #[test]
        fn no_two_firings_without_a_value_below_between_them(values in proptest::collection::vec(proptest::option::of(0i64..20), 1..60)) {
            let (mut triggers, mut below) = (Triggers::default(), true);
            for value in values {
                below |= value.is_some_and(|value| value < 10);
                if triggers.fires(&reading(value), HaltLevel::HaltNew, None) {
                    prop_assert!(below && value.is_some_and(|value| value >= 10));
                    below = false;
                }
            }
        }
    }
}
