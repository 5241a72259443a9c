//! RabbitMQ, and both servers: nothing stays behind when the caller is killed.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use common::is_alive;
use devstack::{Options, Rabbit, Stack};

const DECLARE_QUORUM_QUEUE: &str = "rabbit_amqqueue:declare(rabbit_misc:r(<<\"other\">>, queue, \
    <<\"q\">>), true, false, [{<<\"x-queue-type\">>, longstr, <<\"quorum\">>}], none, <<\"florin\">>).";

#[test]
fn rabbit_keeps_port_and_data_over_kill_and_restart() {
    let mut rabbit = Rabbit::launch(&Options::default()).unwrap();
    let url = rabbit.create_vhost("other").unwrap();
    assert_eq!(url, format!("amqp://florin:florin@127.0.0.1:{}/other", rabbit.port()));
    rabbit.ctl(&["eval", DECLARE_QUORUM_QUEUE]).unwrap();

    let (port, pid) = (rabbit.port(), rabbit.pid().unwrap());
    if nix::unistd::Uid::effective().is_root() {
        assert_ne!(std::fs::metadata(format!("/proc/{pid}")).unwrap().uid(), 0);
    }
    rabbit.kill();
    assert!(!is_alive(pid));
    rabbit.start().unwrap();
    assert_eq!(rabbit.port(), port);
    assert_ne!(rabbit.pid(), Some(pid));

    rabbit.suspend().unwrap();
    rabbit.resume();
    rabbit.restart().unwrap();
    let queues = rabbit.ctl(&["list_queues", "--vhost", "other", "name", "type", "state"]).unwrap();
    assert!(queues.contains("q\tquorum\trunning"), "{queues}");
}

#[test]
fn a_command_for_a_node_that_is_gone_leaves_nothing() {
    let mut rabbit = Rabbit::launch(&Options::default()).unwrap();
    let folder = [rabbit.folder().to_owned()];
    rabbit.kill();
    let before = processes_in(&folder);
    assert!(rabbit.ctl(&["status"]).is_err());
    assert_eq!(processes_in(&folder), before);
}

#[test]
fn a_stack_leaves_nothing_when_dropped_in_a_panic() {
    let started = Mutex::new(None);
    let result = std::panic::catch_unwind(|| {
        let stack = Stack::start(&Options::default()).unwrap();
        assert_eq!(stack.postgres.psql("florin", "SELECT 1").unwrap(), "1");
        assert!(stack.rabbit.ctl(&["list_vhosts"]).unwrap().contains('/'));
        *started.lock().unwrap() = Some((
            [stack.postgres.pid().unwrap(), stack.rabbit.pid().unwrap()],
            [stack.postgres.folder().to_owned(), stack.rabbit.folder().to_owned()],
        ));
        panic!("on purpose");
    });
    assert!(result.is_err());
    let (pids, folders) = started.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap();
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    assert!(folders.iter().all(|folder| !folder.exists()));
}

#[test]
fn a_killed_caller_leaves_nothing() {
    kill_holder(&[]);
}

#[test]
fn a_killed_caller_leaves_nothing_of_restarted_and_suspended_servers() {
    kill_holder(&["--rough"]);
}

fn kill_holder(arguments: &[&str]) {
    let mut holder = Holder::start(arguments);
    let running = processes_in(&holder.folders);
    assert!(running.len() >= 5, "{running:?}");
    // The guard holds these locks until it has done its work.
    let locks = holder.folders.each_ref().map(|folder| File::open(folder.join("lock")).unwrap());

    holder.child.kill().unwrap();
    holder.child.wait().unwrap();
    for lock in locks {
        lock.lock().unwrap();
    }
    for pid in running.iter().chain(&holder.pids) {
        assert!(!is_alive(*pid), "process {pid} is still there");
    }
    assert!(holder.folders.iter().all(|folder| !folder.exists()));
    assert_eq!(processes_in(&holder.folders), []);
}

/// The example `hold` as a process of its own.
struct Holder {
    child: Child,
    pids: [u32; 2],
    folders: [PathBuf; 2],
}

impl Holder {
    fn start(arguments: &[&str]) -> Self {
        // Cargo builds the examples along with the tests, next to them.
        let tests = std::env::current_exe().unwrap();
        let program = tests.parent().and_then(Path::parent).unwrap().join("examples/hold");
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        let (postgres, postgres_folder) = (line().parse().unwrap(), line().into());
        let (rabbit, rabbit_folder) = (line().parse().unwrap(), line().into());
        Self { child, pids: [postgres, rabbit], folders: [postgres_folder, rabbit_folder] }
    }
}

/// The processes whose working directory, command line or home is in one of the folders.
fn processes_in(folders: &[PathBuf]) -> Vec<u32> {
    let in_folder = |pid: &u32| {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let cwd = std::fs::read_link(proc.join("cwd")).unwrap_or_default();
        let command = std::fs::read(proc.join("cmdline")).unwrap_or_default();
        let environment = std::fs::read(proc.join("environ")).unwrap_or_default();
        let words = String::from_utf8_lossy(&[command, environment].concat()).into_owned();
        folders.iter().any(|folder| cwd.starts_with(folder) || words.contains(folder.to_str().unwrap()))
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(in_folder)
        .filter(|pid| is_alive(*pid))
        .collect()
}
