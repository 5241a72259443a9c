//! Starts a stack, prints what it is made of, and holds it until standard input ends.
//!
//! With `--rough` both servers are killed, started again and suspended first. The tests kill this
//! program to see that nothing stays behind.

use std::io::Read;

use devstack::{Error, Options, Stack};

fn main() -> Result<(), Error> {
    let mut stack = Stack::start(&Options::default())?;
    if std::env::args().any(|argument| argument == "--rough") {
        stack.postgres.kill();
        stack.postgres.start()?;
        stack.postgres.suspend()?;
        stack.rabbit.kill();
        stack.rabbit.start()?;
        stack.rabbit.suspend()?;
    }
    println!("{}", stack.postgres.pid().unwrap_or_default());
    println!("{}", stack.postgres.folder().display());
    println!("{}", stack.rabbit.pid().unwrap_or_default());
    println!("{}", stack.rabbit.folder().display());
    let _ = std::io::stdin().read_to_end(&mut vec![]);
    Ok(())
}
