use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use thunes_types::{MoneyError, Symbol};
use tokio::sync::{Notify, watch};

use crate::domain::{Asset, Book, LastPrice, TradingDay, View};
use crate::error::RequestError;

/// Most symbols whose last price is kept.
pub(crate) const PRICES_KEPT_MAX: usize = 5000;

#[derive(Debug)]
struct State {
    book: Arc<Book>,
    prices: BTreeMap<Symbol, LastPrice>,
}

/// The book in memory, the last prices, and everyone who watches them.
#[derive(Debug)]
pub(crate) struct Live {
    state: RwLock<State>,
    views: watch::Sender<Arc<View>>,
    prices_changed: Notify,
    pnl_asset: Asset,
}

impl Live {
    pub(crate) fn new(book: Book, today: TradingDay, pnl_asset: Asset) -> Result<Self, MoneyError> {
        let prices = BTreeMap::new();
        let view = View::of(&book, &prices, today, &pnl_asset)?;
        Ok(Self {
            state: RwLock::new(State {
                book: Arc::new(book),
                prices,
            }),
            views: watch::Sender::new(Arc::new(view)),
            prices_changed: Notify::new(),
            pnl_asset,
        })
    }

    // What the lock guards is replaced whole, so a holder that panicked has left nothing half done.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pnl_asset(&self) -> &Asset {
        &self.pnl_asset
    }

    pub(crate) fn book(&self) -> Arc<Book> {
        Arc::clone(&self.read().book)
    }

    /// The book of now, with the prices of now.
    pub(crate) fn view(&self, today: TradingDay) -> Result<View, MoneyError> {
        let state = self.read();
        View::of(&state.book, &state.prices, today, &self.pnl_asset)
    }

    /// Whether `book` can be valued at the prices of now.
    pub(crate) fn check(&self, book: &Book, today: TradingDay) -> Result<(), MoneyError> {
        View::of(book, &self.read().prices, today, &self.pnl_asset).map(|_| ())
    }

    /// Puts a committed book in the place of the one before, and shows it to every watcher.
    pub(crate) fn replace_book(&self, book: Book, today: TradingDay) {
        let mut state = self.write();
        state.book = Arc::new(book);
        self.show(&state, today);
    }

    /// Takes prices over where they are not older than those known. Watchers see them with the next [`Live::publish`].
    pub(crate) fn set_prices(
        &self,
        prices: impl IntoIterator<Item = (Symbol, LastPrice)>,
        today: TradingDay,
    ) -> Result<(), RequestError> {
        let mut state = self.write();
        let mut next = state.prices.clone();
        for (symbol, price) in prices {
            if next.get(&symbol).is_none_or(|known| known.at_ms <= price.at_ms) {
                next.insert(symbol, price);
            }
        }
        if next.len() > PRICES_KEPT_MAX {
            return Err(RequestError::TooManyPrices { max: PRICES_KEPT_MAX });
        }
        View::of(&state.book, &next, today, &self.pnl_asset)?;
        if next != state.prices {
            state.prices = next;
            self.prices_changed.notify_one();
        }
        Ok(())
    }

    pub(crate) async fn prices_changed(&self) {
        self.prices_changed.notified().await;
    }

    /// The view that watchers see.
    pub(crate) fn shown(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    /// The day of the view that watchers see.
    pub(crate) fn shown_day(&self) -> TradingDay {
        self.views.borrow().today.day
    }

    /// Shows the book and the prices of now to every watcher.
    pub(crate) fn publish(&self, today: TradingDay) {
        self.show(&self.write(), today);
    }

    // Called under the write lock, so that watchers see views in the order in which they came to be.
    fn show(&self, state: &State, today: TradingDay) {
        match View::of(&state.book, &state.prices, today, &self.pnl_asset) {
            Ok(view) => {
                self.views.send_replace(Arc::new(view));
            }
            Err(error) => tracing::error!(%error, "the book cannot be valued; watchers keep the view before"),
        }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.views.subscribe()
    }
}
