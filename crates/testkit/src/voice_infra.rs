//! The first user's infrastructure repository, which tests and the bench read where somebody has it.

use std::path::{Path, PathBuf};

/// The variable that names its folder.
pub const VARIABLE: &str = "TAGBOAT_VOICE_INFRA";
const BUNDLE: &str = "history-2020.bundle";

/// The folder: what the variable names, else `../shared/voice-infra`; or the sentence that says that it is missing.
pub fn folder() -> Result<PathBuf, String> {
    let named = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    // Tests run in their crates' folders, so a relative path is settled here.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join(named.unwrap_or_else(|| PathBuf::from("../shared/voice-infra")));
    if folder.join(BUNDLE).is_file() {
        return Ok(folder);
    }
    Err(format!("{BUNDLE} is not in {}; set {VARIABLE} to the folder that has it", folder.display()))
}

/// The bundle: a year of its history.
pub fn bundle() -> Result<PathBuf, String> {
    folder().map(|folder| folder.join(BUNDLE))
}
