//! The service over real gRPC, each test with a database of its own.

mod baseline;
mod crash;
mod fills;
mod input;
mod order;
mod running;
mod start;
mod watching;
