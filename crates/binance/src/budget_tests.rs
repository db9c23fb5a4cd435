use proptest::prelude::*;

use super::*;

fn limit(kind: &str, interval: &str, interval_count: u32, limit: u32) -> RateLimit {
    RateLimit {
        rate_limit_type: kind.to_owned(),
        interval: interval.to_owned(),
        interval_count,
        limit,
    }
}

/// 100 a minute, 30 of it kept; 3 orders in 10 s, 5 a day.
fn budget() -> Budget {
    let mut budget = Budget::new(30);
    budget.set_limits(&[
        limit("REQUEST_WEIGHT", "MINUTE", 1, 100),
        limit("ORDERS", "SECOND", 10, 3),
        limit("ORDERS", "DAY", 1, 5),
    ]);
    budget
}

const OPEN: Cost = Cost {
    weight: 1,
    orders: 1,
    purpose: Purpose::Open,
};
const CLOSE: Cost = Cost {
    weight: 1,
    orders: 1,
    purpose: Purpose::Stop,
};
const CANCEL: Cost = Cost {
    weight: 1,
    orders: 0,
    purpose: Purpose::Stop,
};
const QUERY: Cost = Cost {
    weight: 4,
    orders: 0,
    purpose: Purpose::Resolve,
};

fn no_header(_: &str) -> Option<u64> {
    None
}

/// An answer that tells that `used` weight is used.
fn used(budget: &mut Budget, used: u64, now: i64) {
    let ticket = budget
        .admit(
            Cost {
                weight: 0,
                orders: 0,
                purpose: Purpose::Stop,
            },
            now,
        )
        .expect("free");
    budget.answered(
        &ticket,
        false,
        |name| (name == "x-mbx-used-weight-1m").then_some(used),
        now,
    );
}

#[test]
fn reads_leave_the_reserve_and_cancels_pass_until_the_hard_limit() {
    let mut budget = budget();
    used(&mut budget, 60, 0);
    assert!(budget.check(Cost::read(10), 0).is_ok(), "exactly to the reserve");
    let held = budget.check(Cost::read(11), 0).expect_err("into the reserve");
    assert_eq!(held.why, HeldWhy::Budget);
    assert!(
        held.message.contains("60 used") && held.message.contains("70 of 100"),
        "{held}"
    );
    used(&mut budget, 70, 0);
    assert!(budget.check(OPEN, 0).is_err(), "opening leaves the reserve too");
    assert!(budget.check(QUERY, 0).is_ok(), "an order in doubt may use half of it");
    used(&mut budget, 82, 0);
    assert!(budget.check(QUERY, 0).is_err());
    used(&mut budget, 99, 0);
    assert!(budget.check(CANCEL, 0).is_ok() && budget.check(CLOSE, 0).is_ok());
    used(&mut budget, 100, 0);
    assert!(
        budget.check(CANCEL, 0).is_err(),
        "beyond the limit the exchange would ban"
    );
}

#[test]
fn requests_on_their_way_count() {
    let mut budget = budget();
    let first = budget.admit(Cost::read(40), 0).expect("fits");
    assert!(
        budget.admit(Cost::read(40), 0).is_err(),
        "together they would be 80 of 70"
    );
    budget.answered(&first, false, |_| Some(3), 1);
    assert!(budget.admit(Cost::read(40), 1).is_ok(), "the exchange's own count wins");
}

#[test]
fn without_headers_our_own_count_stands_until_the_interval_is_over() {
    let mut budget = budget();
    let ticket = budget.admit(Cost::read(70), 5).expect("fits");
    budget.answered(&ticket, false, no_header, 10);
    // Counted in slices of a second.
    assert_eq!(
        budget
            .check(Cost::read(1), 60_999)
            .expect_err("still counted")
            .retry_after_ms,
        1
    );
    assert!(budget.check(Cost::read(70), 61_000).is_ok());
    let order = budget.admit(OPEN, 61_000).expect("fits");
    budget.answered(&order, true, no_header, 61_000);
    assert_eq!(
        budget.status(61_000).weight_used,
        0,
        "an order that succeeds costs no weight"
    );
}

#[test]
fn a_header_of_another_interval_changes_nothing() {
    let mut budget = budget();
    let ticket = budget.admit(Cost::read(2), 0).expect("fits");
    let header = |name: &str| (name == "x-mbx-used-weight-1h").then_some(99);
    budget.answered(&ticket, false, header, 0);
    assert_eq!(budget.status(0).weight_used, 2);
}

#[test]
fn an_answer_that_was_overtaken_only_raises_the_count() {
    let mut budget = budget();
    let first = budget.admit(Cost::read(1), 0).expect("fits");
    let second = budget.admit(Cost::read(1), 0).expect("fits");
    budget.answered(&second, false, |_| Some(50), 1);
    budget.answered(&first, false, |_| Some(49), 2);
    assert_eq!(budget.status(2).weight_used, 50);
}

#[test]
fn the_exchange_can_raise_and_lower_its_limits_and_what_is_used_stays_used() {
    let mut budget = budget();
    used(&mut budget, 60, 0);
    budget.set_limits(&[limit("REQUEST_WEIGHT", "MINUTE", 1, 50)]);
    assert!(budget.check(CANCEL, 0).is_err(), "the lower limit is used up");
    assert_eq!(
        budget.status(0),
        BudgetStatus {
            weight_used: 60,
            weight_limit: 50,
            weight_reserve: 25,
            ..BudgetStatus::default()
        }
    );
    budget.set_limits(&[limit("REQUEST_WEIGHT", "MINUTE", 1, 1000)]);
    assert!(budget.check(Cost::read(900), 0).is_ok());
    budget.set_limits(&[
        limit("CONNECTIONS", "MINUTE", 5, 1),
        limit("ORDERS", "FORTNIGHT", 1, 1),
        limit("ORDERS", "DAY", 0, 1),
    ]);
    assert!(
        budget.check(Cost::read(900), 0).is_ok(),
        "a limit that is not told any more stays"
    );
}

#[test]
fn orders_are_held_back_at_their_limit_and_cancels_are_not() {
    let mut budget = budget();
    for now in 0..3 {
        let order = budget.admit(OPEN, now).expect("within 3 in 10 s");
        budget.answered(&order, true, no_header, now);
    }
    let held = budget.admit(OPEN, 3).expect_err("the fourth");
    assert!(held.message.contains("ORDERS per 10 S"), "{held}");
    assert!(
        budget.check(CLOSE, 3).is_ok(),
        "whether a closing order still fits is for the exchange to say"
    );
    assert!(budget.admit(CANCEL, 3).is_ok());
    let order = budget.admit(OPEN, 10_200).expect("the next ten seconds");
    budget.answered(
        &order,
        true,
        |name| (name == "x-mbx-order-count-1d").then_some(5),
        10_200,
    );
    assert!(
        budget
            .admit(OPEN, 30_000)
            .expect_err("the day")
            .message
            .contains("ORDERS per 1 D")
    );
}

#[test]
fn nothing_leaves_while_the_exchange_wants_silence_not_even_a_cancel() {
    let mut budget = budget();
    budget.told_to_wait(Some(7_000), false, 0);
    for cost in [CANCEL, CLOSE, OPEN, QUERY, Cost::read(1)] {
        let held = budget.check(cost, 6_999).expect_err("too early");
        assert_eq!((held.why, held.retry_after_ms), (HeldWhy::ToldToWait, 1));
        assert!(budget.check(cost, 7_000).is_ok());
    }
    budget.told_to_wait(Some(60_000), true, 8_000);
    budget.told_to_wait(Some(1_000), false, 8_001);
    assert_eq!(budget.check(CANCEL, 67_999).expect_err("banned").why, HeldWhy::Banned);
    assert_eq!(budget.status(67_999).blocked_ms, 1);
    assert!(budget.check(CANCEL, 68_000).is_ok());
}

#[test]
fn an_answer_that_names_no_wait_gets_a_usual_one_and_no_wait_is_endless() {
    let mut budget = budget();
    budget.told_to_wait(None, false, 0);
    assert_eq!(budget.status(0).blocked_ms, WAIT_MS_ASSUMED);
    budget.told_to_wait(None, true, 0);
    assert_eq!(budget.status(0).blocked_ms, BAN_MS_ASSUMED);
    budget.told_to_wait(Some(i64::MAX), true, 0);
    assert_eq!(budget.status(0).blocked_ms, WAIT_MS_MAX);
}

#[test]
fn too_many_orders_holds_orders_back_and_nothing_else() {
    let mut budget = budget();
    budget.too_many_orders(None, 0);
    assert_eq!(
        budget.check(OPEN, 9_999).expect_err("too early").why,
        HeldWhy::TooManyOrders
    );
    assert!(
        budget.check(CANCEL, 0).is_ok() && budget.check(Cost::read(1), 0).is_ok() && budget.check(OPEN, 10_000).is_ok()
    );
    assert_eq!(
        (budget.status(0).blocked_ms, budget.status(0).orders_blocked_ms),
        (0, 10_000)
    );
}

proptest! {
    /// Whatever is asked for, and with or without headers, reads never eat the reserve, and nobody goes beyond the limit.
    #[test]
    fn the_exchange_never_counts_more_than_each_purpose_may_use(
        steps in prop::collection::vec((0u32..12, 0u8..4, any::<bool>(), 0i64..3_000), 1..300),
    ) {
        let mut budget = budget();
        let (mut now, mut minute, mut truly_used) = (0i64, 0, 0u64);
        for (weight, purpose, tells, wait) in steps {
            now += wait;
            // The exchange counts by its own full minutes.
            if now / 60_000 != minute {
                (minute, truly_used) = (now / 60_000, 0);
            }
            let purpose = [Purpose::Stop, Purpose::Resolve, Purpose::Open, Purpose::Read][usize::from(purpose)];
            if let Ok(ticket) = budget.admit(Cost { weight, orders: 0, purpose }, now) {
                truly_used += u64::from(weight);
                let most = match purpose {
                    Purpose::Stop => 100,
                    Purpose::Resolve => 85,
                    Purpose::Open | Purpose::Read => 70,
                };
                prop_assert!(weight == 0 || truly_used <= most, "{truly_used} of {most}");
                budget.answered(&ticket, false, |_| tells.then_some(truly_used), now);
            }
        }
    }
}
