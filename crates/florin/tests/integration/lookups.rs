//! Look-ups: a transaction, the history of a wallet, a balance of the past.

use std::time::{Duration, SystemTime};

use florin_client::{CallOptions, Client};
use florin_ledger::{Answer, Command, HistoryQuery, Page, Status};
use florin_store::Store;
use florin_wire::{
    BalanceQueryBody, BatchItem, BatchRequest, HistoryBody, HistoryQueryBody, MovementBody, RawJson, Request,
    SettleBody,
};
use uuid::Uuid;

use crate::common::{Ledger, Service, World, call};

fn body(wallet_id: i64, ticker: &str, amount: &str) -> MovementBody {
    MovementBody::new(wallet_id, ticker, amount.parse().unwrap())
}

async fn history(client: &Client, query: HistoryQueryBody) -> HistoryBody {
    call(client, Request::History(query)).await.history().unwrap()
}

/// A page, without the broker.
pub(crate) async fn page(store: &Store, query: &HistoryQuery) -> Page {
    let (_, outcome) = store.look_up(Command::History(query.clone())).await.unwrap();
    match outcome.answer {
        Answer::History(page) => page,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_transaction_tells_all() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    call(&client, Request::Invoice(body(1, "USD", "100"))).await;
    let metadata = r#"{"order":"17","nested":{"price":1.10,"big":123456789012345678901234567890}}"#;
    let movement = body(1, "USD", "10.50")
        .pending(Some(Duration::from_secs(60)))
        .metadata(metadata.parse::<RawJson>().unwrap());
    let options = CallOptions { message_id: Some("order 17".into()), ..CallOptions::default() };
    let opened = client.call(&Request::Transfer(movement.to_wallet(2)), options).await.unwrap();
    let id = opened.reply.receipt().unwrap().transaction_id;
    let look_up = || async {
        let reply = call(&client, Request::Transaction { transaction_id: id }).await;
        serde_json::from_str::<serde_json::Value>(&reply.body.unwrap()).unwrap()
    };
    let waiting = look_up().await;
    for (field, value) in [
        ("operation", "transfer"),
        ("status", "Created"),
        ("ticker", "USD"),
        ("transaction_id", &id.to_string()),
    ] {
        assert_eq!(waiting[field], value, "{field}");
    }
    assert_eq!((&waiting["wallet_id"], &waiting["to_wallet_id"]), (&1.into(), &2.into()));
    assert!(waiting["created_at"].is_string() && waiting["expires_at"].is_string());
    assert!(waiting["ended_at"].is_null() && waiting["error"].is_null());
    let text = call(&client, Request::Transaction { transaction_id: id }).await.body.unwrap();
    assert!(text.contains(metadata), "as it was sent, to the byte: {text}");

    call(&client, Request::Settle(SettleBody::new(id).amount("4".parse().unwrap()))).await;
    let ended = look_up().await;
    assert_eq!((&ended["status"], &ended["settled_amount"]), (&"Success".into(), &4.into()));
    assert_eq!(ended["created_at"], waiting["created_at"]);
    assert!(ended["ended_at"].is_string());

    let refused = call(&client, Request::Withdraw(body(3, "USD", "1"))).await;
    let refused = Request::Transaction { transaction_id: refused.transaction_id.unwrap() };
    let refused = call(&client, refused).await.transaction().unwrap();
    assert_eq!((refused.status.as_str(), refused.error.as_deref()), ("Error", Some("insufficient_funds")));
    assert!(refused.reason.is_some());
    let unknown = call(&client, Request::Transaction { transaction_id: Uuid::now_v7() }).await;
    assert_eq!(unknown.code, 404);
}

/// Pages follow each other without a gap or a double, while new postings come in.
#[tokio::test]
async fn history_goes_back_page_by_page() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    for n in 1..=60 {
        let ticker = ["USD", "EUR", "USDT"][n % 3];
        call(&client, Request::Invoice(body(1, ticker, &n.to_string()))).await;
    }
    for limit in [1, 7, 60, 1000] {
        let mut amounts: Vec<String> = Vec::new();
        let mut query = HistoryQueryBody::new(1).limit(limit);
        loop {
            let page = history(&client, query.clone()).await;
            amounts.extend(page.postings.iter().map(|posting| posting.amount.0.to_string()));
            assert!(page.postings.len() <= usize::from(limit));
            let Some(next) = page.next else { break };
            query = query.before(next);
            call(&client, Request::Invoice(body(1, "RUB", "1"))).await;
        }
        let old: Vec<String> = amounts.into_iter().filter(|amount| amount != "1").collect();
        assert_eq!(old, (2..=60).rev().map(|n| n.to_string()).collect::<Vec<_>>(), "limit {limit}");
    }
}

#[tokio::test]
async fn history_is_filtered() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    call(&client, Request::Invoice(body(1, "USD", "10"))).await;
    let pending = call(&client, Request::Withdraw(body(1, "USD", "3").pending(None))).await;
    let id = pending.receipt().unwrap().transaction_id;
    call(&client, Request::Withdraw(body(1, "USD", "100"))).await;
    let middle = SystemTime::now();
    call(&client, Request::Settle(SettleBody::new(id).amount("1".parse().unwrap()))).await;
    call(&client, Request::Invoice(body(1, "EUR", "5"))).await;
    call(&client, Request::Transfer(body(1, "EUR", "2").to_wallet(2))).await;

    let all = HistoryQueryBody::new(1);
    let rows: [(HistoryQueryBody, &[&str]); 8] = [
        (
            all.clone(),
            &[
                "2 3/0 Success",
                "5 5/0 Success",
                "1 9/0 Success",
                "100 7/3 Error",
                "3 7/3 Created",
                "10 10/0 Success",
            ],
        ),
        (all.clone().ticker("EUR"), &["2 3/0 Success", "5 5/0 Success"]),
        (all.clone().ticker("RUB"), &[]),
        (all.clone().status(Status::Created), &["3 7/3 Created"]),
        (all.clone().status(Status::Error), &["100 7/3 Error"]),
        (all.clone().until(middle), &["100 7/3 Error", "3 7/3 Created", "10 10/0 Success"]),
        (all.clone().from(middle), &["2 3/0 Success", "5 5/0 Success", "1 9/0 Success"]),
        (all.clone().from(middle).ticker("USD"), &["1 9/0 Success"]),
    ];
    for (query, expected) in rows {
        let page = history(&client, query.clone()).await;
        let postings = page.postings.iter().map(|posting| {
            format!(
                "{} {}/{} {}",
                posting.amount.0, posting.actual_balance.0, posting.frozen_balance.0, posting.status
            )
        });
        assert_eq!(postings.collect::<Vec<_>>(), expected, "{query:?}");
        assert!(page.next.is_none());
    }
    let page = history(&client, HistoryQueryBody::new(2)).await;
    assert_eq!(page.postings[0].counterparty_wallet_id, Some(1));
    for (query, error) in
        [(HistoryQueryBody::new(99), "unknown_wallet"), (all.ticker("XXX"), "unknown_ticker")]
    {
        assert_eq!(call(&client, Request::History(query)).await.error.as_deref(), Some(error));
    }
}

#[tokio::test]
async fn a_balance_can_be_asked_for_as_it_was() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    let mut moments = vec![(SystemTime::now(), String::new())];
    for n in 1..=20_u32 {
        let ticker = ["USD", "EUR"][n as usize % 2];
        call(&client, Request::Invoice(body(1, ticker, "1"))).await;
        let (usd, eur) = (n / 2, n.div_ceil(2));
        let expected =
            if usd == 0 { format!(r#""EUR":{eur}"#) } else { format!(r#""EUR":{eur},"USD":{usd}"#) };
        moments.push((SystemTime::now(), expected));
    }
    for (moment, expected) in moments {
        let reply = call(&client, Request::Balance(BalanceQueryBody::new(1).at(moment))).await;
        let expected = if expected.is_empty() {
            "{}".to_owned()
        } else {
            format!(r#"{{"actual_balance":{{{expected}}}}}"#)
        };
        assert_eq!(reply.body.unwrap(), expected);
    }
    let only = call(&client, Request::Balance(BalanceQueryBody::new(1).ticker("USD"))).await;
    assert_eq!(only.body.unwrap(), r#"{"actual_balance":{"USD":10}}"#);
}

/// The plan of each look-up reads by index, and no more than it gives: its cost does not grow with the tables.
#[tokio::test]
async fn a_long_chain_costs_no_more() {
    let world = World::new().await;
    let ledger = world.ledger().await;
    let fill = "INSERT INTO postings (wallet_id, ticker_id, version, transaction_id, leg, operation, status, amount,
                    actual_after, frozen_after, held, request_hash, redelivered, created_at)
                SELECT 1, 1, n, gen_random_uuid(), 0, 'invoice', 'Success', 1, n, 0, true,
                    decode(repeat('00', 16), 'hex'), false, '2026-01-01Z'::timestamptz + n * interval '1 second'
                  FROM generate_series(1, 200000) n";
    ledger.sql.batch_execute(fill).await.unwrap();
    let sessions_before = sessions(&ledger).await;
    let mut service = Service::start(&world, &[]).await;
    let client = world.client().await;
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let at = |seconds| SystemTime::from(start) + Duration::from_secs(seconds);
    let before = blocks_read(&ledger).await;
    for n in 1..=50 {
        let reply = call(&client, Request::Balance(BalanceQueryBody::new(1).at(at(4000 * n)))).await;
        assert_eq!(reply.body.unwrap(), format!(r#"{{"actual_balance":{{"USD":{}}}}}"#, 4000 * n));
        let page = history(&client, HistoryQueryBody::new(1).limit(10).until(at(4000 * n))).await;
        assert_eq!(page.postings[0].version, i64::try_from(4000 * n).unwrap() - 1);
    }
    // Sessions tell what they read when they end.
    service.kill();
    let ended = async { while sessions(&ledger).await > sessions_before {} };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("its sessions end");
    let read = blocks_read(&ledger).await - before;
    println!("{read} blocks for 100 look-ups");
    assert!((100..50 * 400).contains(&read), "{read} blocks for 100 look-ups in a chain of 200,000");
}

/// A page that is filtered looks at so many postings of a chain and no more; what is older in other chains is on a
/// page after it.
#[tokio::test]
async fn a_filter_that_matches_few_misses_none() {
    let world = World::new().await;
    let ledger = world.ledger().await;
    // Two chains of one time: few in the long one match, and all in the short one.
    let fill = "INSERT INTO postings (wallet_id, ticker_id, version, transaction_id, leg, operation, status, error,
                    amount, actual_after, frozen_after, held, request_hash, redelivered, created_at)
                SELECT 1, ticker, version, gen_random_uuid(), 0, 'withdraw', status,
                    CASE status WHEN 'Error' THEN 'insufficient_funds' END, 1, 0, 0, true,
                    decode(repeat('00', 16), 'hex'), false, '2026-01-01Z'::timestamptz + at * interval '1 second'
                  FROM (SELECT 1 AS ticker, n AS version, n AS at,
                               CASE n % 4000 WHEN 0 THEN 'Error' ELSE 'Success' END AS status
                          FROM generate_series(1, 25000) n
                         UNION ALL SELECT 2, n, n * 500, 'Error' FROM generate_series(1, 50) n) filled";
    ledger.sql.batch_execute(fill).await.unwrap();
    let sql = "SELECT ticker_id, version FROM postings WHERE status = 'Error'
                ORDER BY created_at DESC, ticker_id DESC, version DESC";
    let rows = ledger.sql.query(sql, &[]).await.unwrap();
    let expected: Vec<(i32, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for limit in [1, 5, 1000] {
        let mut query = florin_ledger::HistoryQuery {
            wallet_id: 1,
            ticker: None,
            status: Some(Status::Error),
            from: None,
            until: None,
            before: None,
            limit,
        };
        let mut found = Vec::new();
        loop {
            let page = page(&world.store, &query).await;
            found.extend(page.entries.iter().map(|entry| (entry.cursor.ticker_id, entry.cursor.version)));
            match page.next {
                Some(next) => query.before = Some(next),
                None => break,
            }
        }
        assert_eq!(found, expected, "{limit} a page");
    }
}

async fn sessions(ledger: &Ledger) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'florin' AND datname = current_database()";
    ledger.number(sql).await
}

async fn blocks_read(ledger: &Ledger) -> i64 {
    let sql = "SELECT (heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::bigint
                 FROM pg_statio_user_tables WHERE relname = 'postings'";
    ledger.number(sql).await
}

/// They are refused like any other, and their neighbours in the message are done.
#[tokio::test]
async fn hostile_look_ups_harm_nobody() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    call(&client, Request::Invoice(body(1, "USD", "1"))).await;
    // A version below 1, of a ticker that is in use.
    let cursor = "000660e1ae9fa1e9000000018000000000000000";
    let nul = r#"{"operation":"history","wallet_id":1,"ticker":"US\u0000D"}"#;
    let below = format!(r#"{{"operation":"history","wallet_id":1,"before":"{cursor}"}}"#);
    let invoice = r#"{"operation":"invoice","wallet_id":2,"ticker":"USD","amount":5}"#;
    let batch = format!(r#"{{"operations":[{nul},{below},{invoice}]}}"#);
    let properties = florin_client::BasicProperties::default();
    let raw = client.call_raw("batch", batch.into(), properties, None).await.unwrap();
    let codes: Vec<_> =
        raw.read().unwrap().reply.results().unwrap().into_iter().map(|one| (one.code, one.error)).collect();
    let refused = |error: &str| (400, Some(error.to_owned()));
    assert_eq!(codes, [refused("unknown_ticker"), refused("malformed"), (200, None)]);
    world.ledger().await.assert_sound().await;
}

/// What is read for one message is bounded, so that others need not wait for it.
#[tokio::test]
async fn the_histories_of_a_batch_are_bounded() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    let history =
        |limit| BatchItem { id: None, request: Request::History(HistoryQueryBody::new(1).limit(limit)) };
    let codes = async |limits: &[u16]| {
        let batch = BatchRequest { operations: limits.iter().copied().map(history).collect(), atomic: false };
        let results = client.batch(&batch, CallOptions::default()).await.unwrap().results;
        results.into_iter().map(|result| result.reply.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&[1000, 1]).await, [200, 413]);
    assert_eq!(codes(&[500, 501, 1]).await, [200, 413, 413]);
    assert_eq!(codes(&[1; 11]).await, [[200; 10].as_slice(), &[413]].concat());
}
