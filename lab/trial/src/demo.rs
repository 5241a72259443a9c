//! `florin demo`: many requests at once, and their answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use florin_client::{BalanceBody, CallOptions, Client, ClientOptions, MovementBody, Request, Response};
use florin_ledger::{Operation, WalletId};
use florin_service::cli::output::{OutputArgs, table};
use florin_service::cli::{BrokerArgs, CommonArgs, DatabaseArgs, no_broker};
use florin_wire::BalanceQueryBody;
use futures_util::future::join_all;
use serde::Serialize;

use super::mark;

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
Examples:
  florin demo --amqp-url amqp://... --database-url postgres://...

It needs the service, wallets 1 to 9 and the ticker USD: `florin dev` makes all of them.
It fails if one of the 120 requests is not answered. A refusal is an answer.

Its transactions are real. On a ledger with transactions that are not of `florin demo` or
`florin bench` it does nothing without --yes. Their transaction ids end in 74657374 (`test` in
ASCII).

JSON: {\"requests\", \"answered\", \"elapsed_ms\", \"answers\": [{\"operation\", \"code\", \"error\",
\"count\"}], \"balances\": [{\"wallet_id\", \"ticker\", \"actual\", \"frozen\"}]}; amounts are strings.")]
pub struct Args {
    #[command(flatten)]
    trial: mark::TrialArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Serialize)]
struct Demo {
    requests: usize,
    answered: usize,
    elapsed_ms: u128,
    answers: Vec<Answers>,
    balances: Vec<Balance>,
}

/// How many answers of a kind came.
#[derive(Serialize)]
struct Answers {
    operation: &'static str,
    code: Option<u16>,
    error: Option<String>,
    count: usize,
}

#[derive(Serialize)]
struct Balance {
    wallet_id: WalletId,
    ticker: Option<String>,
    actual: Option<String>,
    frozen: Option<String>,
}

/// Sends the requests, and prints the answers.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.common.start(args.broker.flags().into_iter().chain(args.database.flags()))?;
    args.trial.check(&config).await?;
    let options = ClientOptions {
        timeout: TIMEOUT,
        connection_name: "florin demo".to_owned(),
        send_user_id: true,
        ..ClientOptions::default()
    };
    let client = Client::connect(&config.broker.url(), options).await;
    let client = client.map_err(|error| no_broker(&config, &error))?;
    let requests = scenario();
    let started = Instant::now();
    let answers = join_all(requests.iter().map(|request| call(&client, request))).await;
    let elapsed_ms = started.elapsed().as_millis();

    let missing: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    let balances = if missing.is_empty() { balances(&client).await? } else { Vec::new() };
    let demo = Demo {
        requests: requests.len(),
        answered: answers.len() - missing.len(),
        elapsed_ms,
        answers: count(&requests, &answers),
        balances,
    };
    args.output.print(&demo, text)?;
    if let Some(first) = missing.first() {
        bail!("{} requests were not answered: {first}", missing.len());
    }
    client.close().await;
    Ok(())
}

async fn call(client: &Client, request: &Request) -> Result<Response, florin_client::Error> {
    let message_id = Some(mark::transaction_id().to_string());
    client.call(request, CallOptions { message_id, ..CallOptions::default() }).await
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

fn count(requests: &[Request], answers: &[Result<Response, florin_client::Error>]) -> Vec<Answers> {
    let mut counts = BTreeMap::<(Operation, Option<u16>, Option<String>), usize>::new();
    for (request, answer) in requests.iter().zip(answers) {
        let (code, error) = match answer {
            Ok(Response { reply, .. }) => (Some(reply.code), reply.error.clone()),
            Err(_) => (None, Some("not answered".to_owned())),
        };
        *counts.entry((request.operation(), code, error)).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|((operation, code, error), count)| Answers {
            operation: operation.as_str(),
            code,
            error,
            count,
        })
        .collect()
}

async fn balances(client: &Client) -> anyhow::Result<Vec<Balance>> {
    let mut list = Vec::new();
    for wallet_id in WALLETS_SHOWN {
        let response = client.balance(wallet_id).await?;
        if !response.reply.is_done() {
            bail!(
                "cannot read the balance of wallet {wallet_id}: {}",
                response.reply.reason.unwrap_or_default()
            );
        }
        let balances = response.reply.balances().context("the service sent no balances")?;
        add_balances(&mut list, wallet_id, &balances);
    }
    Ok(list)
}

/// One line per ticker; a wallet without any has one line, too.
fn add_balances(list: &mut Vec<Balance>, wallet_id: WalletId, balances: &BalanceBody) {
    if balances.actual_balance.is_empty() {
        list.push(Balance { wallet_id, ticker: None, actual: None, frozen: None });
    }
    for (ticker, actual) in &balances.actual_balance {
        let frozen = balances.frozen_balance.get(ticker);
        list.push(Balance {
            wallet_id,
            ticker: Some(ticker.clone()),
            actual: Some(actual.0.to_string()),
            frozen: Some(frozen.map_or("0".to_owned(), |frozen| frozen.0.to_string())),
        });
    }
}

fn text(demo: &Demo) -> String {
    let Demo { requests, answered, elapsed_ms, .. } = demo;
    let mut answers = table(&["OPERATION", "CODE", "ANSWERS", "ERROR"], &[2]);
    for Answers { operation, code, error, count } in &demo.answers {
        let code = code.map_or("none".to_owned(), |code| code.to_string());
        answers.add_row([operation, code.as_str(), &count.to_string(), error.as_deref().unwrap_or_default()]);
    }
    let mut balances = table(&["WALLET", "TICKER", "ACTUAL", "FROZEN"], &[0, 2, 3]);
    for Balance { wallet_id, ticker, actual, frozen } in &demo.balances {
        let [ticker, actual, frozen] = [ticker, actual, frozen].map(|text| text.as_deref().unwrap_or("-"));
        balances.add_row([&wallet_id.to_string(), ticker, actual, frozen]);
    }
    format!("{answered} of {requests} requests answered in {elapsed_ms} ms\n\n{answers}\n\n{balances}\n")
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
        let [Answers { operation: "balance", code: None, error: Some(error), count: 1 }] = counts.as_slice()
        else {
            panic!("one kind of answer")
        };
        assert_eq!(error, "not answered");
    }
}
