use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum};
use thunes_proto::gateway::v1::gateway_service_client::GatewayServiceClient;
use thunes_proto::gateway::v1::{
    GetOrderRequest, Order, OrderState, OrderType, SubmitOrderRequest, SubmitOrderResponse, TimeInForce,
};
use thunes_proto::types::v1::Side;
use thunes_rpc::Client;
use thunes_supervisor::embedded::Service;
use tonic::Code;

use crate::call::{CALL_WITHIN, Context, answer};
use crate::failure::{CallFailed, EXIT_FAILED, Usage};
use crate::show;
use crate::trade_loop::{self, LoopArgs};

/// How long an order whose answer did not come is asked after.
const ASK_FOR: Duration = Duration::from_secs(15);
const ASK_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct TradeArgs {
    #[command(subcommand)]
    command: Option<TradeCommand>,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Subcommand)]
enum TradeCommand {
    /// Keep orders in flight: buy, sell what was bought, and so on.
    Loop(LoopArgs),
}

#[derive(Debug, Args)]
struct OrderArgs {
    /// What to trade, such as BTCUSDT.
    #[arg(long, required = true)]
    symbol: Option<String>,
    #[arg(long, value_enum, ignore_case = true, required = true)]
    side: Option<SideArg>,
    /// How much, in the quote asset (USDT of BTCUSDT).
    #[arg(
        long,
        required_unless_present = "quantity",
        conflicts_with = "quantity",
        allow_negative_numbers = true
    )]
    amount: Option<String>,
    /// How much, in the base asset (BTC of BTCUSDT).
    #[arg(long, allow_negative_numbers = true)]
    quantity: Option<String>,
    /// The order's name: the same name never makes a second order. Made up when left out.
    #[arg(long, value_name = "ID")]
    client_order_id: Option<String>,
    /// Which strategy the order belongs to.
    #[arg(long, value_name = "ID", default_value = "cli")]
    strategy: String,
    /// Makes it a limit order: quote per base.
    #[arg(long, value_name = "PRICE", allow_negative_numbers = true)]
    limit_price: Option<String>,
    /// How long a limit order rests.
    #[arg(long, value_enum, ignore_case = true, requires = "limit_price")]
    time_in_force: Option<TimeInForceArg>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SideArg {
    #[value(name = "BUY")]
    Buy,
    #[value(name = "SELL")]
    Sell,
}

impl SideArg {
    pub fn proto(self) -> Side {
        match self {
            SideArg::Buy => Side::Buy,
            SideArg::Sell => Side::Sell,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TimeInForceArg {
    #[value(name = "GTC")]
    Gtc,
    #[value(name = "IOC")]
    Ioc,
    #[value(name = "FOK")]
    Fok,
}

impl TimeInForceArg {
    fn proto(self) -> TimeInForce {
        match self {
            TimeInForceArg::Gtc => TimeInForce::Gtc,
            TimeInForceArg::Ioc => TimeInForce::Ioc,
            TimeInForceArg::Fok => TimeInForce::Fok,
        }
    }
}

pub async fn run(args: TradeArgs, context: &Context) -> anyhow::Result<u8> {
    match args.command {
        Some(TradeCommand::Loop(args)) => trade_loop::run(args, context).await,
        None => one_order(args.order, context).await,
    }
}

/// Fails unless the exchange took the order.
async fn one_order(args: OrderArgs, context: &Context) -> anyhow::Result<u8> {
    let request = request(args)?;
    let id = request.client_order_id.clone();
    let (mut gateway, url) = context.peers.gateway()?;
    let submitted = gateway.submit_order(context.request(request, CALL_WITHIN)).await;
    let done = match answer(submitted, Service::ExchangeGateway, &url, "SubmitOrder") {
        Ok(done) => done,
        Err(failed) if is_unclear(&failed) => ask_after(&mut gateway, &id, failed, context).await?,
        Err(failed) => return Err(failed.into()),
    };
    let order = done.order.clone().unwrap_or_default();
    context.out.result(&done, || show::order(&order))?;
    match order.state() {
        OrderState::InDoubt | OrderState::Intent => {
            eprintln!("The exchange has not said yet what became of it: ask with `thunes order show {id}`");
        }
        _ if done.accepted => return Ok(0),
        _ => {}
    }
    Ok(EXIT_FAILED)
}

fn request(args: OrderArgs) -> anyhow::Result<SubmitOrderRequest> {
    let (Some(symbol), Some(side)) = (args.symbol, args.side) else {
        return Err(Usage("--symbol and --side are needed".to_owned()).into());
    };
    let id = args
        .client_order_id
        .unwrap_or_else(|| format!("cli-{}", uuid::Uuid::new_v4().simple()));
    ensure!(
        !id.is_empty(),
        Usage("--client-order-id must not be empty; leave it out to have one made".to_owned())
    );
    let kind = if args.limit_price.is_some() {
        OrderType::Limit
    } else {
        OrderType::Market
    };
    Ok(SubmitOrderRequest {
        client_order_id: id,
        symbol,
        side: side.proto().into(),
        r#type: kind.into(),
        quantity: args.quantity.unwrap_or_default(),
        quote_amount: args.amount.unwrap_or_default(),
        limit_price: args.limit_price.unwrap_or_default(),
        time_in_force: args
            .time_in_force
            .map_or(TimeInForce::Unspecified, TimeInForceArg::proto)
            .into(),
        strategy_id: args.strategy,
    })
}

/// The order may have been sent, or may not.
fn is_unclear(failed: &CallFailed) -> bool {
    !failed.is_refusal()
        && match failed.status.code() {
            Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal => true,
            // Nobody listens there: then nothing was sent. A connection that broke is another matter.
            Code::Unavailable => !failed.status.message().contains("connect error"),
            _ => false,
        }
}

/// Asks the gateway what it knows of an order whose answer was lost. Never sends it again.
async fn ask_after(
    gateway: &mut GatewayServiceClient<Client>,
    id: &str,
    failed: CallFailed,
    context: &Context,
) -> anyhow::Result<SubmitOrderResponse> {
    eprintln!("The answer to order {id} did not come; asking what became of it...");
    let begun = Instant::now();
    while begun.elapsed() < ASK_FOR {
        let request = context.request(
            GetOrderRequest {
                client_order_id: id.to_owned(),
            },
            CALL_WITHIN,
        );
        match gateway.get_order(request).await {
            Ok(known) => {
                let order = known.into_inner().order.unwrap_or_default();
                return Ok(SubmitOrderResponse {
                    accepted: is_accepted(&order),
                    order: Some(order),
                });
            }
            // The gateway writes an order down before it sends it; what it does not know it has not sent.
            Err(status) if status.code() == Code::NotFound => break,
            Err(_) => tokio::time::sleep(ASK_INTERVAL).await,
        }
    }
    Err(anyhow::Error::from(failed).context(format!("what became of order {id} is not known")))
}

/// The exchange has it, whatever became of it since.
pub fn is_accepted(order: &Order) -> bool {
    match order.state() {
        OrderState::New
        | OrderState::PartiallyFilled
        | OrderState::Filled
        | OrderState::Canceled
        | OrderState::Expired => true,
        OrderState::Unspecified
        | OrderState::Denied
        | OrderState::Intent
        | OrderState::InDoubt
        | OrderState::Rejected
        | OrderState::NeverArrived => false,
    }
}
