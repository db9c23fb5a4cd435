//! What a fault is, what a link remembers, what waits on a connection. Pure: times are passed in.

mod fault;
mod ledger;
mod link_spec;
mod queue;

pub(crate) use fault::shortened;
pub use fault::{DELAY_MS_MAX, Fault};
pub use ledger::{ActiveFault, Counters, Hits, Ledger, Passing, Toward};
pub use link_spec::{LINKS_MAX, LinkFault, LinkSpec, parse_links};
pub use queue::{First, Item, QUEUE_BYTES_MAX, QUEUE_CHUNKS_MAX, Queue};
