//! `florin demo`: the scenario of the original's client, and what came of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use comfy_table::{CellAlignment, Table, presets};
use florin_client::{BalanceBody, CallOptions, Client, ClientOptions, MovementBody, Request, Response};
use florin_ledger::{Operation, WalletId};
use florin_wire::BalanceQueryBody;
use futures_util::future::join_all;

use florin_service::cli::{BrokerArgs, CommonArgs};

/// Makes a request for a wallet.
type Kind = fn(WalletId) -> Request;

const SCENARIO: [(Kind, usize); 3] = [(invoice, 30), (withdraw, 40), (balance, 50)];
const WALLETS: std::ops::RangeInclusive<WalletId> = 1..=8;
/// One more than the scenario touches.
const WALLETS_SHOWN: std::ops::RangeInclusive<WalletId> = 1..=9;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The flags of `florin demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  florin demo --amqp-url amqp://florin:florin@127.0.0.1:5672/%2f

It needs wallets 1 to 9 and the ticker USD, which `florin dev` makes.
Fails when one of the 120 requests is not answered; a refusal is an answer.")]
pub struct Args {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Plays the scenario and shows what came of it.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.common.start(args.broker.flags())?;
    let options = ClientOptions {
        timeout: TIMEOUT,
        connection_name: "florin demo".to_owned(),
        send_user_id: true,
        ..ClientOptions::default()
    };
    let client = Client::connect(&config.broker.url(), options).await?;
    let requests = scenario();
    let started = Instant::now();
    let answers = join_all(requests.iter().map(|request| client.call(request, CallOptions::default()))).await;
    let elapsed_ms = started.elapsed().as_millis();

    let counts = count(&requests, &answers);
    let missing: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    let answered = answers.len() - missing.len();
    florin_service::cli::print(&format!(
        "{answered} of {} requests answered in {elapsed_ms} ms\n\n",
        answers.len()
    ))?;
    florin_service::cli::print(&format!("{}\n\n", answers_table(&counts)))?;
    if let Some(first) = missing.first() {
        bail!("{} requests were not answered: {first}", missing.len());
    }
    let balances = balances_table(&client).await?;
    client.close().await;
    florin_service::cli::print(&format!("{balances}\n"))
}

/// Each of 1 USD, on random wallets.
fn scenario() -> Vec<Request> {
    let requests = SCENARIO.iter().flat_map(|(request, count)| std::iter::repeat_n(*request, *count));
    requests.map(|request| request(fastrand::i64(WALLETS))).collect()
}

fn invoice(wallet_id: WalletId) -> Request {
    Request::Invoice(one(wallet_id))
}

fn withdraw(wallet_id: WalletId) -> Request {
    Request::Withdraw(one(wallet_id))
}

fn balance(wallet_id: WalletId) -> Request {
    Request::Balance(BalanceQueryBody::new(wallet_id))
}

fn one(wallet_id: WalletId) -> MovementBody {
    MovementBody::new(wallet_id, "USD", "1".parse().expect("a decimal"))
}

/// How many of each kind: by operation, code and why.
type Counts = BTreeMap<(Operation, String, String), usize>;

fn count(requests: &[Request], answers: &[Result<Response, florin_client::Error>]) -> Counts {
    let mut counts = Counts::new();
    for (request, answer) in requests.iter().zip(answers) {
        let (code, error) = match answer {
            Ok(Response { reply, .. }) => (reply.code.to_string(), reply.error.clone().unwrap_or_default()),
            Err(_) => ("none".to_owned(), "not answered".to_owned()),
        };
        *counts.entry((request.operation(), code, error)).or_default() += 1;
    }
    counts
}

fn answers_table(counts: &Counts) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["OPERATION", "CODE", "ANSWERS", "ERROR"]);
    for ((operation, code, error), count) in counts {
        table.add_row([operation.as_str(), code, &count.to_string(), error]);
    }
    align_right(&mut table, 2);
    table
}

async fn balances_table(client: &Client) -> anyhow::Result<Table> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["WALLET", "TICKER", "ACTUAL", "FROZEN"]);
    for wallet_id in WALLETS_SHOWN {
        let response = client.balance(wallet_id).await?;
        let number = wallet_id.to_string();
        if !response.reply.is_done() {
            table.add_row([number, response.reply.reason.unwrap_or_default()]);
            continue;
        }
        let balances = response.reply.balances().context("the service sent no balances")?;
        add_balances(&mut table, &number, &balances);
    }
    for column in [0, 2, 3] {
        align_right(&mut table, column);
    }
    Ok(table)
}

/// One line per ticker; a wallet without any has one line, too.
fn add_balances(table: &mut Table, wallet_id: &str, balances: &BalanceBody) {
    if balances.actual_balance.is_empty() {
        table.add_row([wallet_id, "-", "-", "-"]);
    }
    for (ticker, actual) in &balances.actual_balance {
        let frozen =
            balances.frozen_balance.get(ticker).map_or("0".to_owned(), |frozen| frozen.0.to_string());
        table.add_row([wallet_id, ticker, &actual.0.to_string(), &frozen]);
    }
}

fn align_right(table: &mut Table, column: usize) {
    if let Some(column) = table.column_mut(column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenario_has_120_requests_on_wallets_1_to_8() {
        let requests = scenario();
        assert_eq!(requests.len(), 120);
        for (operation, count) in
            [(Operation::Invoice, 30), (Operation::Withdraw, 40), (Operation::Balance, 50)]
        {
            assert_eq!(requests.iter().filter(|request| request.operation() == operation).count(), count);
        }
        let wallet_id = |request: &Request| match request {
            Request::Invoice(body) | Request::Withdraw(body) => body.wallet_id,
            Request::Balance(query) => query.wallet_id,
            other => panic!("{other:?}"),
        };
        assert!(requests.iter().all(|request| WALLETS.contains(&wallet_id(request))));
    }

    #[test]
    fn requests_without_an_answer_are_counted() {
        let requests = [balance(1)];
        let counts = count(&requests, &[Err(florin_client::Error::Closed)]);
        let key = (Operation::Balance, "none".to_owned(), "not answered".to_owned());
        assert_eq!(counts, Counts::from([(key, 1)]));
    }
}
