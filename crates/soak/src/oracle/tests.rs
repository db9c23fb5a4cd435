//! The judge himself is tested: evidence of an honest system is clean, and each kind of damage is counted as what it is.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rust_decimal::Decimal;
use serde_json::json;
use thunes_proto::gateway::v1::OrderState;

use super::*;

const SEEDS: u64 = 50;

/// What an honest system says after it has traded: orders of every end, fills, a switch that was turned.
fn honest(rng: &mut StdRng) -> Evidence {
    let mut evidence = Evidence::default();
    let mut number = 0;
    let mut event = |service: &str, event_type: &str, payload: serde_json::Value| {
        number += 1;
        AuditEvent {
            event_id: format!("{service}:run:{number}"),
            event_type: event_type.to_owned(),
            service: service.to_owned(),
            payload,
        }
    };
    let mut gateway = Vec::new();
    for index in 0..rng.random_range(20..60i64) {
        let id = format!("o-{index}");
        let (state, executed) = match index % 7 {
            0 | 1 => (OrderState::Filled, Decimal::new(rng.random_range(1..1000), 4)),
            2 => (OrderState::New, Decimal::ZERO),
            3 => (OrderState::Canceled, Decimal::ZERO),
            4 => (OrderState::Rejected, Decimal::ZERO),
            5 => (OrderState::NeverArrived, Decimal::ZERO),
            _ => (OrderState::Denied, Decimal::ZERO),
        };
        let executed = executed.normalize();
        let buys = index % 2 == 0;
        evidence.told.push(Told {
            client_order_id: id.clone(),
            state,
            executed,
        });
        evidence.journal.push(JournalOrder {
            client_order_id: id.clone(),
            state,
            executed,
            resolved: index % 5 == 0 || state == OrderState::NeverArrived,
        });
        let name = state.as_str_name().trim_start_matches("ORDER_STATE_").to_owned();
        if state != OrderState::Denied {
            gateway.push((
                "ORDER_INTENT",
                json!({ "client_order_id": id, "state": "INTENT", "trade_ids": [] }),
            ));
        }
        let trades: Vec<i64> = (!executed.is_zero()).then_some(index).into_iter().collect();
        gateway.push((
            "ORDER_NEWS",
            json!({ "client_order_id": id, "state": name, "trade_ids": trades }),
        ));
        if matches!(state, OrderState::Filled | OrderState::New | OrderState::Canceled) {
            evidence.exchange.push(ExchangeOrder {
                client_order_id: id.clone(),
                order_id: index,
                opens: buys,
                status: name,
                executed,
                accepted_at_ms: 1000 + index,
            });
        }
        if !executed.is_zero() {
            let fill = Execution {
                symbol: "BTCUSDT".to_owned(),
                trade_id: index,
                client_order_id: id,
                buys,
                price: Decimal::from(60_000),
                quantity: executed,
                commission: Decimal::new(1, 6),
                commission_asset: if buys { "BTC" } else { "USDT" }.to_owned(),
            };
            let moved = if buys { executed - fill.commission } else { -executed };
            *evidence.book_net.entry(fill.symbol.clone()).or_default() += moved;
            evidence.exchange_fills.push(fill.clone());
            evidence.book_fills.push(fill);
        }
    }
    evidence.book_net.retain(|_, quantity| !quantity.is_zero());
    for (event_type, payload) in gateway {
        evidence
            .audit
            .events
            .push(event("exchange-gateway", event_type, payload));
    }
    // Each producer counts for himself.
    for (index, fill) in evidence.book_fills.iter().enumerate() {
        evidence.audit.events.push(AuditEvent {
            event_id: format!("position:run:{}", index + 1),
            event_type: "FILL_RECORDED".to_owned(),
            service: "position".to_owned(),
            payload: json!({ "symbol": fill.symbol, "trade_id": fill.trade_id }),
        });
    }
    for (index, event_type) in ["KILL_SWITCH_ACTIVATED", "KILL_SWITCH_DEACTIVATED"].iter().enumerate() {
        evidence.audit.events.push(AuditEvent {
            event_id: format!("risk:run:{}", index + 1),
            event_type: (*event_type).to_owned(),
            service: "risk".to_owned(),
            payload: json!({ "epoch": index + 1 }),
        });
    }
    evidence.activations.push(Activation {
        epoch: 1,
        durable: true,
    });
    evidence.fenced.push(FencedSpan {
        answered_at_ms: 2000,
        deactivation_asked_at_ms: Some(3000),
    });
    evidence
}

type Damage = fn(&mut Evidence, &mut StdRng);
type Count = fn(&Counts) -> u64;

fn pick<T>(all: &[T], rng: &mut StdRng, wanted: impl Fn(&T) -> bool) -> usize {
    let fitting: Vec<usize> = (0..all.len()).filter(|index| wanted(&all[*index])).collect();
    fitting[rng.random_range(0..fitting.len())]
}

/// What can be wrong, and where it has to be counted.
const DAMAGES: &[(&str, Count, Damage)] = &[
    (
        "an acknowledged order is forgotten by the journal",
        |c| c.missing,
        |e, rng| {
            let index = pick(&e.journal, rng, |_| true);
            e.journal.remove(index);
        },
    ),
    (
        "an order of the exchange is unknown to the journal",
        |c| c.missing,
        |e, _| {
            let order = ExchangeOrder {
                client_order_id: "stranger".to_owned(),
                order_id: 999,
                ..e.exchange[0].clone()
            };
            e.exchange.push(order);
        },
    ),
    (
        "the journal denies an order that the exchange has",
        |c| c.missing,
        |e, rng| {
            let index = pick(&e.journal, rng, |o| o.state == OrderState::Filled);
            e.journal[index].state = OrderState::NeverArrived;
        },
    ),
    (
        "the journal missed an execution",
        |c| c.missing,
        |e, rng| {
            let index = pick(&e.exchange, rng, |o| !o.executed.is_zero());
            e.exchange[index].executed += Decimal::ONE;
        },
    ),
    (
        "the journal missed a cancel",
        |c| c.missing,
        |e, rng| {
            let index = pick(&e.exchange, rng, |o| o.status == "NEW");
            e.exchange[index].status = "CANCELED".to_owned();
        },
    ),
    (
        "a client was told of more than there is",
        |c| c.missing,
        |e, rng| {
            let index = pick(&e.told, rng, |t| t.state == OrderState::Filled);
            e.told[index].executed += Decimal::ONE;
        },
    ),
    (
        "a client was told that an order was rejected, and it rests",
        |c| c.missing,
        |e, rng| {
            let index = pick(&e.told, rng, |t| t.state == OrderState::New);
            e.told[index].state = OrderState::Rejected;
        },
    ),
    (
        "a fill is not in the book",
        |c| c.missing,
        |e, rng| {
            let index = pick(&e.book_fills, rng, |_| true);
            e.book_fills.remove(index);
        },
    ),
    (
        "a fill has another price in the book",
        |c| c.missing,
        |e, rng| {
            let index = pick(&e.book_fills, rng, |_| true);
            e.book_fills[index].price += Decimal::ONE;
        },
    ),
    (
        "an accepted order is unknown to the exchange",
        |c| c.phantom,
        |e, rng| {
            let index = pick(&e.exchange, rng, |_| true);
            e.exchange.remove(index);
        },
    ),
    (
        "the journal has more executed than the exchange",
        |c| c.phantom,
        |e, rng| {
            let index = pick(&e.journal, rng, |o| o.state == OrderState::Filled);
            e.journal[index].executed += Decimal::ONE;
        },
    ),
    (
        "a fill of the book never happened",
        |c| c.phantom,
        |e, rng| {
            let index = pick(&e.exchange_fills, rng, |_| true);
            e.exchange_fills.remove(index);
        },
    ),
    (
        "an id made two orders",
        |c| c.doubled,
        |e, rng| {
            let index = pick(&e.exchange, rng, |_| true);
            let again = ExchangeOrder {
                order_id: 1000,
                ..e.exchange[index].clone()
            };
            e.exchange.push(again);
        },
    ),
    (
        "the book has a trade twice",
        |c| c.doubled,
        |e, rng| {
            let index = pick(&e.book_fills, rng, |_| true);
            let again = e.book_fills[index].clone();
            e.book_fills.push(again);
        },
    ),
    (
        "a position counts a trade twice",
        |c| c.positions_wrong,
        |e, _| {
            let quantity = e.book_fills[0].quantity;
            *e.book_net.entry("BTCUSDT".to_owned()).or_default() += quantity;
        },
    ),
    (
        "a position is of a symbol that nobody traded",
        |c| c.positions_wrong,
        |e, _| {
            e.book_net.insert("ETHUSDT".to_owned(), Decimal::ONE);
        },
    ),
    (
        "an order stays in doubt",
        |c| c.in_doubt_open,
        |e, rng| {
            let index = pick(&e.journal, rng, |_| true);
            e.journal[index].state = OrderState::InDoubt;
        },
    ),
    (
        "an opening order passed the fence",
        |c| c.fence_violations,
        |e, rng| {
            let index = pick(&e.exchange, rng, |o| o.opens);
            e.exchange[index].accepted_at_ms = 2001;
        },
    ),
    (
        "an opening order passed a fence that is still closed",
        |c| c.fence_violations,
        |e, rng| {
            let index = pick(&e.exchange, rng, |o| o.opens);
            e.fenced[0].deactivation_asked_at_ms = None;
            e.exchange[index].accepted_at_ms = 9000;
        },
    ),
    (
        "the trail lacks an event",
        |c| c.audit_missing,
        |e, rng| {
            let last = e.audit.events.len() - 1;
            let index = rng.random_range(0..last);
            e.audit.events.remove(index);
        },
    ),
    (
        "the trail lacks the last word on an order",
        |c| c.audit_missing,
        |e, rng| {
            let index = pick(&e.journal, rng, |o| o.state == OrderState::New);
            e.journal[index].state = OrderState::Canceled;
        },
    ),
    (
        "the trail lacks an activation",
        |c| c.audit_missing,
        |e, _| {
            e.activations.push(Activation {
                epoch: 77,
                durable: true,
            });
        },
    ),
    (
        "an event stands twice",
        |c| c.audit_doubled,
        |e, rng| {
            let index = pick(&e.audit.events, rng, |_| true);
            let again = e.audit.events[index].clone();
            e.audit.events.insert(index + 1, again);
        },
    ),
    (
        "a change is told twice under two numbers",
        |c| c.audit_doubled,
        |e, rng| {
            let index = pick(&e.audit.events, rng, |event| event.event_type == "FILL_RECORDED");
            let again = AuditEvent {
                event_id: "other:run:1".to_owned(),
                ..e.audit.events[index].clone()
            };
            e.audit.events.push(again);
        },
    ),
    (
        "the trail tells of an order that nobody has",
        |c| c.audit_doubled,
        |e, _| {
            let payload = json!({ "client_order_id": "nobody", "state": "NEW", "trade_ids": [] });
            let event = AuditEvent {
                event_id: "x:run:1".to_owned(),
                payload,
                ..e.audit.events[0].clone()
            };
            e.audit.events.push(event);
        },
    ),
    (
        "the chain is broken",
        |c| c.audit_broken,
        |e, _| {
            e.audit.broken = Some("line 3: prev".to_owned());
        },
    ),
];

#[test]
fn an_honest_system_is_clean() {
    for seed in 0..SEEDS {
        let verdict = judge(&honest(&mut StdRng::seed_from_u64(seed)));
        assert!(verdict.is_clean(), "seed {seed}: {verdict:#?}");
        let counts = verdict.counts;
        assert!(
            counts.in_doubt_found > 0 && counts.in_doubt_never_arrived > 0,
            "seed {seed}: {counts:?}"
        );
        assert!(counts.orders_compared >= 20 && counts.fills_compared > 0 && counts.events_compared > 0);
    }
}

#[test]
fn p4_p5_p7_each_kind_of_damage_is_counted_as_what_it_is() {
    for (what, count, damage) in DAMAGES {
        for seed in 0..SEEDS {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut evidence = honest(&mut rng);
            damage(&mut evidence, &mut rng);
            let verdict = judge(&evidence);
            assert!(!verdict.is_clean(), "seed {seed}: {what}: {verdict:#?}");
            assert!(count(&verdict.counts) > 0, "seed {seed}: {what}: {verdict:#?}");
            assert!(!verdict.findings.is_empty(), "seed {seed}: {what}");
        }
    }
}

#[test]
fn what_is_no_damage_is_not_counted() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut evidence = honest(&mut rng);
    // Told early: it was open then, or in doubt.
    for state in [
        OrderState::New,
        OrderState::PartiallyFilled,
        OrderState::InDoubt,
        OrderState::Intent,
    ] {
        let index = pick(&evidence.journal, &mut rng, |order| order.state == OrderState::Filled);
        evidence.told.push(Told {
            client_order_id: evidence.journal[index].client_order_id.clone(),
            state,
            executed: Decimal::ZERO,
        });
    }
    // Accepted in the very moment of the answer, and after the request to deactivate.
    let mut buys = evidence.exchange.iter_mut().filter(|order| order.opens);
    buys.next().expect("a buy").accepted_at_ms = 2000;
    buys.next().expect("another").accepted_at_ms = 3000;
    // Somebody else's trade, which was adopted: the book does not know the order's name.
    let mut external = evidence.exchange_fills[0].clone();
    (external.trade_id, external.client_order_id) = (5000, "external".to_owned());
    let adopted = Execution {
        client_order_id: String::new(),
        ..external.clone()
    };
    let moved = if external.buys {
        external.quantity - external.commission
    } else {
        -external.quantity
    };
    *evidence.book_net.entry(external.symbol.clone()).or_default() += moved;
    let number = evidence.book_fills.len() + 1;
    evidence.audit.events.push(AuditEvent {
        event_id: format!("position:run:{number}"),
        event_type: "FILL_RECORDED".to_owned(),
        service: "position".to_owned(),
        payload: json!({ "symbol": external.symbol, "trade_id": 5000 }),
    });
    evidence.exchange_fills.push(external);
    evidence.book_fills.push(adopted);
    let verdict = judge(&evidence);
    assert!(verdict.is_clean(), "{verdict:#?}");
}
