//! Public market streams: trade, aggTrade, bookTicker, miniTicker, ticker, klines and depth.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::api::{depth_body, levels};
use crate::depth_streams::{Books, KnownBook};
use crate::domain::{ApiError, Exchange, Interval, Level, Market, MarketEvent, PublicTrade, Side, ZERO, fixed8};
use crate::faults::FaultKind;
use crate::http::answer;
use crate::ws_api::{OpenGuard, Streams};

/// Streams on one connection.
const MAX_STREAMS: usize = 1_024;
/// Bytes a control frame may have.
const MAX_FRAME: usize = 64 * 1024;
const DAY_MS: i64 = 86_400_000;

#[derive(Deserialize)]
pub struct CombinedQuery {
    #[serde(default)]
    streams: String,
}

/// `/ws`: names come by SUBSCRIBE.
pub async fn upgrade_bare(State(streams): State<Arc<Streams>>, upgrade: WebSocketUpgrade) -> Response {
    open(streams, "", false, upgrade)
}

/// `/ws/<name>`: events as they are.
pub async fn upgrade_raw(
    State(streams): State<Arc<Streams>>,
    Path(names): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    open(streams, &names, false, upgrade)
}

/// `/stream?streams=a/b`: events wrapped with their stream's name.
pub async fn upgrade_combined(
    State(streams): State<Arc<Streams>>,
    Query(query): Query<CombinedQuery>,
    upgrade: WebSocketUpgrade,
) -> Response {
    open(streams, &query.streams, true, upgrade)
}

fn open(streams: Arc<Streams>, names: &str, combined: bool, upgrade: WebSocketUpgrade) -> Response {
    // A name that is no stream is let pass and stays silent, as on the exchange: some clients number their connections.
    let wanted: BTreeSet<StreamName> = names.split('/').filter_map(StreamName::parse).collect();
    if wanted.len() > MAX_STREAMS {
        return answer(Err(ApiError::new(-1130, "Too many streams."))).into_response();
    }
    upgrade
        .max_message_size(MAX_FRAME)
        .on_upgrade(move |socket| async move {
            run(streams, wanted, combined, socket).await;
        })
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Trade,
    AggTrade,
    BookTicker,
    MiniTicker,
    Ticker,
    Kline(String),
    /// The best levels, as many as asked for.
    PartialDepth(usize),
    /// What changed in the book.
    DiffDepth,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct StreamName {
    text: String,
    symbol: String,
    kind: Kind,
}

impl StreamName {
    fn parse(text: &str) -> Option<Self> {
        let (symbol, kind) = text.split_once('@')?;
        let kind = match kind {
            "trade" => Kind::Trade,
            "aggTrade" => Kind::AggTrade,
            "bookTicker" => Kind::BookTicker,
            "miniTicker" => Kind::MiniTicker,
            "ticker" => Kind::Ticker,
            // The speed only bounds how often the exchange speaks; here every change is told at once.
            "depth" | "depth@100ms" => Kind::DiffDepth,
            "depth5" | "depth5@100ms" => Kind::PartialDepth(5),
            "depth10" | "depth10@100ms" => Kind::PartialDepth(10),
            "depth20" | "depth20@100ms" => Kind::PartialDepth(20),
            other => {
                let interval = other.strip_prefix("kline_")?;
                Interval::parse(interval)?;
                Kind::Kline(interval.to_owned())
            }
        };
        Some(Self {
            text: text.to_owned(),
            symbol: symbol.to_ascii_uppercase(),
            kind,
        })
    }
}

async fn run(streams: Arc<Streams>, mut wanted: BTreeSet<StreamName>, combined: bool, mut socket: WebSocket) {
    let _open = OpenGuard::new(&streams.open);
    let mut events = streams.api.engine.market_events();
    let mut cut = streams.cut.subscribe();
    let mut notices = streams.notices.subscribe();
    let mut books = Books::default();
    follow(&streams, &wanted, &mut books).await;
    let mut pings = interval_at(Instant::now() + streams.ping_every, streams.ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sent = tokio::select! {
            () = streams.shutdown.cancelled() => return,
            _ = cut.changed() => return,
            Ok((fault, kind)) = notices.recv() => announce(&streams, combined, fault, kind, &mut socket).await,
            message = socket.recv() => match message {
                None | Some(Err(_)) | Some(Ok(Message::Close(_))) => return,
                Some(Ok(Message::Text(text))) => {
                    let reply = control(&mut wanted, text.as_str());
                    follow(&streams, &wanted, &mut books).await;
                    socket.send(Message::Text(reply.to_string().into())).await
                }
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => Ok(()),
            },
            event = events.recv() => match event {
                Ok(event) => forward(&streams, &wanted, &mut books, combined, &event, &mut socket).await,
                Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => return,
            },
            _ = pings.tick() => {
                let payload = streams.api.exchange_now_ms().to_string();
                socket.send(Message::Ping(payload.into_bytes().into())).await
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Takes the book of each diff stream as it is now, and forgets those that nobody wants any more.
async fn follow(streams: &Streams, wanted: &BTreeSet<StreamName>, books: &mut Books) {
    books.retain(|text, _| wanted.iter().any(|name| name.text == *text));
    let exchange = streams.api.engine.read().await;
    for name in wanted.iter().filter(|name| name.kind == Kind::DiffDepth) {
        if let Some(market) = exchange.markets.get(&name.symbol)
            && !books.contains_key(&name.text)
        {
            books.insert(name.text.clone(), KnownBook::of(&exchange, market));
        }
    }
}

/// Tells an open connection that the server is about to shut down.
async fn announce(
    streams: &Streams,
    combined: bool,
    fault: u64,
    kind: FaultKind,
    socket: &mut WebSocket,
) -> Result<(), axum::Error> {
    if kind != FaultKind::ServerShutdown {
        return Ok(());
    }
    let event = json!({ "e": "serverShutdown", "E": streams.api.exchange_now_ms() });
    let frame = if combined {
        json!({ "stream": "!serverShutdown", "data": event })
    } else {
        event
    };
    socket.send(Message::Text(frame.to_string().into())).await?;
    streams.api.faults.record_hits(fault, 1);
    Ok(())
}

async fn forward(
    streams: &Streams,
    wanted: &BTreeSet<StreamName>,
    books: &mut Books,
    combined: bool,
    event: &MarketEvent,
    socket: &mut WebSocket,
) -> Result<(), axum::Error> {
    let now_ms = streams.api.exchange_now_ms();
    let bodies: Vec<(String, Value)> = {
        let exchange = streams.api.engine.read().await;
        let bodies = wanted
            .iter()
            .filter_map(|name| Some((name.text.clone(), body(&exchange, books, name, event, now_ms)?)));
        bodies.collect()
    };
    for (stream, data) in bodies {
        let frame = if combined {
            json!({ "stream": stream, "data": data })
        } else {
            data
        };
        socket.send(Message::Text(frame.to_string().into())).await?;
    }
    Ok(())
}

/// What a stream says about an event, if anything.
fn body(exchange: &Exchange, books: &mut Books, name: &StreamName, event: &MarketEvent, now_ms: i64) -> Option<Value> {
    let market = exchange.markets.get(&name.symbol)?;
    match (&name.kind, event) {
        (Kind::Trade, MarketEvent::Trade(symbol, trade)) if *symbol == name.symbol => Some(json!({
            "e": "trade", "E": now_ms, "s": symbol, "t": trade.id, "p": fixed8(trade.price), "q": fixed8(trade.qty),
            "T": trade.time_ms, "m": trade.buyer_is_maker, "M": true,
        })),
        (Kind::AggTrade, MarketEvent::Trade(symbol, trade)) if *symbol == name.symbol => {
            Some(agg_trade(symbol, trade, now_ms))
        }
        (Kind::BookTicker, MarketEvent::Book(symbol)) if *symbol == name.symbol => Some(book_ticker(exchange, market)),
        (Kind::MiniTicker, MarketEvent::Book(symbol)) if *symbol == name.symbol => {
            Some(ticker(market, now_ms, "24hrMiniTicker"))
        }
        (Kind::Ticker, MarketEvent::Book(symbol)) if *symbol == name.symbol => {
            Some(full_ticker(exchange, market, now_ms))
        }
        (Kind::PartialDepth(limit), MarketEvent::Book(symbol)) if *symbol == name.symbol => {
            Some(depth_body(exchange, market, *limit))
        }
        (Kind::DiffDepth, MarketEvent::Book(symbol)) if *symbol == name.symbol => {
            books.get_mut(&name.text)?.changes(exchange, market, now_ms)
        }
        (Kind::Kline(interval), MarketEvent::Trade(symbol, _)) if *symbol == name.symbol => {
            kline(market, interval, now_ms)
        }
        _ => None,
    }
}

fn agg_trade(symbol: &str, trade: &PublicTrade, now_ms: i64) -> Value {
    json!({ "e": "aggTrade", "E": now_ms, "s": symbol, "a": trade.id, "p": fixed8(trade.price), "q": fixed8(trade.qty),
            "f": trade.id, "l": trade.id, "T": trade.time_ms, "m": trade.buyer_is_maker, "M": true })
}

fn best(exchange: &Exchange, market: &Market, side: Side) -> Level {
    levels(exchange, market, side)
        .first()
        .copied()
        .unwrap_or(Level { price: ZERO, qty: ZERO })
}

fn book_ticker(exchange: &Exchange, market: &Market) -> Value {
    let (bid, ask) = (best(exchange, market, Side::Buy), best(exchange, market, Side::Sell));
    json!({ "u": market.update_id, "s": market.rules.symbol, "b": fixed8(bid.price), "B": fixed8(bid.qty),
            "a": fixed8(ask.price), "A": fixed8(ask.qty) })
}

fn ticker(market: &Market, now_ms: i64, event: &str) -> Value {
    let day = market.candles.window(now_ms, DAY_MS);
    let (open, high, low) = day
        .as_ref()
        .map_or((market.last_price, market.last_price, market.last_price), |d| {
            (d.open, d.high, d.low)
        });
    let (volume, quote) = day.as_ref().map_or((ZERO, ZERO), |d| (d.volume, d.quote_volume));
    json!({ "e": event, "E": now_ms, "s": market.rules.symbol, "c": fixed8(market.last_price), "o": fixed8(open),
            "h": fixed8(high), "l": fixed8(low), "v": fixed8(volume), "q": fixed8(quote) })
}

fn full_ticker(exchange: &Exchange, market: &Market, now_ms: i64) -> Value {
    let mut body = ticker(market, now_ms, "24hrTicker");
    let day = market.candles.window(now_ms, DAY_MS);
    let open = day.as_ref().map_or(market.last_price, |d| d.open);
    let change = market.last_price - open;
    let percent = change.checked_div(open).unwrap_or(ZERO) * rust_decimal::Decimal::ONE_HUNDRED;
    let average = day
        .as_ref()
        .and_then(|d| d.quote_volume.checked_div(d.volume))
        .unwrap_or(market.last_price);
    let (bid, ask) = (best(exchange, market, Side::Buy), best(exchange, market, Side::Sell));
    let mut put = |key: &str, value: Value| body[key] = value;
    put("p", json!(fixed8(change)));
    put("P", json!(format!("{percent:.3}")));
    put("w", json!(fixed8(average.round_dp(8))));
    put("x", json!(fixed8(open)));
    put("Q", json!(fixed8(market.trades.back().map_or(ZERO, |trade| trade.qty))));
    put("b", json!(fixed8(bid.price)));
    put("B", json!(fixed8(bid.qty)));
    put("a", json!(fixed8(ask.price)));
    put("A", json!(fixed8(ask.qty)));
    put("O", json!(now_ms - DAY_MS));
    put("C", json!(now_ms));
    put("F", json!(day.as_ref().map_or(0, |d| d.first_id)));
    put("L", json!(day.as_ref().map_or(0, |d| d.last_id)));
    put("n", json!(day.as_ref().map_or(0, |d| d.count)));
    body
}

fn kline(market: &Market, interval: &str, now_ms: i64) -> Option<Value> {
    let bar = market.candles.bars(Interval::parse(interval)?).pop()?;
    Some(json!({ "e": "kline", "E": now_ms, "s": market.rules.symbol, "k": {
        "t": bar.open_time_ms, "T": bar.close_time_ms, "s": market.rules.symbol, "i": interval, "f": bar.first_id,
        "L": bar.last_id, "o": fixed8(bar.open), "c": fixed8(bar.close), "h": fixed8(bar.high), "l": fixed8(bar.low),
        "v": fixed8(bar.volume), "n": bar.count, "x": bar.close_time_ms < now_ms, "q": fixed8(bar.quote_volume),
        "V": fixed8(bar.taker_base), "Q": fixed8(bar.taker_quote), "B": "0",
    } }))
}

/// SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS.
fn control(wanted: &mut BTreeSet<StreamName>, text: &str) -> Value {
    let refuse = |id: &Value, msg: &str| json!({ "error": { "code": 2, "msg": msg }, "id": id });
    let Ok(request) = serde_json::from_str::<Value>(text) else {
        return refuse(&Value::Null, "Invalid JSON");
    };
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    let names = request
        .get("params")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let parsed: Option<Vec<StreamName>> = names.iter().map(|name| StreamName::parse(name.as_str()?)).collect();
    match (request.get("method").and_then(Value::as_str), parsed) {
        (Some("LIST_SUBSCRIPTIONS"), _) => {
            json!({ "result": wanted.iter().map(|name| name.text.as_str()).collect::<Vec<_>>(), "id": id })
        }
        (Some("SUBSCRIBE"), Some(names)) if wanted.len() + names.len() <= MAX_STREAMS => {
            wanted.extend(names);
            json!({ "result": null, "id": id })
        }
        (Some("UNSUBSCRIBE"), Some(names)) => {
            names.iter().for_each(|name| {
                wanted.remove(name);
            });
            json!({ "result": null, "id": id })
        }
        (Some("SUBSCRIBE" | "UNSUBSCRIBE"), _) => refuse(&id, "Invalid or too many streams"),
        _ => refuse(&id, "Unknown method"),
    }
}
