//! `florin-benchmarks`: measures Florin, its broker and its database side by side, and writes a report.

fn main() {}
