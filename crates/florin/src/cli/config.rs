//! `florin config`: the settings in effect.

/// The flags of `florin config`: those of `florin serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  florin config\n  SERVER_PORT=80 florin config --config my.toml")]
pub(crate) struct Args {
    #[command(flatten)]
    serve: super::serve::Args,
}

/// Prints the settings in effect.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let (common, flags) = args.serve.flags();
    let config = common.load(flags)?;
    florin_service::cli::print(&format!(
        "# The settings in effect. A url replaces the host, port, user, password and name beside it.\n\n{config}"
    ))
}
