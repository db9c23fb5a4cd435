use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sqlx::{Sqlite, SqliteConnection, Transaction};
use thunes_runtime::{clock, continue_trace};
use thunes_store::failpoint::{self, Action};
use thunes_store::{Outbox, OutboxEvent};
use thunes_types::{FieldError, Symbol};
use tokio::sync::Mutex;
use tracing::Instrument;

use crate::decode::{PageRequest, page_token};
use crate::domain::{Asset, Book, Fill, SymbolAssets, SymbolBook, TradingDay};
use crate::error::RequestError;
use crate::live::Live;
use crate::store::{self, Store};

/// The `traceparent` of the order of each fill, where it is known.
pub(crate) type Traceparents = HashMap<(Symbol, i64), String>;

/// What became of a batch of fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) recorded: i64,
    pub(crate) duplicates: i64,
    pub(crate) revision: i64,
}

/// A page of the ledger.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) fills: Vec<Fill>,
    /// Empty when there is no page after this one.
    pub(crate) next_page_token: String,
    pub(crate) revision: i64,
}

/// The one writer of the ledger and of the book.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) store: Store,
    pub(crate) outbox: Outbox,
    pub(crate) live: Arc<Live>,
    /// Held from the beginning of a transaction until memory shows what it did.
    pub(crate) writing: Mutex<()>,
}

impl Keeper {
    pub(crate) fn new(store: Store, outbox: Outbox, live: Arc<Live>) -> Self {
        Self {
            store,
            outbox,
            live,
            writing: Mutex::new(()),
        }
    }

    /// Records a batch: all of it or nothing.
    pub(crate) async fn record_fills(
        self: &Arc<Self>,
        fills: Vec<Fill>,
        traceparents: Traceparents,
        actor: String,
    ) -> Result<Recorded, RequestError> {
        // A caller that goes away must not stop this between the commit and the book in memory, so it is a task.
        let keeper = Arc::clone(self);
        let work = async move { keeper.record(fills, traceparents, &actor).await };
        tokio::spawn(work.instrument(tracing::Span::current())).await?
    }

    async fn record(
        &self,
        mut fills: Vec<Fill>,
        traceparents: Traceparents,
        actor: &str,
    ) -> Result<Recorded, RequestError> {
        let lost = match failpoint::pass("position.record.lose_fill") {
            Action::Pass => None,
            Action::Break => fills.pop(),
        };
        let _writing = self.writing.lock().await;
        let mut tx = self.store.begin().await?;
        let book = self.committed_book(&mut tx).await?;
        let (fresh, duplicates) = sort_out(&mut tx, &book, fills).await?;
        let recorded = i64::try_from(fresh.len() + usize::from(lost.is_some())).expect("a batch is small");
        if fresh.is_empty() {
            return Ok(Recorded {
                recorded,
                duplicates,
                revision: book.revision,
            });
        }
        let next = self.write(&mut tx, &book, fresh, &traceparents, actor).await?;
        let (today, revision) = (TradingDay::of(clock::now_ms()), next.revision);
        self.live.check(&next, today)?;
        failpoint::pass("position.record.before_commit");
        tx.commit().await?;
        failpoint::pass("position.record.after_commit");
        self.live.replace_book(next, today);
        self.outbox.wake();
        failpoint::pass("position.record.before_answer");
        Ok(Recorded {
            recorded,
            duplicates,
            revision,
        })
    }

    /// A page of the ledger, all of one moment.
    pub(crate) async fn page(&self, asked: &PageRequest) -> Result<Page, RequestError> {
        let mut tx = self.store.begin_read().await?;
        let size = usize::try_from(asked.size).expect("a page size is positive");
        // One more than asked for tells whether there is another page.
        let limit = i64::from(asked.size) + 1;
        let mut fills = store::page_of_fills(&mut tx, asked.symbol.as_ref(), &asked.after, limit).await?;
        let more = fills.len() > size;
        fills.truncate(size);
        let last = fills.last().filter(|_| more);
        let next_page_token = last
            .map(|last| page_token(asked.symbol.as_ref(), last))
            .unwrap_or_default();
        Ok(Page {
            fills,
            next_page_token,
            revision: store::revision(&mut tx).await?,
        })
    }

    /// The book that the database holds. Memory has it, unless a commit was reported as failed and took effect after all.
    pub(crate) async fn committed_book(&self, connection: &mut SqliteConnection) -> Result<Arc<Book>, RequestError> {
        let (live, stored) = (self.live.book(), store::revision(connection).await?);
        if live.revision == stored {
            return Ok(live);
        }
        tracing::warn!(
            in_memory = live.revision,
            stored,
            "the book in memory is not the stored one; it is read again"
        );
        let book = store::load_book(connection).await?;
        self.live.replace_book(book, TradingDay::of(clock::now_ms()));
        Ok(self.live.book())
    }

    /// Writes the fills, the book that holds them, and their events.
    async fn write(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
        book: &Book,
        fresh: Vec<Fill>,
        traceparents: &Traceparents,
        actor: &str,
    ) -> Result<Book, RequestError> {
        let revision = book.revision + 1;
        let now_ms = clock::now_ms();
        let mut by_symbol: BTreeMap<Symbol, Vec<Fill>> = BTreeMap::new();
        for fill in fresh {
            store::insert_fill(tx, &fill, revision, now_ms).await?;
            let span = tracing::info_span!("fill.record", symbol = %fill.symbol, trade_id = fill.trade_id);
            if let Some(traceparent) = traceparents.get(&(fill.symbol.clone(), fill.trade_id)) {
                continue_trace(&span, traceparent);
            }
            let event = span.in_scope(|| fill_event(&fill, revision, actor));
            self.outbox.add(tx, &event).await?;
            by_symbol.entry(fill.symbol.clone()).or_default().push(fill);
        }
        let mut changed = Vec::new();
        for (symbol, mut fills) in by_symbol {
            fills.sort_by_key(Fill::order);
            let old = book.symbols.get(&symbol).map(Arc::as_ref);
            let new = fold(tx, &symbol, old, &fills).await?;
            store::save_symbol(tx, &symbol, old, &new).await?;
            changed.push((symbol, Arc::new(new)));
        }
        store::save_revision(tx, revision).await?;
        Ok(book.next(changed))
    }
}

/// Folds new fills, sorted and already in the ledger, into a symbol's book. When one of them comes before what is folded
/// already, the symbol is folded again from its ledger, so that the book does not depend on the order of arrival.
async fn fold(
    connection: &mut SqliteConnection,
    symbol: &Symbol,
    old: Option<&SymbolBook>,
    fills: &[Fill],
) -> Result<SymbolBook, RequestError> {
    let first = fills.first().expect("a changed symbol has a new fill");
    let (seed, rest) = match old {
        None => (SymbolBook::open(first)?, &fills[1..]),
        Some(old) if first.order() > old.last => (old.clone(), fills),
        Some(_) => {
            let folded = store::fold_symbol(connection, symbol).await??;
            return Ok(folded.expect("the ledger holds the fills that were just added"));
        }
    };
    Ok(rest.iter().try_fold(seed, SymbolBook::with)?)
}

/// Parts new fills from those that are known already, and counts the latter.
async fn sort_out(
    connection: &mut SqliteConnection,
    book: &Book,
    fills: Vec<Fill>,
) -> Result<(Vec<Fill>, i64), RequestError> {
    let mut fresh: Vec<Fill> = Vec::new();
    let mut places: HashMap<(Symbol, i64), usize> = HashMap::new();
    let mut assets: HashMap<Symbol, SymbolAssets> = HashMap::new();
    let (mut duplicates, mut faults) = (0, Vec::new());
    for (index, fill) in fills.into_iter().enumerate() {
        let identity = (fill.symbol.clone(), fill.trade_id);
        let known = match places.get(&identity) {
            Some(place) => Some(fresh[*place].clone()),
            None => store::load_fill(connection, &fill.symbol, fill.trade_id).await?,
        };
        if let Some(known) = known {
            refuse_conflict(&known, &fill)?;
            duplicates += 1;
            continue;
        }
        let assets = assets
            .entry(fill.symbol.clone())
            .or_insert_with(|| book.assets(&fill.symbol).unwrap_or_else(|| SymbolAssets::of(&fill)));
        faults.extend(asset_faults(index, &fill, assets));
        places.insert(identity, fresh.len());
        fresh.push(fill);
    }
    if faults.is_empty() {
        Ok((fresh, duplicates))
    } else {
        Err(RequestError::Invalid(faults))
    }
}

fn refuse_conflict(known: &Fill, fill: &Fill) -> Result<(), RequestError> {
    let fields = known.differences(fill);
    if fields.is_empty() {
        return Ok(());
    }
    tracing::error!(symbol = %fill.symbol, trade_id = fill.trade_id, ?fields, "a fill contradicts the ledger");
    Err(RequestError::FillConflict {
        symbol: fill.symbol.to_string(),
        trade_id: fill.trade_id,
        fields,
    })
}

/// A symbol trades the same two assets for ever; a fill that says otherwise was put together wrongly.
fn asset_faults(index: usize, fill: &Fill, known: &SymbolAssets) -> Vec<FieldError> {
    let pairs = [
        ("base_asset", &fill.base_asset, &known.base),
        ("quote_asset", &fill.quote_asset, &known.quote),
    ];
    let wrong = pairs.into_iter().filter(|(_, given, known)| given != known);
    wrong
        .map(|(field, given, known)| {
            let rule = format!("must be {known}, as in the other fills of {}", fill.symbol);
            FieldError::new(format!("fills[{index}].{field}"), given.as_str(), rule)
        })
        .collect()
}

fn fill_event(fill: &Fill, revision: i64, actor: &str) -> OutboxEvent {
    let payload = serde_json::json!({
        "symbol": fill.symbol.as_str(),
        "trade_id": fill.trade_id,
        "side": fill.side.as_str(),
        "price": fill.price.to_string(),
        "quantity": fill.quantity.to_string(),
        "quote_quantity": fill.quote_quantity.to_string(),
        "commission": fill.commission.to_string(),
        "commission_asset": fill.commission_asset.as_ref().map_or("", Asset::as_str),
        "executed_at_ms": fill.executed_at_ms,
        "venue_order_id": fill.venue_order_id,
        "client_order_id": fill.client_order_id,
        "strategy_id": fill.strategy_id.as_str(),
        "is_maker": fill.is_maker,
        "source": fill.source.as_str(),
        "revision": revision,
    });
    OutboxEvent::now("FILL_RECORDED", "", actor, payload)
}
