//! Stacks that `perf` recorded: as a flame graph, and the functions that take most of the time.

use std::collections::HashMap;
use std::io;

use inferno::collapse::Collapse;
use inferno::collapse::perf::Folder;
use inferno::flamegraph::{self, Options};

/// One line for each stack: the functions from the outermost in, with `;` between them, and how often it was
/// seen.
#[derive(Debug)]
pub(crate) struct Flames {
    folded: String,
}

impl Flames {
    pub(crate) fn of(printed: &str) -> io::Result<Self> {
        let mut folded = Vec::new();
        Folder::default().collapse(printed.as_bytes(), &mut folded)?;
        Ok(Self { folded: String::from_utf8_lossy(&folded).into_owned() })
    }

    fn stacks(&self) -> impl Iterator<Item = (&str, u64)> {
        self.folded.lines().filter_map(|line| {
            let (stack, samples) = line.rsplit_once(' ')?;
            Some((stack, samples.parse().ok()?))
        })
    }

    /// The functions that most samples ended in, with their share in percent.
    pub(crate) fn hottest(&self, most: usize) -> Vec<(String, f64)> {
        let mut own: HashMap<&str, u64> = HashMap::new();
        for (stack, samples) in self.stacks() {
            let function = stack.rsplit(';').next().unwrap_or(stack);
            *own.entry(function).or_default() += samples;
        }
        let all: u64 = own.values().sum();
        let mut shares: Vec<(String, f64)> = own
            .into_iter()
            .map(|(name, samples)| (name.to_owned(), 100.0 * samples as f64 / all.max(1) as f64))
            .collect();
        shares.sort_by(|(name, one), (other_name, other)| other.total_cmp(one).then(name.cmp(other_name)));
        shares.truncate(most);
        shares
    }

    /// The flame graph. Without any stack there is none.
    pub(crate) fn svg(&self, title: &str) -> io::Result<Vec<u8>> {
        let mut options = Options::default();
        title.clone_into(&mut options.title);
        // The same colours for the same functions in every run.
        options.deterministic = true;
        let mut svg = Vec::new();
        flamegraph::from_lines(&mut options, self.folded.lines(), &mut svg)?;
        Ok(svg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
florin  1 100.1: 1 cpu-clock:
\t    55e0 inner<A>+0x10 (/bin/florin)
\t    55e1 outer+0x1 (/bin/florin)

florin  1 100.2: 1 cpu-clock:
\t    55e1 outer+0x1 (/bin/florin)

tokio-rt  2 100.3: 1 cpu-clock:
\t    ffff idle+0x2 (/bin/florin)

";

    #[test]
    fn the_hottest_functions_are_those_that_samples_end_in() {
        let hottest = Flames::of(PRINTED).unwrap().hottest(3);
        let names: Vec<&str> = hottest.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["idle", "inner<A>", "outer"]);
        assert!(hottest.iter().all(|(_, share)| (share - 100.0 / 3.0).abs() < 1e-9), "{hottest:?}");
    }

    #[test]
    fn the_picture_has_every_function() {
        let svg = String::from_utf8(Flames::of(PRINTED).unwrap().svg("a & b").unwrap()).unwrap();
        for text in
            ["a &amp; b", "inner&lt;A&gt; (1 samples, 33.33%)", "outer (2 samples, 66.67%)", "tokio-rt"]
        {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }
}
