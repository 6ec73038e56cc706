//! Where things are: the workspace's root and the folder that cargo builds into.

use std::path::{Path, PathBuf};

/// The workspace's root folder, from where this crate was built.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The folder that the built third-party components go into; tests look in the same place.
pub(crate) fn components() -> PathBuf {
    tagboat_testkit::components::directory()
}
