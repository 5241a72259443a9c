//! `florin-faults`: see the library.

fn main() {}
