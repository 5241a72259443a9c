//! The commands that let people try Florin out: `florin dev`, `florin demo`, `florin bench`.

pub mod bench;
pub mod demo;
pub mod dev;
