//! A stepped clock moves the time of day of a running process, and not how long it waits.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use florin_faults::clock::Clock;

const PAUSE: Duration = Duration::from_millis(200);
/// What each line of the teller begins with.
const MARK: &str = "it is";

fn now_secs() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

/// For each line that it gets, it waits a little and says the time, and how long it waited, in milliseconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process whose clock is stepped: started by the other test"]
async fn teller() {
    for line in std::io::stdin().lines() {
        line.unwrap();
        let started = Instant::now();
        tokio::time::sleep(PAUSE / 2).await;
        let sleep = tokio::task::spawn_blocking(|| std::thread::sleep(PAUSE / 2));
        tokio::time::timeout(20 * PAUSE, sleep).await.unwrap().unwrap();
        println!("{MARK} {} {}", now_secs(), started.elapsed().as_millis());
    }
}

#[test]
fn the_time_of_day_is_stepped_there_and_back_and_durations_stay() {
    if let Err(reason) = Clock::available() {
        println!("skipped: {reason}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::create(&folder.path().join("clock")).unwrap();
    let mut teller = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "clock::teller", "--ignored", "--nocapture"])
        .envs(clock.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ask = teller.stdin.take().unwrap();
    let answers = BufReader::new(teller.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut answers = answers.filter_map(|line| {
        let (_, told) = line.split_once(MARK)?;
        let (time, waited) = told.trim().split_once(' ')?;
        Some((time.parse::<i64>().unwrap(), waited.parse().map(Duration::from_millis).unwrap()))
    });
    for ahead_secs in [0, 3600, -7200, 0] {
        clock.step(ahead_secs).unwrap();
        let stepped = Instant::now();
        loop {
            ask.write_all(b"?\n").unwrap();
            let (time, waited) = answers.next().expect("an answer");
            assert!((PAUSE..10 * PAUSE).contains(&waited), "{waited:?}");
            let ahead = time - now_secs();
            if (ahead - ahead_secs).abs() <= 2 {
                break;
            }
            assert!(stepped.elapsed().as_secs() < 10, "ahead by {ahead} instead of {ahead_secs}");
        }
    }
    drop(ask);
    assert!(teller.wait().unwrap().success());
}
