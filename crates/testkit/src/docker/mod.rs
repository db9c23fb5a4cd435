//! Containers of a made-up compose project on the real engine, and nothing of them left behind.

mod fleet;
mod image;
mod sweep;

pub use fleet::{Fleet, Spec, docker, service};
