//! The pictures: lines over an axis, as SVG.

use std::fs;
use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;

use super::{Error, Picture};
use crate::results::{Case, Growth, Round, Run, Scenario, Subject, Way};
use crate::stats::whole;

const SIZE: (u32, u32) = (860, 420);
/// Distinguishable without full colour vision.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
];

#[derive(Debug, Clone)]
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

#[derive(Debug, Clone)]
struct Plot {
    title: String,
    x_name: &'static str,
    y_name: &'static str,
    /// Whether the axes are logarithmic: x, y.
    logarithmic: (bool, bool),
    lines: Vec<Line>,
}

/// Draws all that there is to draw.
pub(super) fn draw(run: &Run, folder: &Path) -> Result<Vec<Picture>, Error> {
    let mut pictures = Vec::new();
    for scenario in &run.scenarios {
        for (file, plot) in plots(scenario) {
            let file = format!("{}-{file}.svg", scenario.name);
            let path = folder.join(&file);
            let drawn =
                if plot.lines.iter().all(|line| line.points.is_empty()) { None } else { Some(plot.svg()) };
            let Some(drawn) = drawn else { continue };
            let svg = drawn.map_err(|reason| Error::Plot { path: path.clone(), reason })?;
            fs::write(&path, svg).map_err(|source| Error::File { path, source })?;
            pictures.push(Picture { scenario: scenario.name.clone(), title: plot.title, file });
        }
    }
    Ok(pictures)
}

fn plots(scenario: &Scenario) -> Vec<(&'static str, Plot)> {
    let mut plots = Vec::new();
    if scenario.name == "single" {
        plots.push((
            "throughput",
            by_in_flight(scenario, "Throughput", "requests/s", (true, false), |case| {
                Some(case.rate()?.median)
            }),
        ));
        plots.push((
            "latency",
            by_in_flight(scenario, "Latency, p99", "ms", (true, true), |case| {
                Some(case.latency("p99")?.median / 1000.0)
            }),
        ));
    }
    if !scenario.growth.is_empty() {
        plots.extend(growth(&scenario.growth));
    }
    let mib = |samples: &[(f64, u64)]| {
        samples.iter().map(|(second, kib)| (*second, *kib as f64 / 1024.0)).collect()
    };
    if let Some(soak) = &scenario.soak {
        let line = Line { name: "service".to_owned(), points: mib(&soak.memory) };
        plots.push(("memory", over_time("Memory of the service at full load", "MiB", line)));
    }
    if let Some(overload) = &scenario.overload {
        let waiting = overload.waiting.iter().map(|(second, waiting)| (*second, *waiting as f64)).collect();
        let line = Line { name: "messages".to_owned(), points: waiting };
        plots.push(("waiting", over_time("Unanswered messages", "messages", line)));
        let line = Line { name: "service".to_owned(), points: mib(&overload.memory) };
        plots.push(("memory", over_time("Memory of the service", "MiB", line)));
    }
    plots
}

fn over_time(title: &str, y_name: &'static str, line: Line) -> Plot {
    let (title, logarithmic) = (title.to_owned(), (false, false));
    Plot { title, x_name: "seconds", y_name, logarithmic, lines: vec![line] }
}

/// Throughput, the longest latencies, and sizes, by the number of transactions.
fn growth(points: &[Growth]) -> [(&'static str, Plot); 3] {
    let line = |name: &str, value: &dyn Fn(&Growth) -> Option<f64>| Line {
        name: name.to_owned(),
        points: points.iter().filter_map(|point| Some((point.transactions as f64, value(point)?))).collect(),
    };
    let plot = |title: &str, y_name, lines| Plot {
        title: title.to_owned(),
        x_name: "transactions in the database",
        y_name,
        logarithmic: (false, false),
        lines,
    };
    let rates = vec![
        line("batches, writes", &|point| Some(point.writes.per_second)),
        line("single, mix", &|point| Some(point.mix.per_second)),
        line("single, balance", &|point| Some(point.reads.per_second)),
    ];
    let p99 = |round: &Round| Some(round.latency("p99")? / 1000.0);
    let latencies = vec![
        line("batches, writes", &|point| p99(&point.writes)),
        line("single, mix", &|point| p99(&point.mix)),
        line("single, balance", &|point| p99(&point.reads)),
    ];
    let memory = vec![line("service", &|point| Some(point.service_kib as f64 / 1024.0))];
    [
        ("throughput", plot("Throughput as the database grows", "requests/s", rates)),
        ("latency", plot("Latency as the database grows, p99", "ms", latencies)),
        ("memory", plot("Memory of the service as the database grows", "MiB", memory)),
    ]
}

fn by_in_flight(
    scenario: &Scenario,
    title: &str,
    y_name: &'static str,
    logarithmic: (bool, bool),
    value: impl Fn(&Case) -> Option<f64>,
) -> Plot {
    let mut lines: Vec<Line> = Vec::new();
    for case in scenario.cases.iter().filter(|case| case.way == Way::Messages && case.batch == 1) {
        let Some(value) = value(case) else { continue };
        let point = (f64::from(case.in_flight), value);
        let name = if case.subject == Subject::Echo { "echo" } else { &case.name };
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name: name.to_owned(), points: vec![point] }),
        }
    }
    Plot { title: title.to_owned(), x_name: "requests in flight", y_name, logarithmic, lines }
}

impl Plot {
    fn svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|error| error.to_string())?;
        Ok(svg)
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root);
        chart.caption(&self.title, ("sans-serif", 20)).margin(12).x_label_area_size(44).y_label_area_size(84);
        let (x, y) = (
            self.range(|point| point.0, self.logarithmic.0),
            self.range(|point| point.1, self.logarithmic.1),
        );
        match self.logarithmic {
            (true, true) => self.lines_on(&mut chart.build_cartesian_2d(x.log_scale(), y.log_scale())?)?,
            (true, false) => self.lines_on(&mut chart.build_cartesian_2d(x.log_scale(), y)?)?,
            (false, true) => self.lines_on(&mut chart.build_cartesian_2d(x, y.log_scale())?)?,
            (false, false) => self.lines_on(&mut chart.build_cartesian_2d(x, y)?)?,
        }
        root.present()?;
        Ok(())
    }

    /// What an axis shows: from 0 where it is not logarithmic.
    fn range(&self, coordinate: impl Fn(&(f64, f64)) -> f64, logarithmic: bool) -> Range<f64> {
        let values = || self.lines.iter().flat_map(|line| &line.points).map(&coordinate);
        let most = values().fold(0.0, f64::max);
        let most = if most > 0.0 { most * 1.05 } else { 1.0 };
        let least =
            if logarithmic { values().filter(|value| *value > 0.0).fold(most, f64::min) } else { 0.0 };
        if least < most { least..most } else { least / 2.0..most * 2.0 }
    }

    fn lines_on<'a, X, Y>(
        &self,
        chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        X: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
        Y: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
    {
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(self.x_name).y_desc(self.y_name).light_line_style(WHITE).label_style(("sans-serif", 13));
        mesh.x_label_formatter(&axis_number).y_label_formatter(&axis_number).draw()?;
        for (index, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let style = ShapeStyle { color: colour.to_rgba(), filled: true, stroke_width: 2 };
            let series = LineSeries::new(line.points.iter().copied(), style).point_size(3);
            let drawn = chart.draw_series(series)?.label(&line.name);
            drawn.legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        let mut labels = chart.configure_series_labels();
        labels.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).label_font(("sans-serif", 13));
        labels.position(SeriesLabelPosition::UpperLeft).draw()?;
        Ok(())
    }
}

fn axis_number(value: &f64) -> String {
    if value.abs() >= 10.0 || value.fract() == 0.0 { whole(*value) } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::super::goals::tests::{case, scenario};
    use super::*;

    #[test]
    fn lines_are_drawn_on_every_kind_of_axis() {
        let lines = vec![Line { name: "a <line>".to_owned(), points: vec![(1.0, 0.5), (4000.0, 20_000.0)] }];
        for logarithmic in [(false, false), (true, false), (false, true), (true, true)] {
            let plot = Plot {
                title: "Title".to_owned(),
                x_name: "x",
                y_name: "y",
                logarithmic,
                lines: lines.clone(),
            };
            let svg = plot.svg().unwrap();
            assert!(svg.starts_with("<svg") && svg.contains("Title") && svg.contains("a &lt;line"), "{svg}");
        }
    }

    #[test]
    fn one_point_or_none_is_drawn_too() {
        for points in [vec![(5.0, 5.0)], vec![(0.0, 0.0)], Vec::new()] {
            let plot = over_time("Title", "y", Line { name: "l".to_owned(), points });
            assert!(plot.svg().is_ok());
            assert!(Plot { logarithmic: (true, true), ..plot }.svg().is_ok());
        }
    }

    #[test]
    fn numbers_in_flight_make_a_line() {
        let cases = vec![
            case(Subject::Echo, "echo", 1, &[10.0]),
            case(Subject::Florin, "mix", 1, &[5.0]),
            case(Subject::Echo, "echo", 10, &[100.0]),
        ];
        let plots = plots(&scenario("single", cases));
        let lines = &plots[0].1.lines;
        assert_eq!(lines[0].points, [(1.0, 10.0), (10.0, 100.0)]);
        assert_eq!((lines[1].name.as_str(), lines[1].points.len()), ("mix", 1));
    }
}
