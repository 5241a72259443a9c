//! How postings read.

use super::*;

/// Direction, thousands and expiry, as an accountant and support staff read them.
#[tokio::test]
async fn postings_show_the_direction_of_the_money() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let reader = Browser::with_role(&world, &service, Role::Reader).await;
    let client = reader.http.with_key(&key(&world, "mover", Role::Client, None).await);
    for (path, body) in [
        ("/invoice", r#"{"wallet_id":1,"ticker":"USD","amount":1234567.5}"#),
        ("/withdraw", r#"{"wallet_id":1,"ticker":"USD","amount":7}"#),
        ("/transfer", r#"{"wallet_id":1,"to_wallet_id":2,"ticker":"USD","amount":3}"#),
    ] {
        assert_eq!(client.post(path, body).await.status, 200, "{path}");
    }
    let text =
        |page: &str| page.split('<').filter_map(|tag| tag.split_once('>')).map(|(_, text)| text).collect();
    let payer: String = text(&reader.get("/console/wallets/1").await.text);
    for shown in ["+1,234,567.50", "−7.00", "−3.00", "transfer to 2"] {
        assert!(payer.contains(shown), "{shown}: {payer}");
    }
    let payee: String = text(&reader.get("/console/wallets/2").await.text);
    assert!(payee.contains("+3.00") && payee.contains("transfer from 1"), "{payee}");

    let hold = r#"{"wallet_id":1,"ticker":"USD","amount":1,"pending":true,"timeout":1}"#;
    let held = client.post("/withdraw", hold).await.json();
    let path = format!("/console/transactions/{}", held["body"]["transaction_id"].as_str().unwrap());
    let expired = reader.until(&path, |answer| answer.text.contains("Expired automatically")).await;
    assert!(!expired.text.contains("amqp:"), "nobody in person ended it: {}", expired.text);
    assert!(expired.text.contains("Requested by"), "{}", expired.text);
}
