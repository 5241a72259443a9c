//! What `florin verify` prints, its exit codes, and how it is interrupted.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn people_programs_and_scripts_are_told() {
    let damaged = Damaged::new().await;
    let sound = damaged.output(&[]);
    let text = String::from_utf8(sound.stdout).unwrap();
    assert!(sound.status.success() && sound.stderr.is_empty(), "{text}");
    let verdict = format!(
        "Verdict: the ledger is sound: {POSTINGS} postings, {} checks, no findings\n",
        Check::ALL.len()
    );
    assert!(text.ends_with(&verdict), "{text}");

    // What expired and was not ended is no fault of the data.
    let sql =
        "UPDATE postings SET expires_at = '2026-01-03Z' WHERE expires_at = '2999-01-01Z' AND wallet_id = 2;
               UPDATE holds SET expires_at = '2026-01-03Z' WHERE expires_at = '2999-01-01Z'";
    damaged.tamper(sql).await;
    let warned = damaged.output(&["--json"]);
    let json: serde_json::Value = serde_json::from_slice(&warned.stdout).unwrap();
    assert_eq!((warned.status.code(), &json["sound"]), (Some(0), &true.into()), "{json:#}");
    let expiry = json["checks"].as_array().unwrap().iter().find(|check| check["check"] == "expiry").unwrap();
    assert_eq!((&expiry["findings"], &expiry["warning"]), (&1.into(), &true.into()));
    assert_eq!(expiry["first"][0]["transaction_id"], id(10));

    damaged.tamper("UPDATE postings SET actual_after = actual_after + 1 WHERE wallet_id = 1").await;
    let unsound = damaged.output(&["--limit", "1", "--connections", "1"]);
    // Not the code of a failure: that would be the same for "no database".
    assert_eq!((unsound.status.code(), unsound.stderr.len()), (Some(3), 0));
    let text = String::from_utf8(unsound.stdout).unwrap();
    // Only the first differs from the one before by something else than its change.
    assert!(text.contains("balances: 1 finding, 1 shown") && text.contains("money: 1 finding,"), "{text}");
    let verdict = text.lines().last().unwrap();
    assert!(verdict.starts_with("Verdict: 2 findings by 2 of "), "{verdict}");
    assert!(verdict.ends_with(", 1 warning: the ledger is not sound"), "{verdict}");
    assert_eq!(damaged.output(&["--connections", "0"]).status.code(), Some(2));
}

/// The server is not left at work for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_it_at_once() {
    let damaged = Damaged::new().await;
    let waiting = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let other = Ledger::open(&damaged.url).await;
    other.sql.batch_execute("BEGIN; LOCK TABLE holds IN ACCESS EXCLUSIVE MODE").await.unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut child = damaged.florin_verify(&[]).spawn().unwrap();
        until(&damaged.ledger, waiting, |count| count > 0).await;
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        until(&damaged.ledger, waiting, |count| count == 0).await;
    }
}
