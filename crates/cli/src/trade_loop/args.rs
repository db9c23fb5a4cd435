use std::path::PathBuf;

use clap::Args;
use rust_decimal::Decimal;
use thunes_types::parse_positive;

#[derive(Debug, Clone, Args)]
pub struct LoopArgs {
    /// What to trade; several are joined by commas.
    #[arg(long, value_delimiter = ',', default_value = "BTCUSDT")]
    pub symbol: Vec<String>,
    /// The most that one order spends, in the quote asset; each spends between 80 and 100 % of it.
    #[arg(long, default_value = "100", value_parser = parse_amount, allow_negative_numbers = true)]
    pub amount: Decimal,
    /// Orders in flight at the same time.
    #[arg(long, visible_alias = "in-flight", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub concurrency: u32,
    /// Orders begun in a second, all together.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
    /// End after this many orders.
    #[arg(long)]
    pub count: Option<u64>,
    /// End after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,
    /// For the sizes of the orders.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Append what is sent and every answer to this file, a JSON line each, flushed one by one.
    #[arg(long, value_name = "FILE")]
    pub acks: Option<PathBuf>,
    /// How long one order is asked after, or sent again under its own name, while the gateway does not answer.
    #[arg(long = "retry-for", value_name = "SECONDS", default_value_t = 120)]
    pub retry_for_s: u64,
    /// Which strategy the orders belong to.
    #[arg(long, value_name = "ID", default_value = "trade-loop")]
    pub strategy: String,
}

fn parse_amount(text: &str) -> Result<Decimal, String> {
    parse_positive("amount", text).map_err(|error| error.rule)
}
