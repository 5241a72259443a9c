//! The console, as a browser sees it.

mod assets;
mod direction;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use axum::http::Method;
use florin_keys::Role;
use florin_ledger::WalletId;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use uuid::Uuid;

use super::key;
use crate::common::{Answer, Http, SeedClient, Service, World};

/// What a browser says of a form of ours.
const FROM_HERE: (&str, &str) = ("sec-fetch-site", "same-origin");
const UNKNOWN: &str = "0190a5b0-7c1e-7d3c-8c3e-0123456789ab";

/// A browser that is signed in.
struct Browser {
    http: Http,
    cookie: String,
}

impl Browser {
    async fn sign_in(service: &Service, key: &str) -> Self {
        let http = Http::of(service);
        let answer = submit_sign_in(&http, key, "").await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/console")), "{answer:?}");
        let cookie = answer.header("set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { http, cookie }
    }

    async fn with_role(world: &World, service: &Service, role: Role) -> Self {
        Self::with_wallets(world, service, role, None).await
    }

    async fn with_wallets(
        world: &World,
        service: &Service,
        role: Role,
        wallets: Option<RangeInclusive<WalletId>>,
    ) -> Self {
        let name = format!("{role}-{}", Uuid::now_v7());
        Self::sign_in(service, &key(world, &name, role, wallets).await).await
    }

    async fn get(&self, path: &str) -> Answer {
        let answer = self.http.send(Method::GET, path, &[("cookie", &self.cookie)], "").await;
        if answer.status != 303 {
            assert_is_page(&answer);
        }
        answer
    }

    /// Asks until the page is as it should be: only the broker knows when it has put messages back.
    async fn until(&self, path: &str, good: impl Fn(&Answer) -> bool) -> Answer {
        let started = Instant::now();
        loop {
            let answer = self.get(path).await;
            if good(&answer) {
                return answer;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{answer:?}");
        }
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        let cookie = ("cookie", self.cookie.as_str());
        let answer = self.http.send(Method::POST, path, &[cookie, FROM_HERE, FORM], form).await;
        assert_is_page(&answer);
        answer
    }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn submit_sign_in(http: &Http, key: &str, next: &str) -> Answer {
    let form = format!("key={key}&next={next}");
    http.send(Method::POST, "/console/sign-in", &[FROM_HERE, FORM], &form).await
}

/// Nothing from elsewhere, nothing inline, nothing kept.
pub(super) fn assert_is_page(answer: &Answer) {
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{answer:?}");
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert!(!answer.text.contains(" style=") && !answer.text.contains("<style"), "{}", answer.text);
    assert!(!answer.text.contains("<script>") && !answer.text.contains(" onclick"), "{}", answer.text);
}

/// 10.50 USD in wallet 1, of which a withdrawal of 4 waits: its id.
async fn hold(world: &World, http: &Http) -> String {
    let client = http.with_key(&key(world, &Uuid::now_v7().to_string(), Role::Client, None).await);
    let invoice = client.post("/invoice", r#"{"wallet_id":1,"ticker":"USD","amount":10.50}"#).await;
    assert_eq!(invoice.status, 200, "{invoice:?}");
    let body = r#"{"wallet_id":1,"ticker":"USD","amount":4,"pending":true,"metadata":{"note":"<b>&</b>"}}"#;
    let held = client.post("/withdraw", body).await;
    assert_eq!(held.status, 202, "{held:?}");
    held.json()["body"]["transaction_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_an_active_key_signs_in_and_signing_out_ends_it() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let http = Http::of(&service);
    let nobody = http.get("/console/wallets?from=7").await;
    let sign_in = "/console/sign-in?next=%2Fconsole%2Fwallets%3Ffrom%3D7";
    assert_eq!((nobody.status, nobody.header("location")), (303, Some(sign_in)));
    let form = http.get(sign_in).await;
    assert_eq!(form.status, 200);
    assert_is_page(&form);
    assert!(form.text.contains(r#"value="/console/wallets?from=7""#), "{}", form.text);

    let wrong = submit_sign_in(&http, "nonsense", "").await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    assert_is_page(&wrong);
    assert!(wrong.text.contains("unknown, revoked or expired"), "{}", wrong.text);

    let good = key(&world, "person", Role::Reader, None).await;
    let inside = submit_sign_in(&http, &good, "%2Fconsole%2Fwallets").await;
    assert_eq!(inside.header("location"), Some("/console/wallets"));
    let cookie = inside.header("set-cookie").unwrap();
    for attribute in ["; Path=/console", "; HttpOnly", "; SameSite=Strict", "; Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    let elsewhere = submit_sign_in(&http, &good, "%2F%2Fevil").await;
    assert_eq!(elsewhere.header("location"), Some("/console"));
    let tls = [FROM_HERE, FORM, ("x-forwarded-proto", "https")];
    let tls = http.send(Method::POST, "/console/sign-in", &tls, &format!("key={good}")).await;
    assert!(tls.header("set-cookie").unwrap().contains("; Secure"), "{tls:?}");

    let browser = Browser::sign_in(&service, &good).await;
    assert_eq!(browser.get("/console").await.status, 200);
    let out = http.send(Method::POST, "/console/sign-out", &[FROM_HERE], "").await;
    assert!(out.header("set-cookie").unwrap().starts_with("florin_key=;"), "{out:?}");
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"), "{out:?}");
    assert!(world.store.revoke_key("person").await.unwrap());
    // Keys are cached for a second.
    while browser.get("/console").await.status != 303 {}
    assert!(!service.log().contains(&good));
}

#[tokio::test]
async fn forms_from_elsewhere_are_refused() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let operator = Browser::with_role(&world, &service, Role::Operator).await;
    let id = hold(&world, &operator.http).await;
    let path = format!("/console/transactions/{id}/cancel");
    let cookie = ("cookie", operator.cookie.as_str());
    let own = format!("http://{}", service.http_address);
    for from in [None, Some(("sec-fetch-site", "cross-site")), Some(("origin", "http://evil"))] {
        let headers: Vec<_> = [cookie, FORM].into_iter().chain(from).collect();
        let refused = operator.http.send(Method::POST, &path, &headers, "").await;
        assert_eq!(refused.status, 403, "{from:?}");
        assert_is_page(&refused);
        let refused = operator.http.send(Method::POST, "/console/sign-in", &headers, "key=x").await;
        assert_eq!(refused.status, 403, "{from:?}");
    }
    let headers = [cookie, FORM, ("origin", own.as_str())];
    let taken = operator.http.send(Method::POST, &path, &headers, "").await;
    assert_eq!(taken.status, 200, "{taken:?}");
    let late = operator.http.send(Method::POST, &path, &[FROM_HERE, FORM], "").await;
    assert_eq!(late.status, 401, "without a session there is nothing to be done");
}

#[tokio::test]
async fn an_operator_settles_a_part_and_sees_it() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let operator = Browser::with_role(&world, &service, Role::Operator).await;
    let id = hold(&world, &operator.http).await;
    let pending = operator.get("/console/pending").await.text;
    assert!(pending.contains(&id) && pending.contains("4.00"), "{pending}");
    let here = format!("/console/transactions/{id}");
    let shown = operator.get(&here).await.text;
    assert!(shown.contains(&format!("{here}/settle")), "{shown}");
    assert!(shown.contains("&lt;b&gt;&amp;&lt;/b&gt;") && !shown.contains("<b>"), "{shown}");
    let asked = operator.get(&format!("{here}/settle")).await.text;
    assert!(asked.contains(r#"name="amount" value="4""#) && asked.contains("Settle 4.00 USD"), "{asked}");

    let too_much = operator.post(&format!("{here}/settle"), "amount=5").await;
    assert_eq!(too_much.status, 400);
    assert!(too_much.text.contains("/docs#exceeds_pending"), "{}", too_much.text);
    let nonsense = operator.post(&format!("{here}/settle"), "amount=all").await;
    assert_eq!(nonsense.status, 400);
    let settled = operator.post(&format!("{here}/settle"), "amount=2.50").await;
    assert_eq!(settled.status, 200, "{settled:?}");
    assert!(settled.text.contains("2.5 were settled"), "{}", settled.text);
    assert!(!settled.text.contains(&format!("{here}/settle")), "no longer pending: {}", settled.text);
    let late = operator.post(&format!("{here}/cancel"), "").await;
    assert_eq!(late.status, 409);
    assert!(late.text.contains("/docs#already_final"), "{}", late.text);

    let wallet = operator.get("/console/wallets/1").await.text;
    assert!(wallet.contains("8.00"), "10.50 less 2.50: {wallet}");
    assert_eq!(world.ledger().await.balances().await["1/USD"], "8");
    assert!(operator.get("/console/pending").await.text.contains("Nothing pending"));
    world.ledger().await.assert_sound().await;
}

#[tokio::test]
async fn others_see_no_buttons_and_are_refused() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    for role in [Role::Reader, Role::Client] {
        let browser = Browser::with_role(&world, &service, role).await;
        let id = hold(&world, &browser.http).await;
        let here = format!("/console/transactions/{id}");
        let shown = browser.get(&here).await;
        assert_eq!(shown.status, 200);
        assert!(!shown.text.contains("/settle") && !shown.text.contains("Dead letters"), "{}", shown.text);
        for path in [format!("{here}/settle"), format!("{here}/cancel"), "/console/dead/abc".into()] {
            assert_eq!(browser.get(&path).await.status, 403, "{role} {path}");
            assert_eq!(browser.post(&path, "action=drop").await.status, 403, "{role} {path}");
        }
        assert_eq!(browser.get("/console/dead").await.status, 403);
    }
    let narrow = Browser::with_wallets(&world, &service, Role::Operator, Some(2..=3)).await;
    let id = hold(&world, &narrow.http).await;
    // As if there were no such transaction.
    assert_eq!(narrow.get(&format!("/console/transactions/{id}")).await.status, 404);
    assert_eq!(narrow.post(&format!("/console/transactions/{id}/cancel"), "").await.status, 404);
    assert_eq!(narrow.get("/console/wallets/1").await.status, 403);
    assert!(!narrow.get("/console/pending").await.text.contains(&id));
    for numbers in ["/console/live", &format!("/console/pending?after={id}")] {
        let answer = narrow.get(numbers).await;
        assert!(!answer.text.contains(&id) && !answer.text.contains("event:"), "{answer:?}");
    }
    assert_eq!(narrow.get("/console/live").await.status, 403);
    let overview = narrow.get("/console").await.text;
    assert!(!overview.contains("Pending transactions") && !overview.contains("live.js"), "{overview}");
    let wallets = narrow.get("/console/wallets").await.text;
    assert!(wallets.contains("/console/wallets/2") && !wallets.contains("/console/wallets/1"), "{wallets}");
}

#[tokio::test]
async fn search_leads_to_wallets_and_transactions() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let reader = Browser::with_role(&world, &service, Role::Reader).await;
    let search = async |words: &str| reader.get(&format!("/console/search?q={words}")).await;
    assert_eq!(search("7").await.header("location"), Some("/console/wallets/7"));
    let transaction = format!("/console/transactions/{UNKNOWN}");
    assert_eq!(search(UNKNOWN).await.header("location"), Some(transaction.as_str()));
    assert_eq!(search("seven").await.status, 400);
    assert_eq!(reader.get(&transaction).await.status, 404);
    assert_eq!(reader.get("/console/wallets/99").await.status, 404);
    assert_eq!(reader.get("/console/wallets/x").await.status, 400);
    assert_eq!(reader.get("/console/wallets?from=x").await.status, 400);
    assert!(
        reader
            .get("/console/wallets?from=10")
            .await
            .text
            .contains("Your key covers no wallet with this number or a higher one")
    );
    assert!(reader.get("/console/wallets/7").await.text.contains("This wallet has no postings yet"));
    assert!(reader.get("/console/pending").await.text.contains("Nothing pending"));
}

#[tokio::test]
async fn wallets_and_histories_have_pages() {
    let world = World::new().await;
    world.store.create_wallets(100..=199).await.unwrap();
    let service = Service::start(&world, &[]).await;
    let reader = Browser::with_role(&world, &service, Role::Reader).await;
    assert!(reader.get("/console/wallets").await.text.contains("/console/wallets?from=141"));
    let client = reader.http.with_key(&key(&world, "shop", Role::Client, None).await);
    for _ in 0..52 {
        client.post("/invoice", r#"{"wallet_id":1,"ticker":"USD","amount":1}"#).await;
    }
    let first = reader.get("/console/wallets/1?ticker=USD").await.text;
    assert_eq!(first.matches("<tr>").count(), 51, "{first}");
    assert!(first.contains("<svg") && first.contains("the last 52 postings"), "{first}");
    let next = first.split("href=\"").find(|link| link.contains("before=")).unwrap();
    let next = next.split('"').next().unwrap().replace("&amp;", "&");
    let second = reader.get(&next).await.text;
    assert_eq!(second.matches("<tr>").count(), 3, "{second}");
    assert!(second.contains("First page"), "{second}");
    assert_eq!(reader.get("/console/wallets/1?ticker=XXX").await.status, 400);
    let injected = reader.get("/console/wallets/1?ticker=%22%3E%3Cscript%3E").await;
    assert!(!injected.text.contains("<script>"), "{}", injected.text);
}

#[tokio::test]
async fn dead_letters_are_shown_requeued_and_dropped() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let operator = Browser::with_role(&world, &service, Role::Operator).await;
    assert!(operator.get("/console/dead").await.text.contains("No dead letters"));
    let broker = SeedClient::connect(&world.amqp_url).await;
    for wallet_id in [1, 2] {
        let body = format!(r#"{{"wallet_id":{wallet_id},"ticker":"USD","amount":1}}"#);
        let (exchange, options) = ("florin.dead".into(), BasicPublishOptions::default());
        let properties = BasicProperties::default();
        let sent =
            broker.channel.basic_publish(exchange, "invoice".into(), options, body.as_bytes(), properties);
        sent.await.unwrap().await.unwrap();
    }
    let letters = |list: &str| -> Vec<String> {
        let links = list.split("href=\"/console/dead/").skip(1);
        links.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    let list = operator.until("/console/dead", |answer| letters(&answer.text).len() == 2).await;
    let ids = letters(&list.text);
    let here = format!("/console/dead/{}", ids[0]);
    let shown = operator.until(&here, |answer| answer.status == 200).await.text;
    assert!(shown.contains("&quot;wallet_id&quot;") && shown.contains("?ask=requeue"), "{shown}");
    let asked = operator.until(&format!("{here}?ask=drop"), |answer| answer.status == 200).await.text;
    operator.until("/console/dead", |answer| letters(&answer.text).len() == 2).await;
    assert!(asked.contains("removed for good") && asked.contains(r#"name="action" value="drop""#), "{asked}");
    let deal = async |id: &str, action: &str| loop {
        // What was read a moment ago may still be on its way back to the queue.
        let answer = operator.post(&format!("/console/dead/{id}"), &format!("action={action}")).await;
        if answer.status != 404 {
            return answer;
        }
    };
    let requeued = deal(&ids[0], "requeue").await;
    assert!(requeued.status == 200 && requeued.text.contains("is in the work queue again"), "{requeued:?}");
    let dropped = deal(&ids[1], "drop").await;
    assert!(dropped.status == 200 && dropped.text.contains("is gone for good"), "{dropped:?}");
    operator.until("/console/dead", |answer| answer.text.contains("No dead letters")).await;
    assert_eq!(operator.post(&here, "action=drop").await.status, 404);
    // Whose letters these are nobody can tell.
    let limited = Browser::with_wallets(&world, &service, Role::Operator, Some(1..=1)).await;
    assert!(!limited.get("/console").await.text.contains("/console/dead"));
    for path in ["/console/dead", here.as_str()] {
        assert_eq!(limited.get(path).await.status, 403, "{path}");
    }
    assert_eq!(limited.post(&here, "action=requeue").await.status, 403);
    service
        .metric(r#"app_queries_status_counter{operation="invoice",status="200",transport="amqp"} 1"#)
        .await;
}

/// The pages of a restricted key lead from one transaction of its own to the next.
#[tokio::test]
async fn pages_of_holds_name_no_transaction_of_others() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let client = Http::of(&service).with_key(&key(&world, "shop", Role::Client, None).await);
    let hold =
        |wallet_id: i64| format!(r#"{{"wallet_id":{wallet_id},"ticker":"USD","amount":1,"pending":true}}"#);
    let (mut own, mut foreign) = (Vec::new(), Vec::new());
    for _ in 0..51 {
        for (wallet_id, ids) in [(1, &mut foreign), (2, &mut own)] {
            let held = client.post("/invoice", &hold(wallet_id)).await.json();
            ids.push(held["body"]["transaction_id"].as_str().unwrap().to_owned());
        }
    }
    let narrow = Browser::with_wallets(&world, &service, Role::Reader, Some(2..=3)).await;
    let first = narrow.get("/console/pending").await.text;
    let next = first.split("href=\"").find(|link| link.starts_with("/console/pending?after=")).unwrap();
    let next = next.split('"').next().unwrap();
    assert_eq!(next, format!("/console/pending?after={}", own[49]));
    let second = narrow.get(next).await.text;
    assert!(second.contains(&own[50]) && !second.contains(&own[49]), "{second}");
    assert!(!second.contains("Next page"), "{second}");
    assert!(foreign.iter().all(|id| !first.contains(id) && !second.contains(id)));
    // A foreign transaction is as good as none.
    let foreign = narrow.get(&format!("/console/pending?after={}", foreign[0])).await.text;
    assert_eq!(foreign, narrow.get(&format!("/console/pending?after={UNKNOWN}")).await.text);
}

#[tokio::test]
async fn without_keys_nobody_signs_in() {
    let world = World::new().await;
    let service = Service::start(&world, &[("FLORIN_HTTP_AUTH", "false")]).await;
    let anybody = Browser { http: Http::of(&service), cookie: String::new() };
    for path in ["/console", "/console/wallets", "/console/wallets/1", "/console/pending", "/console/dead"] {
        let answer = anybody.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text.contains("Sign out"), "{path}");
    }
}
