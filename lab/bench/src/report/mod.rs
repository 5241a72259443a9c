//! The report: a Markdown page beside the results, with pictures in a folder of the same name.
//!
//! `goals` checks the goals, `tables` and `special` show the figures, `plots` draws them.

mod goals;
mod plots;
mod special;
mod tables;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::catalogue;
use crate::results::{Run, Scenario};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot write {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("cannot draw {}: {reason}", path.display())]
    Plot { path: PathBuf, reason: String },
}

/// Writes it and returns where it is.
pub(crate) fn write(run: &Run, results: &Path) -> Result<PathBuf, Error> {
    let folder = results.with_extension("");
    fs::create_dir_all(&folder).map_err(|source| Error::File { path: folder.clone(), source })?;
    let pictures = plots::draw(run, &folder)?;
    let report = results.with_extension("md");
    let text = page(run, &pictures, &folder);
    fs::write(&report, text).map_err(|source| Error::File { path: report.clone(), source })?;
    Ok(report)
}

#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) scenario: String,
    pub(crate) title: String,
    pub(crate) file: String,
}

fn page(run: &Run, pictures: &[Picture], folder: &Path) -> String {
    let folder = folder.file_name().unwrap_or_default().to_string_lossy();
    let mut page = format!("# Benchmarks of {}\n\n{}\n", run.started_at, introduction(run));
    page.push_str("## Goals\n\n");
    page.push_str(&tables::goals(&goals::judge(run)));
    if !run.left_out.is_empty() {
        page.push_str("\n## Left out\n\n");
        for left_out in &run.left_out {
            let _ = writeln!(page, "- {}: {}", left_out.what, one_line(&left_out.why));
        }
    }
    for scenario in &run.scenarios {
        let about =
            catalogue::all().find(|known| known.name == scenario.name).map_or("", |known| known.about);
        let _ = write!(page, "\n## {}: {about}\n\n", scenario.name);
        page.push_str(&section(scenario, &folder));
        for picture in pictures.iter().filter(|picture| picture.scenario == scenario.name) {
            let _ = write!(page, "\n![{}]({folder}/{})\n", picture.title, picture.file);
        }
    }
    page.push_str("\n## The machine\n\n");
    page.push_str(&tables::facts(&run.facts));
    page
}

fn introduction(run: &Run) -> String {
    let settings = &run.settings;
    let mut text = format!(
        "{} rounds of {:.1} s each, after {:.1} s of warm-up; the cases of a scenario alternate in every round. Figures are \
         medians [lowest–highest round]. Clients, service, RabbitMQ and PostgreSQL share the machine. Nothing that \
         makes data durable is switched off: fsync, synchronous_commit, quorum queues, persistent messages, confirms.\n",
        settings.rounds, settings.seconds, settings.warm_up_seconds
    );
    if settings.quick {
        text.push_str(
            "\n**This was a quick run: it shows that everything works; its figures say nothing.**\n",
        );
    }
    if run.facts.versions.iter().any(|(name, value)| name == "built" && value != "release") {
        text.push_str("\n**The program was not a release build: the figures say nothing.**\n");
    }
    text
}

fn section(scenario: &Scenario, folder: &str) -> String {
    let mut text = special::section(scenario, folder);
    if !scenario.cases.is_empty() {
        text.push_str(&tables::cases(scenario));
        text.push_str(&tables::costs(scenario));
        text.push_str(&tables::refusals(scenario));
    }
    text
}

/// Errors may have several lines, an item of a list must not.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
