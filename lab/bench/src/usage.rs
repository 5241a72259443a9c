//! Processor time and memory of processes, from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::ops::Sub;

use crate::results::Cpu;

/// Ticks per second in `/proc`, whatever the kernel's own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    pub(crate) services: Vec<u32>,
    pub(crate) postgresql: Option<u32>,
    pub(crate) rabbitmq: Option<u32>,
}

impl Watched {
    pub(crate) fn cpu(&self) -> Cpu {
        let table = Table::read();
        Cpu {
            requests: 0,
            service: self.services.iter().map(|pid| table.seconds(*pid)).sum(),
            postgresql: self.postgresql.map_or(0.0, |pid| table.seconds(pid)),
            rabbitmq: self.rabbitmq.map_or(0.0, |pid| table.seconds(pid)),
            client: of_children(),
        }
    }

    /// Memory of the services, in KiB.
    pub(crate) fn service_kib(&self) -> u64 {
        self.services.iter().filter_map(|pid| resident_kib(*pid)).sum()
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            service: self.service - earlier.service,
            postgresql: self.postgresql - earlier.postgresql,
            rabbitmq: self.rabbitmq - earlier.rabbitmq,
            client: self.client - earlier.client,
        }
    }
}

/// The children of this program that have ended, and theirs: the load generators and the echo.
fn of_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    times(&stat).map_or(0.0, |[_, _, user, system]| (user + system) as f64 / TICKS_PER_SECOND)
}

/// Memory of one process, in KiB.
pub(crate) fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[derive(Debug, Default)]
struct Table {
    ticks: HashMap<u32, u64>,
    children: HashMap<u32, Vec<u32>>,
}

impl Table {
    fn read() -> Self {
        let mut table = Self::default();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that has just ended is counted by its parent.
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if let Some((parent, ticks)) = parse_stat(&stat) {
                table.ticks.insert(pid, ticks);
                table.children.entry(parent).or_default().push(pid);
            }
        }
        table
    }

    /// Of the process, of all that descend from it, and of those of them that have ended.
    fn seconds(&self, root: u32) -> f64 {
        let mut ticks = 0;
        let mut next = vec![root];
        while let Some(pid) = next.pop() {
            ticks += self.ticks.get(&pid).copied().unwrap_or_default();
            next.extend(self.children.get(&pid).into_iter().flatten());
        }
        ticks as f64 / TICKS_PER_SECOND
    }
}

/// The parent, and the time of the process with that of its children that were waited for.
fn parse_stat(stat: &str) -> Option<(u32, u64)> {
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    Some((parent, times(stat)?.iter().sum()))
}

/// In `/proc/PID/stat` come, after the name in parentheses: state, parent, ..., utime, stime, cutime, cstime.
fn times(stat: &str) -> Option<[u64; 4]> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse().ok();
    Some([next()?, next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_name_is() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 300 4000 20 0 1 0 99 1 1";
        assert_eq!(parse_stat(stat), Some((3, 4330)));
        assert_eq!(parse_stat("7 (a) S 3"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_tree_is_added_up() {
        let table = Table {
            ticks: HashMap::from([(1, 100), (2, 50), (3, 25), (4, 1000)]),
            children: HashMap::from([(1, vec![2]), (2, vec![3]), (9, vec![4])]),
        };
        assert!((table.seconds(1) - 1.75).abs() < 1e-9);
        assert!(table.seconds(77).abs() < 1e-9);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let own = std::process::id();
        assert!(resident_kib(own).unwrap() > 100);
        assert!(Table::read().ticks.contains_key(&own));
    }
}
