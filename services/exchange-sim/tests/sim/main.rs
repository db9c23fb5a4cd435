//! The exchange over real sockets, attacked by clients of a few lines.

// The lint knows test functions but not what they share.
#![allow(clippy::unwrap_used)]

mod client;

mod admin;
mod depth;
mod ed25519;
mod filters;
mod foreign_clients;
mod hostile;
mod injections;
mod kill;
mod late_orders;
mod ledger;
mod money;
mod orders;
mod priority;
mod rest;
mod shapes;
mod streams;
mod two_accounts;
