use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use thunes_types::parse_decimal;

use crate::action;
use crate::domain::{Evidence, EvidenceKind, Judgement, Measured};
use crate::engine::{ActionResult, Context, Outcome};
use crate::environment::{Ask, until_every};
use crate::error::ActionError;

const DELIVERED_WITHIN: Duration = Duration::from_secs(30);
/// The whole ledger is read at each look.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A fill as both sides name it.
type Key = (String, i64);

/// The book has every fill of the exchange's ledger since the baseline, once, and no other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JudgeFills {}

action!(
    JudgeFills,
    "judge_fills",
    ["complete"],
    "Compares position's fills with the exchange's own ledger, one by one."
);

impl JudgeFills {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let compared = until_every(
            LOOK_INTERVAL,
            "the book to have every fill",
            DELIVERED_WITHIN,
            || async {
                match compare(context).await {
                    Ok(difference) if difference.wrong.is_empty() => Ask::Yes(difference),
                    Ok(difference) => Ask::NotYet(difference.wrong.join("; ")),
                    Err(error) => Ask::NotYet(error.to_string()),
                }
            },
        )
        .await;
        let compared = match compared {
            Ok(compared) => compared,
            Err(ActionError::TimedOut { .. }) => compare(context).await?,
            Err(error) => return Err(error),
        };
        let text = format!(
            "{} fills at the exchange since the baseline, {} in the book, {} of them executed during the fault",
            compared.exchange, compared.book, compared.during
        );
        let judgement = if compared.during == 0 {
            Judgement::inconclusive("no fill was executed during the fault")
        } else {
            let count = i64::try_from(compared.during).unwrap_or(i64::MAX);
            Judgement::of(
                Measured::count(count),
                compared.wrong.is_empty(),
                compared.wrong.join("; "),
            )
        };
        let evidence = vec![Evidence::new(EvidenceKind::Ledger, "fills, one by one", text.clone())];
        Ok(Outcome::did(text).finding("complete", judgement, evidence))
    }
}

struct Compared {
    exchange: usize,
    book: usize,
    during: usize,
    wrong: Vec<String>,
}

async fn compare(context: &Context) -> Result<Compared, ActionError> {
    let clients = context.clients();
    let ledger = context.sim().ledger().await?;
    let account = clients.gateway_status().await?.account;
    let cursors: BTreeMap<String, i64> = clients
        .baseline(&account)
        .await?
        .cursors
        .into_iter()
        .map(|cursor| (cursor.symbol, cursor.last_trade_id))
        .collect();
    let since_baseline = |symbol: &str, trade_id: i64| {
        cursors
            .get(symbol)
            .is_none_or(|last_trade_id| trade_id > *last_trade_id)
    };
    let mut expected = BTreeMap::new();
    let mut during = 0;
    for fill in ledger
        .fills
        .iter()
        .filter(|fill| since_baseline(&fill.symbol, fill.trade_id))
    {
        expected.insert((fill.symbol.clone(), fill.trade_id), fill.quantity);
        during += usize::from((context.cut.since_ms..=context.cut.mended_at_ms).contains(&fill.executed_at_ms));
    }
    let (mut seen, mut wrong) = (BTreeMap::<Key, usize>::new(), Vec::new());
    for fill in clients.fills().await? {
        let key = (fill.symbol.clone(), fill.trade_id);
        *seen.entry(key.clone()).or_default() += 1;
        let quantity = parse_decimal("quantity", &fill.quantity).map_err(|_| ActionError::Decimal {
            field: "quantity",
            text: fill.quantity.clone(),
        })?;
        match expected.get(&key) {
            None => wrong.push(format!("{} {} is not at the exchange", key.0, key.1)),
            Some(other) if *other != quantity => {
                wrong.push(format!(
                    "{} {}: {quantity} in the book, {other} at the exchange",
                    key.0, key.1
                ));
            }
            Some(_) => {}
        }
    }
    wrong.extend(
        seen.iter()
            .filter(|(_, count)| **count > 1)
            .map(|(key, count)| format!("{} {} is there {count} times", key.0, key.1)),
    );
    wrong.extend(
        expected
            .keys()
            .filter(|key| !seen.contains_key(*key))
            .map(|key| format!("{} {} is missing", key.0, key.1)),
    );
    Ok(Compared {
        exchange: expected.len(),
        book: seen.values().sum(),
        during,
        wrong,
    })
}
