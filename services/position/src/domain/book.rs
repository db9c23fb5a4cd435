use std::collections::BTreeMap;
use std::sync::Arc;

use thunes_types::Symbol;

use super::{Asset, Fill, SymbolBook};

/// What a symbol trades; it never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolAssets {
    pub base: Asset,
    pub quote: Asset,
}

impl SymbolAssets {
    /// The assets as a fill names them.
    pub fn of(fill: &Fill) -> Self {
        Self {
            base: fill.base_asset.clone(),
            quote: fill.quote_asset.clone(),
        }
    }
}

/// Every symbol's fold, as of one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// Grows by one with every transaction that changes the book.
    pub revision: i64,
    pub symbols: BTreeMap<Symbol, Arc<SymbolBook>>,
}

impl Book {
    /// The assets of a symbol that has fills.
    pub fn assets(&self, symbol: &Symbol) -> Option<SymbolAssets> {
        let book = self.symbols.get(symbol)?;
        Some(SymbolAssets {
            base: book.base_asset.clone(),
            quote: book.quote_asset.clone(),
        })
    }

    /// The next revision, with `changed` in place of what was there.
    #[must_use]
    pub fn next(&self, changed: impl IntoIterator<Item = (Symbol, Arc<SymbolBook>)>) -> Self {
        let mut next = Self {
            revision: self.revision + 1,
            symbols: self.symbols.clone(),
        };
        next.symbols.extend(changed);
        next
    }

    /// How many positions are open.
    pub fn open_count(&self) -> usize {
        self.symbols.values().filter(|book| !book.holding.is_flat()).count()
    }

    /// The first symbol on which `self` and `other` do not agree, with what each says.
    pub fn first_difference<'a>(&'a self, other: &'a Self) -> Option<Difference<'a>> {
        let symbols = self.symbols.keys().chain(other.symbols.keys());
        symbols
            .map(|s| (s, self.symbols.get(s), other.symbols.get(s)))
            .find(|(_, ours, theirs)| ours != theirs)
    }
}

type Difference<'a> = (&'a Symbol, Option<&'a Arc<SymbolBook>>, Option<&'a Arc<SymbolBook>>);
