//! Makes sure that no process is left behind.
//!
//! Every server and every instance of the service has a guard of its own (`devstack`), which ends it when
//! this process is gone, however it went. What those leave while this process runs (the backends of a
//! PostgreSQL that was killed, the helpers of an Erlang machine) comes to this process, since it is a
//! subreaper: here it is reaped, and at the end looked for.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tokio_util::sync::CancellationToken;

/// A parent reaps its child sooner than this. What has been a zombie for longer is an orphan that came to us.
const OWN_LIMIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long what is left may take to end by itself, and then after it was killed.
const GONE_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// From now on orphans become our children.
pub fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    Ok(())
}

/// Reaps orphans until `stop`.
pub async fn reap(stop: CancellationToken) {
    let mut seen: BTreeSet<i32> = BTreeSet::new();
    let mut since = Instant::now();
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        if since.elapsed() < OWN_LIMIT {
            continue;
        }
        since = Instant::now();
        let ended: BTreeSet<i32> =
            children().into_iter().filter(|child| child.ended).map(|child| child.pid).collect();
        for pid in ended.intersection(&seen) {
            reap_one(*pid);
        }
        seen = ended;
    }
}

/// Waits until all children are gone, those that came to us included; what stays is killed. Returns the names
/// of those.
#[must_use]
pub fn clear() -> Vec<String> {
    let mut left = Vec::new();
    for kills in [false, true] {
        let end = Instant::now() + GONE_LIMIT;
        loop {
            let children = children();
            if children.is_empty() {
                return left;
            }
            for child in &children {
                if child.ended {
                    reap_one(child.pid);
                } else if kills {
                    left.push(format!("{} ({})", child.name, child.pid));
                    // It may have ended in this moment.
                    let _ = kill(Pid::from_raw(child.pid), Signal::SIGKILL);
                }
            }
            if Instant::now() > end {
                break;
            }
            thread::sleep(PAUSE);
        }
        left.dedup();
    }
    left
}

fn reap_one(pid: i32) {
    // Somebody else may have been faster.
    let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
}

struct Child {
    pid: i32,
    name: String,
    ended: bool,
}

fn children() -> Vec<Child> {
    let own = Pid::this().as_raw();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (start, end) = stat.rsplit_once(')')?;
            let mut fields = end.split_whitespace();
            let state = fields.next()?;
            let parent: i32 = fields.next()?.parse().ok()?;
            let name = start.split_once('(')?.1.to_owned();
            (parent == own).then(|| Child { pid, name, ended: state == "Z" || state == "X" })
        })
        .collect()
}
