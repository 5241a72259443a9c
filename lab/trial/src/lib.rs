//! The commands that let people try Florin: `florin dev`, `florin demo`, `florin bench`. `mark` keeps the
//! last two out of ledgers that are in use.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod bench;
pub mod demo;
pub mod dev;
mod mark;
