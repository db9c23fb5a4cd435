//! The path of an order: seen before? allowed? written down; through the fence; sent once; the answer written down.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use thunes_binance::{NewOrder, NewOrderAnswer};
use thunes_proto::risk::v1::{AuthorizeOrderRequest, AuthorizeOrderResponse};
use thunes_rpc::{deadline, reason_of};
use thunes_runtime::clock;
use thunes_store::{begin_write, failpoint};
use thunes_types::{Decimal, FieldError, ReasonCode, checked_add};

use crate::denial::{Denial, closed_text};
use crate::domain::fence::{Approval, Subject};
use crate::domain::filters::{Surroundings, SymbolRules};
use crate::domain::holdings::closable;
use crate::domain::order::{OrderState, Side};
use crate::domain::plan::{Plan, Wish, plan};
use crate::domain::stop_plan::Basis;
use crate::ending::held_back;
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::hear::order_event;
use crate::new_order::{blank_order, fill_in, shape, wire_side};
use crate::stages::{Stage, timed};
use crate::store::{self, OrderRow};

/// A price that is older says nothing about a closing order.
const CLOSING_PRICE_MAX_AGE_MS: i64 = 10_000;
/// How long risk's decision is waited for.
pub(crate) const AUTHORIZE_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long an approved opening order waits for a lease of its epoch: the approval can be faster than the lease.
const LEASE_PATIENCE: Duration = Duration::from_millis(1200);

/// What the fence let through: signed, and to be sent once.
struct Passed {
    signed: thunes_binance::SignedRequest<NewOrderAnswer>,
}

/// What came of waiting for a lease that an approval can pass under.
#[derive(PartialEq, Eq)]
enum Lease {
    /// The lease is of a newer epoch.
    Outdated,
    /// It has come, or not in time.
    Unknown,
}

impl Engine {
    /// Submits an order, or gives the present state of the order that this id made before.
    ///
    /// # Errors
    /// For a request that is wrong in itself, a reused id, or a journal that cannot be written.
    pub(crate) async fn submit(self: &Arc<Self>, wish: Wish) -> Result<OrderRow, GatewayError> {
        self.submit_planned(wish, None).await
    }

    /// Like `submit`, and denied when what a sale was planned on has changed before it is written down.
    ///
    /// # Errors
    /// As `submit`.
    pub(crate) async fn submit_planned(
        self: &Arc<Self>,
        wish: Wish,
        basis: Option<Basis>,
    ) -> Result<OrderRow, GatewayError> {
        let turn = self.turn(wish.client_order_id.as_str());
        let _mine = turn.lock().await;
        let payload_hash = hex::encode(Sha256::digest(wish.payload()));
        let mut connection = self.database.pool.acquire().await?;
        if let Some(known) = store::find_order(&mut connection, wish.client_order_id.as_str()).await? {
            let same = known.payload_hash == payload_hash;
            return if same {
                Ok(known)
            } else {
                Err(GatewayError::ClientOrderIdReused(known.client_order_id))
            };
        }
        drop(connection);
        let rules = self.known_symbol(&wish)?;
        let mut order = blank_order(&wish, &rules, payload_hash);
        order.recv_window_ms = match wish.side {
            Side::Buy => self.config.fence.recv_window_ms,
            Side::Sell => self.config.closing_recv_window_ms,
        };
        let surroundings = self.surroundings(&rules, wish.side).await?;
        let planned = match plan(&wish, &rules, &surroundings) {
            Ok(planned) => planned,
            Err(refused) => {
                return self
                    .deny(
                        order,
                        Denial {
                            code: refused.code,
                            text: refused.text,
                        },
                        false,
                    )
                    .await;
            }
        };
        fill_in(&mut order, &planned);
        if let Err(held) = self.exchange.order_would_leave(exchange_side(wish.side)) {
            return self.deny(order, held_back(&held), false).await;
        }
        if let Err(denial) = self.preconditions(wish.side).await {
            return self.deny(order, denial, false).await;
        }
        let authorized = timed(Stage::Authorize, self.authorize(&wish, &planned, &mut order)).await;
        let mut approval = match authorized {
            Ok(approval) => approval,
            Err(denial) => return self.deny(order, denial, false).await,
        };
        if let Err(denial) = timed(Stage::Intent, self.write_intent(&mut order, basis)).await? {
            return self.deny(order, denial, true).await;
        }
        if let Some(first) = &approval
            && self.wait_for_lease(first).await == Lease::Outdated
        {
            // A halt of another scope came in between: risk is asked once more, not the caller.
            approval = match self.authorize(&wish, &planned, &mut order).await {
                Ok(approval) => approval,
                Err(denial) => return self.withdraw(order, denial).await,
            };
            if let Some(second) = &approval {
                let _ = self.wait_for_lease(second).await;
            }
        }
        let passed = match self.pass_fence(&wish, &planned, &mut order, approval.as_ref()).await {
            Ok(passed) => passed,
            Err(denial) => return self.withdraw(order, denial).await,
        };
        // With the signed timestamp: without it an absence could never be proven.
        self.keep_live(&order);
        failpoint::pass("gateway.submit.before_send");
        let outcome = timed(Stage::Exchange, self.exchange.send(passed.signed)).await;
        failpoint::pass("gateway.submit.after_send");
        let concluded = timed(Stage::Answer, self.conclude(order, outcome)).await;
        if concluded.is_err() {
            // It stays an intent, and the resolver asks for it.
            self.doubts_waiting.notify_one();
        }
        failpoint::pass("gateway.submit.before_answer");
        concluded
    }

    fn known_symbol(&self, wish: &Wish) -> Result<SymbolRules, GatewayError> {
        self.rules(wish.symbol.as_str()).ok_or_else(|| {
            if !self.is_ready() {
                return GatewayError::Starting;
            }
            let symbols = self
                .config
                .symbols
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            let known = format!("one of {symbols} (setting gateway.symbols), as far as the exchange lists them");
            FieldError::new("symbol", wish.symbol.as_str(), known).into()
        })
    }

    /// What the exchange's filters measure by, as far as it is known here.
    async fn surroundings(&self, rules: &SymbolRules, side: Side) -> Result<Surroundings, GatewayError> {
        let position = match (rules.position_max, side) {
            (Some(_), Side::Buy) => Some(self.position_with_open_buys(&rules.base_asset, &rules.symbol).await?),
            (Some(_), Side::Sell) | (None, _) => None,
        };
        // A closing order must not be held against a price that nobody has heard of late: then the exchange judges.
        let last_price = match side {
            Side::Buy => self.last_price(&rules.symbol),
            Side::Sell => self.last_price_within(&rules.symbol, CLOSING_PRICE_MAX_AGE_MS),
        };
        Ok(Surroundings {
            last_price,
            average_price: self.average_price(&rules.symbol),
            open_orders: Some(self.open_orders(&rules.symbol)),
            position,
        })
    }

    async fn position_with_open_buys(&self, base_asset: &str, symbol: &str) -> Result<Decimal, GatewayError> {
        let mut connection = self.database.pool.acquire().await?;
        let mut position = store::holding(&mut connection, base_asset).await?;
        drop(connection);
        for order in self.live().iter().filter(|order| order.symbol == symbol) {
            // A market order in quote has no quantity; it does not stay open.
            if order.side() == Side::Buy && !order.state()?.is_terminal() && !order.quantity.is_empty() {
                position = checked_add(position, order.remaining_quantity()?)?;
            }
        }
        Ok(position)
    }

    /// What opening needs besides risk's word. Closing needs none of it.
    async fn preconditions(&self, side: Side) -> Result<(), Denial> {
        if side == Side::Sell {
            return Ok(());
        }
        if !self.is_ready() {
            return Err(Denial {
                code: ReasonCode::GatewayStarting,
                text: "❌ The gateway is starting: the baseline is not recorded yet".into(),
            });
        }
        self.reconciled_enough().map_err(|(code, text)| Denial { code, text })?;
        let backlog = self.outbox.status().await.map_err(|e| Denial {
            code: ReasonCode::JournalUnwritable,
            text: format!("❌ The journal cannot be read: {e}"),
        })?;
        if backlog.oldest_age_ms > self.config.audit_backlog_max_age_ms {
            let text = format!(
                "❌ Audit does not have events that are {} ms old, allowed is <= {} ms",
                backlog.oldest_age_ms, self.config.audit_backlog_max_age_ms
            );
            return Err(Denial {
                code: ReasonCode::AuditBacklogTooOld,
                text,
            });
        }
        Ok(())
    }

    /// Asks risk. Opening needs its approval; closing goes on without risk, since stopping must never trap a position.
    async fn authorize(&self, wish: &Wish, planned: &Plan, order: &mut OrderRow) -> Result<Option<Approval>, Denial> {
        let request = AuthorizeOrderRequest {
            client_order_id: order.client_order_id.clone(),
            symbol: order.symbol.clone(),
            side: wire_side(wish.side) as i32,
            notional: planned.notional.to_string(),
            limit_price: order.limit_price.clone(),
            strategy_id: order.strategy_id.clone(),
            gateway_id: self.config.id.clone(),
            account: self.config.account.clone(),
        };
        let asked_boot_ms = clock::boot_ms();
        let answer = self
            .risk
            .clone()
            .authorize_order(deadline(request, AUTHORIZE_TIMEOUT))
            .await;
        match (answer, wish.side) {
            (Ok(answer), side) => {
                let answer = answer.into_inner();
                order.epoch = answer.epoch;
                order.checks = serde_json::to_string(&answer.checks).unwrap_or_default();
                order.reason.clone_from(&answer.reason);
                judged(&answer, side, asked_boot_ms)
            }
            // Risk did answer, with a refusal: that is no silence.
            (Err(status), _) if reason_of(&status).is_some_and(is_refusal) => Err(Denial {
                code: reason_of(&status).unwrap_or(ReasonCode::Internal),
                text: format!("❌ Risk refused the question: {}", status.message()),
            }),
            (Err(_), Side::Sell) => {
                order.reason = "risk did not answer; closing is allowed up to the quantity held".into();
                Ok(None)
            }
            (Err(status), Side::Buy) => Err(Denial {
                code: ReasonCode::RiskUnreachable,
                text: format!(
                    "❌ Risk did not answer ({}); no new positions without it",
                    status.message()
                ),
            }),
        }
    }

    /// Writes the intent and its event, durably, before anything leaves. A sale reserves what it sells here.
    async fn write_intent(
        &self,
        order: &mut OrderRow,
        basis: Option<Basis>,
    ) -> Result<Result<(), Denial>, GatewayError> {
        let mut tx = begin_write(&self.database.pool).await?;
        if order.side() == Side::Sell {
            let held = store::holding(&mut tx, &order.base_asset).await?;
            let pledged = store::remaining_sells(&mut tx, &order.base_asset).await?;
            if let Some(basis) = basis {
                let filled_since = store::filled_since(&mut tx, &order.symbol, basis.last_fill_id).await?;
                let pledged = pledged.iter().copied().try_fold(Decimal::ZERO, checked_add)?;
                if !basis.holds(filled_since, pledged) {
                    return Ok(Err(moved(order)));
                }
            }
            let most = closable(held, &pledged)?;
            let wanted = order.remaining_quantity()?;
            if wanted > most {
                let text = format!(
                    "❌ SELL of {wanted} {asset} exceeds what can be sold: {most} {asset} (held {held}, the rest is in orders that have not ended)",
                    asset = order.base_asset
                );
                return Ok(Err(Denial {
                    code: ReasonCode::ClosableQuantityExceeded,
                    text,
                }));
            }
        }
        order.state = OrderState::Intent.as_str().to_owned();
        store::insert_order(&mut tx, order).await?;
        self.outbox
            .add(&mut tx, &order_event(order, "ORDER_INTENT", &[]))
            .await?;
        failpoint::pass("gateway.intent.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.intent.after_commit");
        self.keep_live(order);
        self.outbox.wake();
        Ok(Ok(()))
    }

    /// One reading of one clock makes both the signed timestamp and the check against the lease.
    async fn pass_fence(
        &self,
        wish: &Wish,
        planned: &Plan,
        order: &mut OrderRow,
        approval: Option<&Approval>,
    ) -> Result<Passed, Denial> {
        let new_order = NewOrder {
            symbol: wish.symbol.clone(),
            side: exchange_side(wish.side),
            client_order_id: wish.client_order_id.clone(),
            shape: shape(wish, planned),
        };
        let now_boot_us = clock::boot_us();
        let estimate = self.time(|time| time.estimate(now_boot_us));
        let (Some(estimate), now_boot_ms) = (estimate, now_boot_us.div_euclid(1000)) else {
            return Err(Denial {
                code: ReasonCode::ClockUncertain,
                text: "❌ The exchange's clock is not known yet".into(),
            });
        };
        if wish.side == Side::Buy {
            let Some(approval) = approval else {
                return Err(Denial {
                    code: ReasonCode::ApprovalStale,
                    text: closed_text(ReasonCode::ApprovalStale),
                });
            };
            let subject = Subject {
                client_order_id: &order.client_order_id,
                symbol: &order.symbol,
                strategy_id: &order.strategy_id,
            };
            let uncertainty_ms = Some(estimate.uncertainty_ms());
            let admitted =
                self.with_gate(|gate| gate.admit(subject, now_boot_ms, approval, uncertainty_ms, self.config.fence));
            admitted.map_err(|code| self.closed_for(subject, code))?;
        }
        order.signed_timestamp_ms = estimate.exchange_ms(now_boot_us);
        let signed = self
            .exchange
            .sign_order(&new_order, order.signed_timestamp_ms, order.recv_window_ms);
        Ok(Passed { signed })
    }

    async fn wait_for_lease(&self, approval: &Approval) -> Lease {
        let mut changes = self.watch_gate();
        let wait = async {
            loop {
                if self.gate(|gate| gate.is_outdated(approval)) {
                    return Lease::Outdated;
                }
                if self.gate(|gate| gate.matches(approval, clock::boot_ms())) || changes.changed().await.is_err() {
                    return Lease::Unknown;
                }
            }
        };
        // Whether it came in time is the fence's business.
        tokio::time::timeout(LEASE_PATIENCE, wait)
            .await
            .unwrap_or(Lease::Unknown)
    }
}

fn exchange_side(side: Side) -> thunes_binance::Side {
    match side {
        Side::Buy => thunes_binance::Side::Buy,
        Side::Sell => thunes_binance::Side::Sell,
    }
}

/// What is held may still cover the sale, and be somebody else's.
fn moved(order: &OrderRow) -> Denial {
    Denial {
        code: ReasonCode::ClosableQuantityExceeded,
        text: format!(
            "❌ What is left to sell of {} changed while this sale was prepared: it is planned again",
            order.symbol
        ),
    }
}

/// Reasons with which risk turns a question down, as against not being able to answer it.
fn is_refusal(code: ReasonCode) -> bool {
    matches!(code, ReasonCode::InvalidArgument | ReasonCode::AmountOverflow)
}

/// Reads risk's answer.
fn judged(answer: &AuthorizeOrderResponse, side: Side, asked_boot_ms: i64) -> Result<Option<Approval>, Denial> {
    if !answer.approved {
        let code = ReasonCode::parse(&answer.reason_code).unwrap_or(ReasonCode::Internal);
        return Err(Denial {
            code,
            text: answer.reason.clone(),
        });
    }
    match side {
        Side::Sell => Ok(None),
        Side::Buy => Ok(Some(Approval {
            epoch: answer.epoch,
            risk_incarnation: answer.incarnation.clone(),
            expires_at_boot_ms: asked_boot_ms + answer.expires_in_ms,
        })),
    }
}
