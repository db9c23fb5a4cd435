use clap::Args;
use serde_json::json;
use thunes_proto::position::v1::{DailyPnl, GetDailyPnlRequest, ListOpenPositionsRequest, Position};
use thunes_supervisor::embedded::Service;

use crate::call::{CALL_WITHIN, Context, answer};
use crate::output::Table;
use crate::show::{amount, side};

#[derive(Debug, Args)]
pub struct PositionsArgs {
    /// Also those that are flat now, for their realised P&L and fees.
    #[arg(long)]
    all: bool,
}

pub async fn run(args: PositionsArgs, context: &Context) -> anyhow::Result<u8> {
    let (mut position, url) = context.peers.position()?;
    let request = context.request(
        ListOpenPositionsRequest {
            include_closed: args.all,
        },
        CALL_WITHIN,
    );
    let book = answer(
        position.list_open_positions(request).await,
        Service::Position,
        &url,
        "ListOpenPositions",
    )?;
    let request = context.request(GetDailyPnlRequest::default(), CALL_WITHIN);
    let pnl = answer(
        position.get_daily_pnl(request).await,
        Service::Position,
        &url,
        "GetDailyPnl",
    )?;
    let pnl = pnl.daily_pnl.unwrap_or_default();
    let both = json!({ "positions": book.positions, "revision": book.revision, "daily_pnl": pnl });
    context.out.result(&both, || lines(&book.positions, &pnl))?;
    Ok(0)
}

fn lines(positions: &[Position], pnl: &DailyPnl) -> String {
    let is_open = |position: &&Position| position.quantity.contains(|digit: char| ('1'..='9').contains(&digit));
    let mut text = format!("Total open positions: {}\n", positions.iter().filter(is_open).count());
    if !positions.is_empty() {
        let heads = [
            "SYMBOL",
            "SIDE",
            ">QUANTITY",
            ">AVERAGE ENTRY",
            ">NOTIONAL",
            ">REALISED",
            ">UNREALISED",
            "FEES",
        ];
        let mut table = Table::new(&heads);
        for position in positions {
            let fees: Vec<String> = position
                .fees
                .iter()
                .map(|fee| format!("{} {}", fee.amount, fee.asset))
                .collect();
            let quote = |value: &str| amount(value, &position.quote_asset);
            table.row([
                position.symbol.clone(),
                side(position.side()).to_owned(),
                amount(&position.quantity, &position.base_asset),
                quote(&position.average_entry_price),
                quote(&position.notional),
                quote(&position.realized_pnl),
                quote(&position.unrealized_pnl),
                fees.join(", "),
            ]);
        }
        text += &table.render();
    }
    let unrealized = if pnl.unrealized.is_empty() {
        "unknown"
    } else {
        &pnl.unrealized
    };
    let day = if pnl.day.is_empty() { "today" } else { &pnl.day };
    text + &format!(
        "Daily P&L ({day}, UTC): {} = {} realised + {unrealized} unrealised\n",
        pnl.total, pnl.realized
    )
}
