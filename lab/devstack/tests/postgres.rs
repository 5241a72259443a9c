//! PostgreSQL alone: the quick tests of what both servers share.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::is_alive;
use devstack::{Error, Options, Postgres};

fn root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

fn uid(pid: u32) -> u32 {
    std::fs::metadata(format!("/proc/{pid}")).unwrap().uid()
}

fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// A folder that the servers can get to when they run as another user.
fn reachable_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn in_dir(dir: &Path) -> Options {
    Options { data_dir: Some(dir.to_owned()), ..Options::default() }
}

#[test]
fn it_answers_and_leaves_nothing() {
    let postgres = Postgres::launch(&Options::default()).unwrap();
    assert_eq!(postgres.psql("florin", "SELECT 1").unwrap(), "1");
    assert!(postgres.url().ends_with("/florin"));

    let folder = postgres.folder().to_owned();
    let pid = postgres.pid().unwrap();
    let all = [vec![pid], children(pid)].concat();
    assert!(all.len() > 3);
    if root() {
        assert!(all.iter().all(|pid| uid(*pid) != 0));
    }
    drop(postgres);
    assert!(all.iter().all(|pid| !is_alive(*pid)));
    assert!(!folder.exists());
}

#[test]
fn it_keeps_port_and_data_over_kill_and_restart() {
    let mut postgres = Postgres::launch(&Options::default()).unwrap();
    let url = postgres.create_database("other").unwrap();
    assert!(url.ends_with(&format!(":{}/other", postgres.port())), "{url}");
    postgres.psql("other", "CREATE TABLE t AS SELECT 7 AS x").unwrap();

    let port = postgres.port();
    let pid = postgres.pid().unwrap();
    let all = [vec![pid], children(pid)].concat();
    postgres.kill();
    assert!(all.iter().all(|pid| !is_alive(*pid)));
    assert_eq!(postgres.pid(), None);
    assert!(postgres.psql("other", "SELECT 1").is_err());

    postgres.start().unwrap();
    assert_ne!(postgres.pid(), Some(pid));
    assert_eq!(postgres.port(), port);
    assert_eq!(postgres.psql("other", "SELECT x FROM t").unwrap(), "7");

    postgres.restart().unwrap();
    assert_eq!(postgres.psql("other", "SELECT x FROM t").unwrap(), "7");
}

#[test]
fn it_can_be_killed_by_its_id_and_started_again() {
    let mut postgres = Postgres::launch(&Options::default()).unwrap();
    let pid = nix::unistd::Pid::from_raw(postgres.pid().unwrap().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    // It is our child: wait for its end without reaping it, as that is devstack's business.
    let ended = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
    nix::sys::wait::waitid(nix::sys::wait::Id::Pid(pid), ended).unwrap();
    postgres.start().unwrap();
    assert_eq!(postgres.psql("florin", "SELECT 1").unwrap(), "1");
}

#[test]
fn a_suspended_server_goes_on_or_is_stopped() {
    let mut postgres = Postgres::launch(&Options::default()).unwrap();
    let pid = postgres.pid().unwrap();
    postgres.suspend().unwrap();
    for process in [vec![pid], children(pid)].concat() {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        assert!(stat.contains(") T ") || stat.contains(") Z "), "{stat}");
    }
    postgres.resume();
    assert_eq!(postgres.psql("florin", "SELECT 1").unwrap(), "1");

    postgres.suspend().unwrap();
    postgres.stop();
    assert!(!is_alive(pid));
}

#[test]
fn a_given_folder_keeps_its_data_from_run_to_run() {
    let dir = reachable_dir();
    let postgres = Postgres::launch(&in_dir(dir.path())).unwrap();
    postgres.psql("florin", "CREATE TABLE t AS SELECT 7 AS x").unwrap();
    drop(postgres);
    assert!(dir.path().join("postgres/data/PG_VERSION").exists());

    let postgres = Postgres::launch(&in_dir(dir.path())).unwrap();
    assert_eq!(postgres.psql("florin", "SELECT x FROM t").unwrap(), "7");
}

#[test]
fn a_folder_out_of_reach_is_a_clear_error() {
    if !root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let error = Postgres::launch(&in_dir(dir.path())).unwrap_err();
    assert!(matches!(error, Error::Folder { .. }));
    assert!(error.to_string().contains("nobody"), "{error}");
}

#[test]
fn a_taken_port_is_an_error_with_the_log() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Postgres::launch(&Options { postgres_port: Some(port), ..Options::default() }).unwrap_err();
    assert!(error.to_string().contains("Address already in use"), "{error}");
}

#[test]
fn settings_and_names_are_checked() {
    let settings = vec![("max_connections".to_owned(), "123".to_owned())];
    let postgres = Postgres::launch(&Options { postgres_settings: settings, ..Options::default() }).unwrap();
    assert_eq!(postgres.psql("florin", "SHOW max_connections").unwrap(), "123");
    for durable in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(postgres.psql("florin", &format!("SHOW {durable}")).unwrap(), "on");
    }
    assert!(matches!(postgres.create_database("a\"b").unwrap_err(), Error::Name(_)));
}
