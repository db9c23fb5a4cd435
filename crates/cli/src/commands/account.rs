use thunes_proto::gateway::v1::{GetAccountRequest, GetAccountResponse};
use thunes_supervisor::embedded::Service;
use thunes_types::{checked_add, parse_decimal};

use crate::call::{CALL_WITHIN, Context, answer};
use crate::show::{time, yes_no};

pub async fn run(context: &Context) -> anyhow::Result<u8> {
    let (mut gateway, url) = context.peers.gateway()?;
    let request = context.request(GetAccountRequest {}, CALL_WITHIN);
    let account = answer(
        gateway.get_account(request).await,
        Service::ExchangeGateway,
        &url,
        "GetAccount",
    )?;
    context.out.result(&account, || lines(&account))?;
    Ok(0)
}

fn lines(account: &GetAccountResponse) -> String {
    let mut text = format!("Non-zero balances: {}\n", account.balances.len());
    for balance in &account.balances {
        let (free, locked) = (&balance.free, &balance.locked);
        let total = match (parse_decimal("free", free), parse_decimal("locked", locked)) {
            (Ok(free), Ok(locked)) => checked_add(free, locked).map_or_else(|_| "?".to_owned(), |sum| sum.to_string()),
            _ => "?".to_owned(),
        };
        text += &format!("  {}: {total} (free: {free}, locked: {locked})\n", balance.asset);
    }
    text + &format!(
        "May trade: {}\nAsked at: {}\n",
        yes_no(account.can_trade),
        time(account.asked_at_ms)
    )
}
