//! Transactions that wait: opened, settled, cancelled and expired through the broker.

use std::time::{Duration, SystemTime};

use florin_client::Client;
use florin_ledger::Decimal;
use florin_wire::{BalanceQueryBody, MovementBody, Reply, Request, SettleBody};
use uuid::Uuid;

use crate::common::{Service, World, call};

fn usd(wallet_id: i64, amount: &str) -> MovementBody {
    MovementBody::new(wallet_id, "USD", decimal(amount))
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn settle(transaction_id: Uuid) -> SettleBody {
    SettleBody::new(transaction_id)
}

/// Opens a transaction that waits.
async fn open(client: &Client, request: Request) -> Uuid {
    let reply = call(client, request).await;
    assert_eq!((reply.code, reply.receipt().unwrap().status.as_str()), (202, "Created"));
    reply.receipt().unwrap().transaction_id
}

/// Both balances of a wallet in USD, as text.
async fn balances(client: &Client, wallet_id: i64) -> (String, String) {
    let body = call(client, Request::Balance(BalanceQueryBody::new(wallet_id))).await.balances().unwrap();
    let text = |map: &std::collections::BTreeMap<String, florin_wire::JsonDecimal>| {
        map.get("USD").map_or("0".to_owned(), |amount| amount.0.to_string())
    };
    (text(&body.actual_balance), text(&body.frozen_balance))
}

fn refused(reply: &Reply) -> (u16, &str) {
    (reply.code, reply.error.as_deref().unwrap_or_default())
}

/// Each opener, and what its wallets hold (actual, frozen) while it waits, and after each end.
#[tokio::test]
async fn funds_are_frozen_and_move_on() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    // What wallet 1 and wallet 2 hold: waiting, settled, settled in part (4 of 10), cancelled. Wallet 1 has 100.
    type Held = [(&'static str, &'static str); 2];
    type Opener = fn(MovementBody) -> Request;
    let rows: [(Opener, [Held; 4]); 3] = [
        (
            Request::Invoice,
            [
                [("100", "10"), ("0", "0")],
                [("110", "0"), ("0", "0")],
                [("104", "0"), ("0", "0")],
                [("100", "0"), ("0", "0")],
            ],
        ),
        (
            Request::Withdraw,
            [
                [("90", "10"), ("0", "0")],
                [("90", "0"), ("0", "0")],
                [("96", "0"), ("0", "0")],
                [("100", "0"), ("0", "0")],
            ],
        ),
        (
            |body| Request::Transfer(body.to_wallet(2)),
            [
                [("90", "10"), ("0", "0")],
                [("90", "0"), ("10", "0")],
                [("96", "0"), ("4", "0")],
                [("100", "0"), ("0", "0")],
            ],
        ),
    ];
    for (opener, [waiting, settled, in_part, cancelled]) in rows {
        for (end, expected) in [("settle", settled), ("part", in_part), ("cancel", cancelled)] {
            level(&client).await;
            let id = open(&client, opener(usd(1, "10").pending(None))).await;
            assert_held(&client, waiting).await;
            let ended = match end {
                "settle" => call(&client, Request::Settle(settle(id))).await,
                "part" => call(&client, Request::Settle(settle(id).amount(decimal("4")))).await,
                _ => call(&client, Request::Cancel { transaction_id: id }).await,
            };
            assert_eq!(ended.code, 200, "{ended:?}");
            assert_held(&client, expected).await;
        }
    }
    world.ledger().await.assert_sound().await;
}

/// Gives wallet 1 exactly 100 and wallet 2 nothing.
async fn level(client: &Client) {
    for (wallet_id, wanted) in [(1, 100), (2, 0)] {
        let actual: i64 = balances(client, wallet_id).await.0.parse().unwrap();
        let missing: i64 = wanted - actual;
        let amount = missing.abs().to_string();
        match missing {
            0 => continue,
            1.. => call(client, Request::Invoice(usd(wallet_id, &amount))).await,
            _ => call(client, Request::Withdraw(usd(wallet_id, &amount))).await,
        };
    }
}

async fn assert_held(client: &Client, expected: [(&str, &str); 2]) {
    for (wallet_id, (actual, frozen)) in [1, 2].into_iter().zip(expected) {
        assert_eq!(balances(client, wallet_id).await, (actual.into(), frozen.into()), "wallet {wallet_id}");
    }
}

#[tokio::test]
async fn an_end_is_answered_the_same_again_and_no_other_way() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    call(&client, Request::Invoice(usd(1, "100"))).await;
    let part = |id, amount| Request::Settle(settle(id).amount(decimal(amount)));
    let cancel = |transaction_id| Request::Cancel { transaction_id };

    let settled = open(&client, Request::Withdraw(usd(1, "10").pending(None))).await;
    let first = call(&client, part(settled, "4.00")).await;
    let body = format!(r#"{{"transaction_id":"{settled}","status":"Success","settled_amount":4}}"#);
    assert_eq!(first.body.as_deref(), Some(body.as_str()));
    assert_eq!(call(&client, part(settled, "4")).await, first);
    for other in [part(settled, "5"), Request::Settle(settle(settled)), cancel(settled)] {
        assert_eq!(refused(&call(&client, other).await), (409, "already_final"));
    }

    let cancelled = open(&client, Request::Withdraw(usd(1, "10").pending(None))).await;
    assert_eq!(refused(&call(&client, part(cancelled, "10.01")).await), (400, "exceeds_pending"));
    assert_eq!(refused(&call(&client, part(cancelled, "0")).await), (400, "amount_not_positive"));
    assert_eq!(refused(&call(&client, part(cancelled, "0.001")).await), (400, "amount_too_precise"));
    let expire = Request::Expire { transaction_id: cancelled };
    assert_eq!(refused(&call(&client, expire).await), (409, "not_expired"));
    let first = call(&client, cancel(cancelled)).await;
    let body = format!(r#"{{"transaction_id":"{cancelled}","status":"Error","error":"cancelled"}}"#);
    assert_eq!(first.body.as_deref(), Some(body.as_str()));
    assert_eq!(call(&client, cancel(cancelled)).await, first);
    assert_eq!(refused(&call(&client, Request::Settle(settle(cancelled))).await), (409, "already_final"));

    let unknown = Uuid::now_v7();
    assert_eq!(refused(&call(&client, cancel(unknown)).await), (404, "unknown_transaction"));
    world.ledger().await.assert_sound().await;
}

/// A timeout passes while the service runs, and one passes while it is down.
#[tokio::test]
async fn what_is_not_settled_in_time_expires() {
    let world = World::new().await;
    let mut service = Service::start(&world, &[]).await;
    let client = world.client().await;
    call(&client, Request::Invoice(usd(1, "100"))).await;
    let second = Some(Duration::from_secs(1));
    let awake = open(&client, Request::Withdraw(usd(1, "10").pending(second))).await;
    let lateness = expired(&world, awake).await;
    println!("expired {lateness:?} after its time");
    assert!(lateness < Duration::from_secs(1), "{lateness:?}");
    let asleep = open(&client, Request::Withdraw(usd(1, "10").pending(second))).await;
    let later = open(&client, Request::Withdraw(usd(1, "10").pending(Some(Duration::from_secs(3600))))).await;
    service.kill();
    let _service = Service::start(&world, &[]).await;
    expired(&world, asleep).await;
    let reply = call(&client, Request::Settle(settle(asleep))).await;
    assert_eq!(refused(&reply), (409, "already_final"));
    assert_eq!(balances(&client, 1).await, ("90".into(), "10".into()));
    assert_eq!(call(&client, Request::Cancel { transaction_id: later }).await.code, 200);
    let ledger = world.ledger().await;
    ledger.assert_sound().await;
    assert_eq!(ledger.number("SELECT count(*) FROM holds").await, 0);
}

/// Waits until a transaction has expired, and says how late that was.
async fn expired(world: &World, transaction_id: Uuid) -> Duration {
    let ledger = world.ledger().await;
    let sql = "SELECT ended_at, expires_at FROM transactions WHERE transaction_id = $1 AND error = 'expired'";
    let deadline = SystemTime::now() + Duration::from_secs(30);
    loop {
        if let Some(row) = ledger.sql.query_opt(sql, &[&transaction_id]).await.unwrap() {
            let (ended_at, expires_at): (SystemTime, SystemTime) = (row.get(0), row.get(1));
            return ended_at.duration_since(expires_at).expect("not before its time");
        }
        assert!(SystemTime::now() < deadline, "{transaction_id} does not expire");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The service is too busy to sweep, so to say: a settle that comes too late decides by itself.
#[tokio::test]
async fn a_settle_after_the_time_is_too_late() {
    let world = World::new().await;
    let ledger = world.ledger().await;
    // Nothing expires, for this session holds the lock of the expiry worker.
    ledger.sql.batch_execute("SELECT pg_advisory_lock(x'7377656570'::bigint)").await.unwrap();
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    call(&client, Request::Invoice(usd(1, "100"))).await;
    let id = open(&client, Request::Withdraw(usd(1, "10").pending(Some(Duration::from_secs(1))))).await;
    let its_time = "SELECT pg_sleep(extract(epoch FROM max(expires_at) - clock_timestamp())) FROM holds";
    ledger.sql.execute(its_time, &[]).await.unwrap();
    assert_eq!(ledger.number("SELECT count(*) FROM holds").await, 1, "somebody swept");
    let reply = call(&client, Request::Settle(settle(id))).await;
    assert_eq!(refused(&reply), (409, "already_final"));
    let reply = call(&client, Request::Transaction { transaction_id: id }).await;
    assert_eq!(reply.transaction().unwrap().error.as_deref(), Some("expired"));
    assert_eq!(balances(&client, 1).await, ("100".into(), "0".into()));
    ledger.assert_sound().await;
}
