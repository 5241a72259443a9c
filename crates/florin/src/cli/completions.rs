//! `florin completions`: completion scripts for shells.

use clap::CommandFactory;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin completions bash > ~/.local/share/bash-completion/completions/florin
  florin completions zsh > \"${fpath[1]}/_florin\"
  florin completions fish > ~/.config/fish/completions/florin.fish")]
pub(crate) struct Args {
    /// The shell to complete commands, flags and values for.
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "florin", &mut script);
    florin_service::cli::output::print(&String::from_utf8(script)?)
}
