//! The commands for trying Florin out, apart from the service itself: `florin dev` (servers, wallets and the service on
//! one machine), `florin demo` (a first set of requests) and `florin bench` (throughput and latency).

pub mod bench;
pub mod demo;
pub mod dev;
