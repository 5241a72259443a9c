//! Small disks: what was flushed survives a power cut, what was not is lost, and servers get over it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use devstack::{Options, Postgres};
use florin_faults::disk::{LoopDisk, keep_mounts_private};

const MIB: u64 = 1 << 20;

/// A folder for disks, unless there can be none here. Mounts are those of this test's thread alone.
fn place() -> Option<tempfile::TempDir> {
    if let Err(reason) = LoopDisk::available().and_then(|()| keep_mounts_private()) {
        println!("skipped: {reason}");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Some(folder)
}

fn write(path: &Path, text: &str) -> File {
    let mut file = File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == path.to_str())
}

#[test]
fn a_power_cut_loses_what_was_not_flushed_and_a_drop_leaves_nothing() {
    let Some(folder) = place() else { return };
    let (image, path) = (folder.path().join("image"), folder.path().join("disk"));
    let disk = LoopDisk::create(&image, &path, 64 * MIB).unwrap();
    for round in 0..3 {
        let flushed = path.join(format!("flushed{round}"));
        let unflushed = path.join(format!("unflushed{round}"));
        write(&flushed, "kept").sync_all().unwrap();
        File::open(&path).unwrap().sync_all().unwrap();
        let open = write(&unflushed, "lost");
        disk.cut_power().unwrap();
        assert!(File::create(path.join("late")).is_err());
        // Also when somebody has not let go of it yet.
        disk.restore().unwrap();
        drop(open);
        assert_eq!(fs::read_to_string(&flushed).unwrap(), "kept");
        assert!(!unflushed.exists());
    }
    assert!(is_mounted(&path));
    drop(disk);
    assert!(!is_mounted(&path) && !image.exists());
}

#[test]
fn a_full_disk_takes_nothing_until_it_is_emptied() {
    let Some(folder) = place() else { return };
    let disk = LoopDisk::create(&folder.path().join("image"), &folder.path().join("disk"), 64 * MIB).unwrap();
    for leave in [0, 10 * MIB] {
        disk.fill(leave).unwrap();
        assert!(disk.free_bytes().unwrap() <= leave + 64 * 1024);
        let much = "x".repeat(20 << 20);
        let mut file = File::create(disk.path().join("file")).unwrap();
        assert!(file.write_all(much.as_bytes()).is_err());
        disk.free().unwrap();
        disk.free().unwrap();
        file.write_all(much.as_bytes()).unwrap();
        fs::remove_file(disk.path().join("file")).unwrap();
    }
}

#[test]
fn postgresql_gets_over_power_cuts_and_a_full_disk_of_its_log() {
    let Some(folder) = place() else { return };
    let options = Options { data_dir: Some(folder.path().join("servers")), ..Options::default() };
    let mut postgres = Postgres::launch(&options).unwrap();
    let insert = |postgres: &Postgres| postgres.psql("florin", "INSERT INTO t VALUES (1)");
    postgres.psql("florin", "CREATE TABLE t (x int)").unwrap();
    postgres.stop();
    let data = LoopDisk::create(&folder.path().join("1.img"), &folder.path().join("1"), 256 * MIB).unwrap();
    let wal = LoopDisk::create(&folder.path().join("2.img"), &folder.path().join("2"), 96 * MIB).unwrap();
    let home = postgres.folder().join("data");
    wal.take_in(&home.join("pg_wal")).unwrap();
    data.take_in(&home).unwrap();
    postgres.start().unwrap();
    for round in 1..=2 {
        insert(&postgres).unwrap();
        for disk in [&data, &wal] {
            disk.cut_power().unwrap();
        }
        assert!(insert(&postgres).is_err());
        postgres.kill();
        for disk in [&data, &wal] {
            disk.restore().unwrap();
        }
        postgres.start().unwrap();
        let rows = postgres.psql("florin", "SELECT count(*) FROM t").unwrap();
        assert_eq!(rows, round.to_string(), "what was committed is there, and nothing else");
    }
    wal.fill(0).unwrap();
    // Until the next file of the log is needed, the present one has room.
    assert!(postgres.psql("florin", "INSERT INTO t SELECT 0 FROM generate_series(1, 1000000)").is_err());
    wal.free().unwrap();
    postgres.kill();
    postgres.start().unwrap();
    assert_eq!(postgres.psql("florin", "SELECT sum(x) FROM t").unwrap(), "2");
    drop(postgres);
}
