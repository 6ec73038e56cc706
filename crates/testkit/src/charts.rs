//! Helm charts: packaging.

use std::path::Path;

use crate::{Result, components};

/// The real `helm`, with its folders below `home` and nothing from this process's environment.
pub(crate) fn helm_command(home: &Path) -> Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(components::path("helm")?);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", home);
    for (variable, folder) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        command.env(variable, home.join("helm").join(folder));
    }
    Ok(command)
}
