use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Starts logging to standard output.
///
/// # Errors
/// The filter cannot be read.
pub fn start(level: &str, format: Format) -> Result<()> {
    let filter =
        EnvFilter::try_new(level).with_context(|| format!("--log-level {level:?} is not a level or filter"))?;
    // Libraries below us speak of their own connections; that is no line of ours. What goes wrong on them comes back as
    // an error, and is told once.
    let quiet = ["hyper_util=warn", "h2=warn", "rustls=warn", "tower=warn", "kube_client=off", "kube_runtime=off"];
    let filter = if level.contains('=') {
        filter
    } else {
        quiet
            .iter()
            .try_fold(filter, |filter, directive| Ok::<_, anyhow::Error>(filter.add_directive(directive.parse()?)))?
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stdout);
    match format {
        Format::Json => logs.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        Format::Text => logs.with_target(false).init(),
    }
    Ok(())
}
