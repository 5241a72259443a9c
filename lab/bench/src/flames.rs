//! A flame graph: how often each function was seen on a stack, and by which other it was called. Each box is as wide
//! as the share of the samples that it was in; who calls stands below who is called.

use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
const TOP: f64 = 34.0;
/// Pixels: narrower boxes are left out.
const NARROWEST: f64 = 0.4;
const LETTER: f64 = 6.6;

/// All samples.
#[derive(Debug, Default)]
pub(crate) struct Flames {
    samples: u64,
    called: BTreeMap<String, Flames>,
}

impl Flames {
    /// Reads what `perf script --fields comm,ip,sym` prints: for each sample a line with the name of the thread, then
    /// the functions, the innermost first, and an empty line.
    pub(crate) fn of(printed: &str) -> Self {
        let mut flames = Self::default();
        for sample in printed.split("\n\n") {
            let mut lines = sample.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
            let Some(thread) = lines.next() else { continue };
            let frames: Vec<String> = lines.map(function).collect();
            flames.add(std::iter::once(thread.trim().to_owned()).chain(frames.into_iter().rev()));
        }
        flames
    }

    fn add(&mut self, stack: impl Iterator<Item = String>) {
        self.samples += 1;
        let mut place = self;
        for name in stack {
            place = place.called.entry(name).or_default();
            place.samples += 1;
        }
    }

    /// The functions that most samples ended in, with their share in percent.
    pub(crate) fn hottest(&self, most: usize) -> Vec<(String, f64)> {
        let mut own = BTreeMap::new();
        self.add_own(&mut own);
        let mut shares: Vec<(String, f64)> = own
            .into_iter()
            .map(|(name, samples)| (name.to_owned(), 100.0 * samples as f64 / self.samples.max(1) as f64))
            .collect();
        shares.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        shares.truncate(most);
        shares
    }

    fn add_own<'a>(&'a self, own: &mut BTreeMap<&'a str, u64>) {
        for (name, flames) in &self.called {
            let further: u64 = flames.called.values().map(|flames| flames.samples).sum();
            *own.entry(name).or_default() += flames.samples - further;
            flames.add_own(own);
        }
    }

    fn depth(&self) -> usize {
        self.called.values().map(|flames| 1 + flames.depth()).max().unwrap_or(0)
    }

    /// The picture.
    pub(crate) fn svg(&self, title: &str) -> String {
        let height = TOP + ROW * (self.depth() as f64 + 1.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"monospace\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"8\" y=\"20\" font-size=\"15\">{}: {} samples</text>\n",
            escaped(title),
            self.samples
        );
        let per_sample = WIDTH / self.samples.max(1) as f64;
        self.boxes(&mut svg, 0.0, height - ROW, per_sample, self.samples);
        svg.push_str("</svg>\n");
        svg
    }

    fn boxes(&self, svg: &mut String, left: f64, y: f64, per_sample: f64, all: u64) {
        let mut x = left;
        for (name, flames) in &self.called {
            let width = flames.samples as f64 * per_sample;
            if width >= NARROWEST {
                let share = 100.0 * flames.samples as f64 / all.max(1) as f64;
                let _ = writeln!(
                    svg,
                    "<g><title>{0} ({share:.1} %)</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{1:.1}\" \
                     height=\"{2:.1}\" fill=\"{3}\"/>{4}</g>",
                    escaped(name),
                    (width - 0.3).max(0.2),
                    ROW - 1.0,
                    colour(name),
                    label(name, x, y, width),
                );
                flames.boxes(svg, x, y - ROW, per_sample, all);
            }
            x += width;
        }
    }
}

/// `7f00 symbol+0x12` without the address.
fn function(line: &str) -> String {
    let line = line.trim();
    let name = line.split_once(' ').map_or(line, |(_, name)| name.trim());
    let name = if name.is_empty() { "[unknown]" } else { name };
    name.rsplit_once("+0x").map_or(name, |(name, _)| name).to_owned()
}

/// As much of the name as fits.
fn label(name: &str, x: f64, y: f64, width: f64) -> String {
    let mut used = LETTER;
    let shown: String = name
        .chars()
        .take_while(|_| {
            used += LETTER;
            used <= width
        })
        .collect();
    if shown.chars().count() < 3 {
        return String::new();
    }
    format!("<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 3.0, y + 12.0, escaped(&shown))
}

/// Warm, and the same for the same name.
fn colour(name: &str) -> String {
    let hash = name.bytes().fold(17_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    format!("hsl({},80%,{}%)", hash % 48, 62 + hash / 48 % 14)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "florin \n\t    55e0 inner<A>+0x10\n\t    55e1 outer\n\n\
                           florin \n\t    55e1 outer\n\n\
                           tokio-rt \n\t    ffff\n\n";

    #[test]
    fn stacks_are_put_on_each_other() {
        let flames = Flames::of(PRINTED);
        assert_eq!((flames.samples, flames.depth()), (3, 3));
        let outer = &flames.called["florin"].called["outer"];
        assert_eq!((outer.samples, outer.called["inner<A>"].samples), (2, 1));
        assert!(flames.called["tokio-rt"].called.contains_key("ffff"));
    }

    #[test]
    fn the_hottest_are_those_at_the_top() {
        let hottest = Flames::of(&PRINTED.repeat(2)).hottest(3);
        let names: Vec<&str> = hottest.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["ffff", "inner<A>", "outer"]);
        assert!(hottest.iter().all(|(_, share)| (share - 100.0 / 3.0).abs() < 1e-9));
    }

    #[test]
    fn the_picture_has_a_box_for_each() {
        let svg = Flames::of(PRINTED).svg("a & b");
        assert!(svg.contains("a &amp; b: 3 samples"), "{svg}");
        assert!(svg.contains("<title>inner&lt;A&gt; (33.3 %)</title>"), "{svg}");
        assert_eq!(svg.matches("<g>").count(), 5);
        assert!(Flames::of("").svg("nothing").contains("0 samples"));
    }
}
