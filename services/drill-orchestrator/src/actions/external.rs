use serde::Deserialize;

use crate::action;
use crate::domain::EvidenceKind;
use crate::engine::{ActionResult, Context, Outcome};
use crate::error::ActionError;

/// A trade for the account at the exchange that our system knows nothing of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExternalTradeMade {
    symbol: String,
    side: String,
    quantity: String,
}

action!(
    ExternalTradeMade,
    "external_trade",
    [],
    "Trades at the exchange, past the gateway."
);

impl ExternalTradeMade {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let trades = context
            .sim()
            .external_trade(&self.symbol, &self.side, &self.quantity)
            .await?;
        if trades.is_empty() {
            return Err(ActionError::NotMet("the exchange made no trade of it".to_owned()));
        }
        let ids: Vec<_> = trades.iter().map(|trade| trade.trade_id.to_string()).collect();
        let said = format!(
            "{} {} {} at the exchange: trade {}",
            self.side,
            self.quantity,
            self.symbol,
            ids.join(", ")
        );
        let evidence = format!("{trades:#?}");
        context.external_trades.extend(trades);
        Ok(Outcome::did(said).evidence(EvidenceKind::Ledger, "the trade, as the exchange has it", evidence))
    }
}
