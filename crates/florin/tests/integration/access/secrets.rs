//! No secret gets into a log, however much is logged.

use axum::http::Method;
use florin_keys::Role;

use crate::common::{Http, SeedClient, Service, World, rabbitmqctl};
use crate::http::key;

/// Two passwords and an API key, on every way that they take, with everything logged that can be.
#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    const PASSWORDS: [&str; 2] = ["hidden-from-the-broker-s-log", "hidden-from-the-database-s-log"];
    let world = World::new().await;
    let (_, vhost) = world.amqp_url.rsplit_once('/').unwrap();
    rabbitmqctl(&["add_user", "discreet", PASSWORDS[0]]).await;
    rabbitmqctl(&["set_permissions", "-p", vhost, "discreet", ".*", ".*", ".*"]).await;
    let amqp_url = super::as_user(&world, "discreet", PASSWORDS[0]);
    // The private server asks for no password, but we send ours.
    let database_url = world.database_url.replacen("florin@", &format!("florin:{}@", PASSWORDS[1]), 1);
    assert!(database_url.contains(PASSWORDS[1]), "{database_url}");
    let all = "trace,lapin=trace,tokio_postgres=trace,hyper=trace,axum=trace";
    let environment =
        [("AMQP_URL", amqp_url.as_str()), ("DATABASE_URL", database_url.as_str()), ("RUST_LOG", all)];
    let service = Service::start(&world, &environment).await;
    let key = key(&world, "discreet", Role::Operator, None).await;
    let http = Http::of(&service).with_key(&key);
    let invoice = r#"{"wallet_id":1,"ticker":"USD","amount":123456789.01}"#;
    assert_eq!(http.post("/invoice", invoice).await.status, 200);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let here = ("sec-fetch-site", "same-origin");
    let signed_in =
        Http::of(&service).send(Method::POST, "/console/sign-in", &[here, form], &format!("key={key}")).await;
    let cookie = signed_in.header("set-cookie").unwrap().split(';').next().unwrap();
    let console = Http::of(&service).send(Method::GET, "/console", &[("cookie", cookie)], "").await;
    assert_eq!(console.status, 200);
    assert_eq!(
        Http::of(&service).with_key(&key.replace("florin", "forint")).get("/tickers").await.status,
        401
    );
    let mut seed = SeedClient::connect(&world.amqp_url).await;
    assert_eq!(seed.call("balance", br#"{"wallet_id":1}"#).await.code, 200);
    let log = service.log();
    assert!(log.contains("TRACE"), "all is logged");
    let (_, secret) = cookie.split_once('=').unwrap();
    let (_, of_key) = key.rsplit_once('_').unwrap();
    for hidden in [PASSWORDS[0], PASSWORDS[1], of_key, secret] {
        let leak = log.lines().find(|line| line.contains(hidden));
        assert_eq!(leak, None, "{hidden}");
    }
    let body = log.lines().find(|line| line.contains("123456789.01"));
    assert_eq!(body, None, "bodies are the clients' own business");
}
