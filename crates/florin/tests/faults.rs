//! A short fault run with a fixed seed, as `make faults` does it for longer: nothing is lost or doubled. Kinds of faults that
//! need root or a tool that is not installed are left out, and named.

use std::env;
use std::process::ExitCode;

/// What a filter on the command line is compared with.
const NAME: &str = "faults_lose_and_double_nothing";
const SEED: &str = "13";
const SECONDS: &str = "90";
/// Each happens once.
const KINDS: &str = "kill-service,kill-postgres,kill-rabbitmq,freeze-service,commit-in-doubt,cut-after-send,redelivery,\
                     deploy,copies,postgres-power-cut";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    let mut filters = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    if filters.peek().is_some() && !filters.any(|filter| NAME.contains(filter.as_str())) {
        return ExitCode::SUCCESS;
    }
    let florin = env!("CARGO_BIN_EXE_florin");
    let run = ["run", "--seed", SEED, "--seconds", SECONDS, "--kinds", KINDS, "--florin", florin];
    florin_faults::cli::main(["florin-faults"].into_iter().chain(run)).unwrap_or_else(|error| {
        eprintln!("{error:?}");
        ExitCode::FAILURE
    })
}
