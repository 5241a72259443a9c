//! Whose name is recorded.

use std::time::Duration;

use florin_client::{CallOptions, Client, ClientOptions, MovementBody, Request, SettleBody};
use futures_util::future::join_all;
use serde_json::Value;
use uuid::Uuid;

use super::{as_user, client};
use crate::common::{Ledger, Service, World, rabbitmqctl};

fn one_usd() -> MovementBody {
    MovementBody::new(1, "USD", "1".parse().unwrap())
}

fn on_behalf_of(name: &str) -> CallOptions {
    CallOptions { on_behalf_of: Some(name.to_owned()), ..CallOptions::default() }
}

/// Who is recorded for the opening and for the end of a transaction, in the tables and by the service.
async fn recorded(client: &Client, ledger: &Ledger, id: Uuid) -> [Option<String>; 2] {
    let sql = "SELECT requested_by, ended_by FROM transactions WHERE transaction_id = $1";
    let row = ledger.sql.query_one(sql, &[&id]).await.unwrap();
    let stored = [row.get(0), row.get(1)];
    let body = client.transaction(id).await.unwrap().reply.body.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    let shown = ["requested_by", "ended_by"].map(|name| body[name].as_str().map(ToOwned::to_owned));
    assert_eq!(shown, stored);
    stored
}

fn names(opener: Option<&str>, ender: Option<&str>) -> [Option<String>; 2] {
    [opener, ender].map(|name| name.map(ToOwned::to_owned))
}

async fn open(client: &Client, request: Request, options: CallOptions) -> Uuid {
    client.call(&request, options).await.unwrap().reply.receipt().unwrap().transaction_id
}

/// A user with all permissions in this world, whose name no other test has.
async fn add_user(world: &World, user: &str) -> String {
    let (_, vhost) = world.amqp_url.rsplit_once('/').unwrap();
    rabbitmqctl(&["add_user", user, "secret"]).await;
    rabbitmqctl(&["set_permissions", "-p", vhost, user, ".*", ".*", ".*"]).await;
    as_user(world, user, "secret")
}

#[tokio::test]
async fn only_trusted_users_ask_for_others() {
    let world = World::new().await;
    let (gateway, stranger) = (add_user(&world, "gateway").await, add_user(&world, "stranger").await);
    let _service = Service::start(&world, &[("FLORIN_BROKER_TRUSTED_USERS", "nobody, gateway")]).await;
    let ledger = world.ledger().await;
    let options = ClientOptions::default;
    let (own, gateway, stranger) = (
        client(&world.amqp_url, options()).await,
        client(&gateway, options()).await,
        client(&stranger, options()).await,
    );
    let nameless = Client::connect(&world.amqp_url, options()).await.unwrap();
    let rows = [
        (&own, None, Some("amqp:florin")),
        // The service's own user is believed only with the proof that HTTP has: others may share it.
        (&own, Some("key:shop-1"), Some("amqp:florin")),
        (&gateway, Some("key:shop-2"), Some("key:shop-2")),
        (&stranger, None, Some("amqp:stranger")),
        (&stranger, Some("key:shop-1"), Some("amqp:stranger")),
        (&nameless, Some("key:shop-1"), None),
        (&nameless, None, None),
    ];
    for (client, name, expected) in rows {
        let options = name.map_or_else(CallOptions::default, on_behalf_of);
        let id = open(client, Request::Invoice(one_usd()), options.clone()).await;
        assert_eq!(recorded(&own, &ledger, id).await, names(expected, None));
        let waiting = Request::Withdraw(one_usd().pending(None));
        let id = open(&stranger, waiting, CallOptions::default()).await;
        client.call(&Request::Settle(SettleBody::new(id)), options).await.unwrap();
        assert_eq!(recorded(&own, &ledger, id).await, names(Some("amqp:stranger"), expected));
    }
    // A retry by another is the same request, and the first one stays recorded.
    let identity = |options| CallOptions { message_id: Some("order 17".into()), ..options };
    let id = open(&gateway, Request::Invoice(one_usd()), identity(on_behalf_of("key:first"))).await;
    let again = stranger.call(&Request::Invoice(one_usd()), identity(CallOptions::default())).await.unwrap();
    assert!(again.replayed && again.reply.receipt().unwrap().transaction_id == id);
    assert_eq!(recorded(&own, &ledger, id).await, names(Some("key:first"), None));

    // The service itself ends what is over.
    let soon = one_usd().pending(Some(Duration::from_secs(1)));
    let id = open(&stranger, Request::Invoice(soon), CallOptions::default()).await;
    while ledger.number("SELECT count(*) FROM holds").await > 0 {}
    assert_eq!(recorded(&own, &ledger, id).await, names(Some("amqp:stranger"), Some("amqp:florin")));

    let wrong = gateway.call(&Request::Invoice(one_usd()), on_behalf_of("schlüssel")).await.unwrap();
    assert_eq!(wrong.reply.error.as_deref(), Some("malformed"));
    assert!(own.call(&Request::Invoice(one_usd()), on_behalf_of(&"x".repeat(256))).await.is_err());
    ledger.assert_sound().await;
}

#[tokio::test]
async fn calls_that_share_a_message_keep_their_own_names() {
    let world = World::new().await;
    let service = Service::start(&world, &[("FLORIN_BROKER_TRUSTED_USERS", "florin")]).await;
    let ledger = world.ledger().await;
    let own = client(&world.amqp_url, ClientOptions::default()).await;
    let call = async |number: usize| {
        let name = (!number.is_multiple_of(3)).then(|| format!("key:{number}"));
        let options = CallOptions { on_behalf_of: name.clone(), ..CallOptions::default() };
        let id = open(&own, Request::Invoice(one_usd()), options).await;
        (id, name.unwrap_or_else(|| "amqp:florin".to_owned()))
    };
    let made = join_all((0..300).map(call)).await;
    for (id, name) in made {
        let sql = "SELECT requested_by FROM transactions WHERE transaction_id = $1";
        let row = ledger.sql.query_one(sql, &[&id]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), name);
    }
    let metrics = service.get("/metrics").await;
    let shared = metrics
        .lines()
        .find(|line| line.contains(r#"{operation="batch",status="200",transport="amqp"}"#))
        .unwrap();
    assert!(!shared.ends_with(" 0"), "none shared a message: {shared}");
    ledger.assert_sound().await;
}
