//! The patches that break Florin on purpose do not rot: each still applies, and its head has what
//! `scripts/mutations.sh` reads.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use florin_faults::kind::Kind;

const LEAST: usize = 8;

#[test]
fn every_mutation_fits_the_tree() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    if !root.join(".git").exists() {
        println!("skipped: not a git repository");
        return;
    }
    let patches: Vec<_> =
        fs::read_dir(root.join("lab/faults/mutations")).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(patches.len() >= LEAST, "{patches:?}");
    for patch in patches {
        let output =
            Command::new("git").args(["apply", "--check"]).arg(&patch).current_dir(root).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "make this mutation anew: {words}");

        let text = fs::read_to_string(&patch).unwrap();
        let head = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_else(|| panic!("{} has no {name}", patch.display()))
        };
        assert!(!head("What").is_empty());
        assert!(!head("Caught as").is_empty());
        for kind in head("Kinds").split(',') {
            assert!(Kind::from_str(kind, false).is_ok(), "{}: {kind:?} is no kind", patch.display());
        }
    }
}
