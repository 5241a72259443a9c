//! `florin man`: manual pages.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{CommandFactory, ValueHint};
use florin_service::cli::output::print;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin man | man -l -
  florin man --dir ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// Writes one page per command into this folder, in place of printing the first one.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let command = super::Cli::command();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return print(&String::from_utf8(page)?);
    };
    let failed = || format!("cannot write manual pages to {}", dir.display());
    fs::create_dir_all(dir).with_context(failed)?;
    clap_mangen::generate_to(command, dir).with_context(failed)
}
