//! A quick run on real servers: it measures, keeps the results, makes a report, and leaves nothing behind.
//! Speed is not checked.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_florin-benchmarks");

/// The service is another package's: there when the whole workspace was built.
fn florin_is_built() -> bool {
    let built = Path::new(PROGRAM).with_file_name("florin").is_file();
    if !built {
        eprintln!("skipped: florin is not built beside {PROGRAM}");
    }
    built
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|own| own == extension)).collect()
}

#[test]
fn a_quick_run_measures_and_reports() {
    if !florin_is_built() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let quick = ["run", "--quick", "--only", "latency", "--duration", "200ms", "--out", out];
    let output = run(&quick);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let results = files(folder.path(), "json").pop().unwrap();
    let run_of: Value = serde_json::from_str(&fs::read_to_string(&results).unwrap()).unwrap();
    assert_eq!(run_of["left_out"], Value::Array(Vec::new()));
    let cases = run_of["scenarios"][0]["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        assert!(case["rounds"][0]["requests"].as_u64().unwrap() > 0, "{case}");
    }
    let report = fs::read_to_string(results.with_extension("md")).unwrap();
    assert!(report.contains("one call at a time, latency beyond the echo (p50): mix"), "{report}");
    assert!(report.contains("This was a quick run"), "{report}");

    // The same from the file alone.
    fs::remove_file(results.with_extension("md")).unwrap();
    assert!(run_report(&results).status.success());
    assert_eq!(fs::read_to_string(results.with_extension("md")).unwrap(), report);
}

fn run_report(results: &Path) -> Output {
    run(&["report", results.to_str().unwrap()])
}

#[test]
fn an_interrupted_run_leaves_no_process_and_no_folder() {
    if !florin_is_built() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (out, temporary) = (folder.path().join("out"), folder.path().join("tmp"));
    fs::create_dir(&temporary).unwrap();
    // The servers may run as another user, who has to get there.
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["run", "--only", "single", "--out", out.to_str().unwrap()])
        .env("TMPDIR", &temporary)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // In the middle of whatever it does then.
    let end = Instant::now() + Duration::from_secs(60);
    while fs::read_dir(&temporary).unwrap().count() < 3 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert!(!child.wait().unwrap().success());
    let left: Vec<_> = fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_cannot_be_measured_is_refused_at_once() {
    let unknown = run(&["run", "--only", "nonsense"]);
    assert!(!unknown.status.success());
    let text = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(text.contains("nonsense") && text.contains("single"), "{text}");
    let missing = run_report(Path::new("/nonexistent.json"));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nonexistent.json"));
    let list = run(&["list"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("coalescing"));
}
