use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use thunes_proto::gateway::v1::Order;
use thunes_runtime::clock;

use super::databases::check_databases;
use super::trade_loop::{TraderRecord, read_record};
use crate::action;
use crate::domain::{BookDifference, DataLoss, DataLossFacts, Evidence, EvidenceKind, Judgement, Measured, SimLedger};
use crate::engine::{ActionResult, Context, Outcome};
use crate::error::ActionError;

/// The stream's last events may be a moment late; a difference counts when it stays.
const DIFFERENCE_STAYS: Duration = Duration::from_secs(8);
/// A line that is being written looks damaged; it is not when looked at again.
const VERIFY_TRIES: usize = 5;
const SHOWN_MAX: usize = 20;

/// The verdict of a crash drill: what was acknowledged before is there after, and after is the fold of the exchange's own
/// ledger.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JudgeRecovery {}

action!(
    JudgeRecovery,
    "judge_recovery",
    ["recovered", "audit_intact", "data_loss", "sent_once", "kills_hit"],
    "Compares what was acknowledged with what is there, and the book with the exchange's ledger."
);

/// The trail is whole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrailVerifies {}

action!(
    TrailVerifies,
    "trail_verifies",
    ["verifies"],
    "Verifies the audit trail offline, line by line, and looks for every event that was acknowledged to the drill."
);

impl TrailVerifies {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let audit = audit_part(context).await?;
        let judgement = Judgement::of_text(audit.said.clone(), audit.holds(), audit.why());
        Ok(Outcome::did(audit.said).finding("verifies", judgement, audit.evidence))
    }
}

/// One part of the comparison: what was looked at, and what is wrong with it.
struct Part {
    said: String,
    wrong: Vec<String>,
    evidence: Vec<Evidence>,
}

impl Part {
    fn holds(&self) -> bool {
        self.wrong.is_empty()
    }

    fn why(&self) -> String {
        let more = self.wrong.len().saturating_sub(SHOWN_MAX);
        let shown = self
            .wrong
            .iter()
            .take(SHOWN_MAX)
            .cloned()
            .collect::<Vec<_>>()
            .join("; ");
        if more > 0 {
            format!("{shown}; and {more} more")
        } else {
            shown
        }
    }
}

impl JudgeRecovery {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let trade_loop = context
            .trade_loop
            .as_ref()
            .ok_or_else(|| ActionError::NotMet("no trader was started".to_owned()))?;
        let record = read_record(&trade_loop.acks_file)?;
        let accepted: Vec<&Order> = record.accepted().collect();
        if accepted.is_empty() || context.crash.kills.is_empty() {
            return Err(ActionError::NotMet(
                "no order was accepted, or nothing was killed".to_owned(),
            ));
        }
        let book = book_part(context, &accepted).await?;
        let audit = audit_part(context).await?;
        let databases = databases_part(context).await?;
        let repaired = if book.holds() {
            None
        } else {
            repair(context, &accepted).await
        };
        let facts = DataLossFacts {
            book_holds: book.holds(),
            book_holds_after_repair: repaired,
            audit_holds: audit.holds(),
            databases_intact: databases.holds(),
        };
        let ledger = context.sim().ledger().await?;
        let hits = kills_hit(context, &record);
        let loss = facts.class();
        let why = [&book, &audit, &databases]
            .iter()
            .filter(|part| !part.holds())
            .map(|part| part.why())
            .collect::<Vec<_>>();
        let facts_evidence = Evidence::new(EvidenceKind::Note, "what the class stands on", format!("{facts:?}"));
        Ok(Outcome::did(format!("{}; data loss: {}", book.said, loss.as_str()))
            .finding(
                "data_loss",
                Judgement::of_text(loss.as_str(), loss == DataLoss::None, why.join("; ")),
                [databases.evidence, vec![facts_evidence]].concat(),
            )
            .finding(
                "recovered",
                Judgement::of_text(book.said.clone(), book.holds(), book.why()),
                book.evidence,
            )
            .finding(
                "audit_intact",
                Judgement::of_text(audit.said.clone(), audit.holds(), audit.why()),
                audit.evidence,
            )
            .finding("sent_once", sent_once(&ledger), vec![sent_evidence(&ledger)])
            .finding("kills_hit", hits.0, hits.1))
    }
}

/// The book against the exchange, asked again until they agree or the difference has stayed.
async fn book_part(context: &Context, accepted: &[&Order]) -> Result<Part, ActionError> {
    let begun = clock::instant();
    loop {
        let part = compare_book(context, accepted).await?;
        if part.holds() || begun.elapsed() > DIFFERENCE_STAYS {
            return Ok(part);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What is there after the crash.
struct There {
    fills: BTreeSet<(String, i64)>,
    at_gateway: BTreeSet<String>,
    at_exchange: BTreeSet<String>,
}

impl There {
    /// What is missing of an order that was acknowledged as accepted.
    fn lacks(&self, order: &Order) -> Vec<String> {
        let id = &order.client_order_id;
        let mut missing = Vec::new();
        if !self.at_gateway.contains(id) {
            missing.push(format!("order {id} was acknowledged and the gateway does not know it"));
        }
        if !self.at_exchange.contains(id) {
            missing.push(format!(
                "order {id} was acknowledged as accepted and the exchange does not have it"
            ));
        }
        let lost = order
            .fills
            .iter()
            .filter(|fill| !self.fills.contains(&(fill.symbol.clone(), fill.trade_id)));
        missing.extend(lost.map(|fill| {
            format!(
                "fill {} of order {id} was acknowledged and the book does not have it",
                fill.trade_id
            )
        }));
        missing
    }
}

async fn compare_book(context: &Context, accepted: &[&Order]) -> Result<Part, ActionError> {
    let clients = context.clients();
    let ledger = context.sim().ledger().await?;
    let exchange = context.exchange_holding(&ledger).await?;
    let (book, fills) = (clients.holding().await?, clients.fills().await?);
    let orders = clients.orders(&[]).await?;
    let there = There {
        fills: fills.into_iter().map(|fill| (fill.symbol, fill.trade_id)).collect(),
        at_gateway: orders.into_iter().map(|order| order.client_order_id).collect(),
        at_exchange: ledger
            .orders
            .iter()
            .map(|order| order.client_order_id.clone())
            .collect(),
    };
    let mut wrong: Vec<String> = accepted.iter().flat_map(|order| there.lacks(order)).collect();
    let lost = context
        .crash
        .acknowledged_fills
        .iter()
        .filter(|fill| !there.fills.contains(*fill));
    wrong
        .extend(lost.map(|(symbol, trade)| format!("fill {symbol} {trade} was in the book before a kill and is gone")));
    let differences = BookDifference::all(&book, &exchange);
    wrong.extend(differences.iter().map(|d| {
        format!(
            "{}: the book holds {}, the exchange's fills fold to {}",
            d.symbol, d.book, d.exchange
        )
    }));
    let said = format!(
        "{} acknowledged orders and {} fills of before the kills are there; {} symbols equal the fold of {} fills at the exchange",
        accepted.len(),
        context.crash.acknowledged_fills.len(),
        book.len(),
        ledger.fills.len()
    );
    let said = if wrong.is_empty() {
        said
    } else {
        format!("{} differences", wrong.len())
    };
    let evidence = vec![
        Evidence::new(
            EvidenceKind::Answer,
            "the book, net base quantities",
            format!("{book:?}"),
        ),
        Evidence::new(
            EvidenceKind::Ledger,
            "the exchange's own fills, folded",
            format!("{exchange:?}"),
        ),
    ];
    Ok(Part { said, wrong, evidence })
}

/// Whether a repairing reconciliation makes the book whole; None when it could not be tried.
async fn repair(context: &mut Context, accepted: &[&Order]) -> Option<bool> {
    let answer = context
        .clients()
        .reconcile(true, "DRILL: repair after the crash test")
        .await
        .ok()?;
    context.keep_reconciliation(&answer, true);
    Some(compare_book(context, accepted).await.ok()?.holds())
}

async fn audit_part(context: &Context) -> Result<Part, ActionError> {
    let path = context.environment.place.audit_file();
    let failed = || ActionError::io(format!("{} cannot be read", path.display()));
    let mut tries = 0;
    let (report, trail) = loop {
        let report = thunes_tlog::verify_file(&path).map_err(failed())?;
        let trail = context.trail_of_run()?;
        tries += 1;
        let whole = report.first_bad.is_none() && trail.invalid.is_empty() && !trail.unfinished;
        if whole || tries >= VERIFY_TRIES {
            break (report, trail);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let mut wrong: Vec<String> = trail
        .invalid
        .iter()
        .map(|(line, why)| format!("line {line} is no valid line: {why}"))
        .collect();
    if trail.unfinished {
        wrong.push("the last line has no end".to_owned());
    }
    if let Some(bad) = &report.first_bad {
        wrong.push(format!(
            "line {} (seq {}, byte {}): {}",
            bad.line_number, bad.seq, bad.offset, bad.why
        ));
    }
    wrong.extend(trail.lost(&context.audit_acks));
    let said = format!(
        "{} lines, all valid JSON, the chain verifies; {} acknowledged events are there unchanged",
        report.lines,
        context.audit_acks.len()
    );
    let said = if wrong.is_empty() {
        said
    } else {
        format!("{} lines are sound", report.lines)
    };
    let last = trail.lines.last().map(|line| line.raw.clone()).unwrap_or_default();
    let evidence = vec![
        Evidence::new(EvidenceKind::Answer, "offline verification", format!("{report:#?}")),
        Evidence::new(EvidenceKind::AuditLine, "the last line", last),
    ];
    Ok(Part { said, wrong, evidence })
}

async fn databases_part(context: &Context) -> Result<Part, ActionError> {
    let checked = check_databases(&context.environment.place, context.scratch()).await?;
    let said = format!("{} databases", checked.len());
    let lines: Vec<_> = checked.iter().map(|(name, said)| format!("{name}: {said}")).collect();
    let wrong = checked
        .iter()
        .filter(|(_, said)| said != "ok")
        .map(|(name, said)| format!("{name}: {said}"))
        .collect();
    let evidence = vec![Evidence::new(
        EvidenceKind::Command,
        "PRAGMA integrity_check",
        lines.join("\n"),
    )];
    Ok(Part { said, wrong, evidence })
}

fn sent_once(ledger: &SimLedger) -> Judgement {
    if ledger.orders.is_empty() {
        return Judgement::inconclusive("the exchange has no orders");
    }
    let twice = ledger.sent_twice();
    let count = i64::try_from(twice.len()).unwrap_or(i64::MAX);
    Judgement::of(Measured::count(count), twice.is_empty(), format!("{twice:?}"))
}

fn sent_evidence(ledger: &SimLedger) -> Evidence {
    let ids: BTreeSet<&str> = ledger
        .orders
        .iter()
        .map(|order| order.client_order_id.as_str())
        .collect();
    let text = format!(
        "{} orders at the exchange under {} different client order ids",
        ledger.orders.len(),
        ids.len()
    );
    Evidence::new(EvidenceKind::Ledger, "orders by client order id", text)
}

/// A kill that hit nothing proves nothing.
fn kills_hit(context: &Context, record: &TraderRecord) -> (Judgement, Vec<Evidence>) {
    let hits = context
        .crash
        .kills
        .iter()
        .map(|kill| (kill, record.in_flight_at(kill.killed_at_ms)));
    let hits: Vec<_> = hits.collect();
    let lines: Vec<_> = hits
        .iter()
        .map(|(kill, count)| format!("{}: {count} orders in flight", kill.target))
        .collect();
    let evidence = vec![Evidence::new(
        EvidenceKind::Timing,
        "orders in flight at each kill",
        lines.join("\n"),
    )];
    let least = hits.iter().min_by_key(|(_, count)| *count);
    let judgement = match least {
        None => Judgement::inconclusive("nothing was killed"),
        Some((kill, 0)) => Judgement::inconclusive(format!("no order was in flight at the kill of {}", kill.target)),
        Some((_, count)) => Judgement::Pass(Measured::count(i64::try_from(*count).unwrap_or(i64::MAX))),
    };
    (judgement, evidence)
}
