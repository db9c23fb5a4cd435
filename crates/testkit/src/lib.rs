//! What tests over real processes share: a cluster of every service in a folder of its own, the exchange's own ledger as
//! the truth to judge by, and waiting that waits for conditions. Everything here panics with a sentence when it fails:
//! its callers are tests.

mod calls;
mod cluster;
mod command;
pub mod docker;
mod flow;
mod http;
mod python;
mod sabotage;
mod seed;
mod sim;
mod trail;
mod truth;
mod wait;

pub use calls::{Calls, buy, limit_buy, limit_sell, of_strategy, of_symbol, sell};
pub use cluster::{Cluster, roomy};
pub use command::{Said, thunes};
pub use flow::{Flow, Sent};
pub use http::{http_delete, http_get, http_put};
pub use python::{program_for, python_for, python_with, required};
pub use seed::Seed;
pub use sim::{Ledger, LedgerFill, LedgerOrder, Refused, Sim};
pub use trail::{Line, Trail};
pub use truth::{Net, assert_book_is_the_fold, book_net, ledger_net};
pub use wait::{until, until_ok};
