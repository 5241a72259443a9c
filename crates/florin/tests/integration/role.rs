//! The service works as the role that docs/service-role.sql makes, and that role cannot change the ledger.

use florin_client::Client;
use florin_wire::{HistoryQueryBody, MovementBody, Request, SettleBody};

use crate::common::{Ledger, Service, World, call};

const ROLE: &str = include_str!("../../../../docs/service-role.sql");

async fn move_money(client: &Client) {
    let body = |amount: &str| MovementBody::new(1, "USD", amount.parse().unwrap());
    let calls = [
        (Request::Invoice(body("10")), 200),
        (Request::Transfer(body("1").to_wallet(2)), 200),
        (Request::Withdraw(body("100")), 400),
        (Request::History(HistoryQueryBody::new(1)), 200),
    ];
    for (request, code) in calls {
        assert_eq!(call(client, request).await.code, code);
    }
    let held = call(client, Request::Withdraw(body("2").pending(None))).await.receipt().unwrap();
    let settle = SettleBody::new(held.transaction_id);
    assert_eq!(client.settle(settle).await.unwrap().reply.code, 200);
}

#[tokio::test]
async fn the_documented_role_is_enough_and_cannot_change_the_ledger() {
    let mut world = World::new().await;
    world.ledger().await.sql.batch_execute(ROLE).await.unwrap();
    let owner = world.database_url.clone();
    world.database_url = owner.replacen("//florin@", "//florin_service@", 1);
    assert_ne!(world.database_url, owner);
    let no_migration = [("FLORIN_DATABASE_MIGRATE_ON_START", "false")];
    let _service = Service::start(&world, &no_migration).await;
    move_money(&world.client().await).await;

    let ledger = Ledger::open(&world.database_url).await;
    for sql in [
        "UPDATE postings SET amount = 1",
        "DELETE FROM postings",
        "TRUNCATE postings",
        "ALTER TABLE postings DISABLE TRIGGER ALL",
        "DELETE FROM wallets",
        "UPDATE wallets SET wallet_id = wallet_id + 1",
        "UPDATE tickers SET scale = 3",
        "DROP TABLE holds",
    ] {
        assert!(ledger.sql.batch_execute(sql).await.is_err(), "{sql}");
    }
    Ledger::open(&owner).await.assert_sound().await;
}
