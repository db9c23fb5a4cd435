use clap::{Args, Subcommand, ValueEnum};
use thunes_proto::gateway::v1::{
    CancelAllOrdersRequest, CancelOrderRequest, GetOrderRequest, ListOrdersRequest, ListOrdersResponse, Order,
    OrderState, ResolveOrderRequest, ResolvedOutcome,
};
use thunes_supervisor::embedded::Service;

use crate::call::{ACTIVATE_WITHIN, CALL_WITHIN, Context, answer};
use crate::failure::EXIT_FAILED;
use crate::output::Table;
use crate::show;

/// The gateway's largest page.
const PAGE_SIZE_MAX: usize = 500;
const SERVICE: Service = Service::ExchangeGateway;

#[derive(Debug, Args)]
pub struct OrdersArgs {
    #[arg(long, default_value = "")]
    symbol: String,
    /// Only orders in these states, joined by commas, such as NEW,IN_DOUBT.
    #[arg(long, value_name = "STATES", value_delimiter = ',', value_parser = parse_state)]
    state: Vec<OrderState>,
    /// Only orders of which the exchange has not said what became of them, with their age and why.
    #[arg(long, conflicts_with = "state")]
    in_doubt: bool,
    /// How many at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// Everything that is known of one order.
    Show {
        #[arg(value_name = "CLIENT_ORDER_ID")]
        id: String,
    },
    /// Cancel one order.
    Cancel {
        #[arg(value_name = "CLIENT_ORDER_ID")]
        id: String,
        /// Why; goes to the audit trail.
        #[arg(long)]
        reason: String,
    },
    /// Say what became of an order in doubt that the exchange cannot tell of any more.
    Resolve(ResolveArgs),
}

#[derive(Debug, Args)]
pub struct ResolveArgs {
    #[arg(value_name = "CLIENT_ORDER_ID")]
    id: String,
    /// What became of it. A fill comes from the exchange only.
    #[arg(long, value_enum)]
    outcome: Outcome,
    /// Why; goes to the audit trail.
    #[arg(long)]
    reason: String,
    #[arg(long, value_name = "ID", default_value = "")]
    request_id: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Outcome {
    NeverArrived,
    Canceled,
    Expired,
}

#[derive(Debug, Args)]
pub struct CancelAllArgs {
    /// Only this symbol.
    #[arg(long, default_value = "")]
    symbol: String,
    /// Why; goes to the audit trail.
    #[arg(long)]
    reason: String,
}

fn parse_state(text: &str) -> Result<OrderState, String> {
    let name = format!("ORDER_STATE_{}", text.trim().to_uppercase());
    OrderState::from_str_name(&name)
        .filter(|state| *state != OrderState::Unspecified)
        .ok_or_else(|| {
            let all = (1..)
                .map_while(|number| OrderState::try_from(number).ok())
                .map(show::state);
            format!("must be one of {}", all.collect::<Vec<_>>().join(", "))
        })
}

pub async fn list(args: OrdersArgs, context: &Context) -> anyhow::Result<u8> {
    let (mut gateway, url) = context.peers.gateway()?;
    let limit = args.limit as usize;
    let states = if args.in_doubt {
        vec![OrderState::InDoubt]
    } else {
        args.state.clone()
    };
    let mut orders: Vec<Order> = Vec::new();
    let mut page_token = String::new();
    while orders.len() < limit {
        let request = ListOrdersRequest {
            symbol: args.symbol.clone(),
            states: states.iter().map(|state| (*state).into()).collect(),
            page_size: i32::try_from((limit - orders.len()).min(PAGE_SIZE_MAX))?,
            page_token,
        };
        let request = context.request(request, CALL_WITHIN);
        let page = answer(gateway.list_orders(request).await, SERVICE, &url, "ListOrders")?;
        orders.extend(page.orders);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let all = ListOrdersResponse {
        orders,
        next_page_token: page_token,
    };
    context
        .out
        .result(&all, || if args.in_doubt { doubts(&all) } else { table(&all) })?;
    Ok(0)
}

fn doubts(all: &ListOrdersResponse) -> String {
    if all.orders.is_empty() {
        return "No order is in doubt\n".to_owned();
    }
    let mut table = Table::new(&[">AGE", "ORDER", "SYMBOL", "SIDE", ">ASKED", "WHY"]);
    for order in &all.orders {
        table.row([
            show::age(order.created_at_ms),
            order.client_order_id.clone(),
            order.symbol.clone(),
            show::side(order.side()).to_owned(),
            show::asked_size(order),
            order.reason.clone(),
        ]);
    }
    format!("{}{}", table.render(), more(all))
}

fn more(all: &ListOrdersResponse) -> &'static str {
    if all.next_page_token.is_empty() {
        ""
    } else {
        "There are more; raise --limit.\n"
    }
}

fn table(all: &ListOrdersResponse) -> String {
    let mut table = Table::new(&[
        "CREATED",
        "ORDER",
        "SYMBOL",
        "SIDE",
        ">ASKED",
        ">EXECUTED",
        "STATE",
        "REASON",
    ]);
    for order in &all.orders {
        table.row([
            show::time(order.created_at_ms),
            order.client_order_id.clone(),
            order.symbol.clone(),
            show::side(order.side()).to_owned(),
            show::asked_size(order),
            order.executed_quantity.clone(),
            show::state(order.state()).to_owned(),
            order.reason_code.clone(),
        ]);
    }
    format!("{}{}", table.render(), more(all))
}

pub async fn run(command: OrderCommand, context: &Context) -> anyhow::Result<u8> {
    let (mut gateway, url) = context.peers.gateway()?;
    let order = match command {
        OrderCommand::Show { id } => {
            let request = context.request(GetOrderRequest { client_order_id: id }, CALL_WITHIN);
            answer(gateway.get_order(request).await, SERVICE, &url, "GetOrder")?.order
        }
        OrderCommand::Cancel { id, reason } => {
            let request = context.request(
                CancelOrderRequest {
                    client_order_id: id,
                    reason,
                },
                CALL_WITHIN,
            );
            answer(gateway.cancel_order(request).await, SERVICE, &url, "CancelOrder")?.order
        }
        OrderCommand::Resolve(args) => {
            let outcome = match args.outcome {
                Outcome::NeverArrived => ResolvedOutcome::NeverArrived,
                Outcome::Canceled => ResolvedOutcome::Canceled,
                Outcome::Expired => ResolvedOutcome::Expired,
            };
            let request = ResolveOrderRequest {
                client_order_id: args.id,
                outcome: outcome.into(),
                reason: args.reason,
                request_id: args.request_id,
            };
            // The exchange is asked first.
            let request = context.request(request, ACTIVATE_WITHIN);
            answer(gateway.resolve_order(request).await, SERVICE, &url, "ResolveOrder")?.order
        }
    };
    let order = order.unwrap_or_default();
    context.out.result(&order, || show::order(&order))?;
    Ok(0)
}

/// Fails when an order still rests, or its fate is not known.
pub async fn cancel_all(args: CancelAllArgs, context: &Context) -> anyhow::Result<u8> {
    let (mut gateway, url) = context.peers.gateway()?;
    let request = CancelAllOrdersRequest {
        symbol: args.symbol,
        reason: args.reason,
    };
    let request = context.request(request, ACTIVATE_WITHIN);
    let done = answer(
        gateway.cancel_all_orders(request).await,
        SERVICE,
        &url,
        "CancelAllOrders",
    )?;
    context.out.result(&done, || {
        let mut text = format!("Canceled: {}\n", done.canceled_client_order_ids.len());
        for id in &done.canceled_client_order_ids {
            text += &format!("  {id}\n");
        }
        if !done.failures.is_empty() {
            text += &format!("Not canceled: {}\n", done.failures.len());
        }
        for failure in &done.failures {
            let code = show::reason_code(&failure.reason_code);
            text += &format!(
                "  {} ({}): {} {code}\n",
                failure.client_order_id, failure.symbol, failure.reason
            );
        }
        text
    })?;
    Ok(if done.failures.is_empty() { 0 } else { EXIT_FAILED })
}
