//! What `deploy/example` holds, as far as the demo and the bench need to know it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use crate::workspace;

/// The registry that the example's files name. It does not exist: the controller is told to use a stand-in for it.
pub(crate) const REGISTRY: &str = "registry.example.com";
/// The chart repository that the example's HelmReleases name. It does not exist either.
pub(crate) const CHARTS: &str = "https://charts.example.com/";
/// The repository of the image that the demo pushes.
pub(crate) const IMAGE: &str = "bookshop/web";
/// The chart's version in the HelmReleases.
pub(crate) const CHART_VERSION: &str = "0.1.0";
/// The environments, each a namespace `bookshop-…`.
pub(crate) const ENVIRONMENTS: [&str; 4] = ["dev", "stage", "prod", "sandbox"];

/// An image of the example's registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Image {
    /// The repository, without the registry.
    pub(crate) repository: String,
    /// The tag.
    pub(crate) tag: String,
}

/// The workload of an environment, as Tagboat names it.
pub(crate) fn workload(environment: &str) -> String {
    format!("bookshop-{environment}:helmrelease/bookshop")
}

/// The name of an environment's Helm release, and of the Deployment in it.
pub(crate) fn release(environment: &str) -> String {
    if environment == "sandbox" { "bookshop-sandbox-bookshop".to_owned() } else { format!("bookshop-{environment}") }
}

/// The infrastructure repository's files.
pub(crate) fn infrastructure() -> PathBuf {
    workspace::root().join("deploy/example/infrastructure")
}

/// The chart's folder.
pub(crate) fn chart() -> PathBuf {
    workspace::root().join("deploy/example/charts/bookshop")
}

/// Every image that the infrastructure repository names.
pub(crate) fn images() -> anyhow::Result<Vec<Image>> {
    let mut images = BTreeSet::new();
    let mut folders = vec![infrastructure()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                images.extend(images_of(&path)?);
            }
        }
    }
    if images.is_empty() {
        bail!("{} names no image of {REGISTRY}", infrastructure().display());
    }
    Ok(images.into_iter().collect())
}

fn images_of(path: &Path) -> anyhow::Result<Vec<Image>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(text.lines().filter_map(image_of).collect())
}

/// `image: registry.example.com/bookshop/web:main-1a2b` as an image. The example writes every image so.
fn image_of(line: &str) -> Option<Image> {
    let value = line.trim().trim_start_matches("- ").strip_prefix("image:")?.trim().trim_matches(['"', '\'']);
    let (repository, tag) = value.strip_prefix(REGISTRY)?.strip_prefix('/')?.rsplit_once(':')?;
    Some(Image { repository: repository.to_owned(), tag: tag.to_owned() })
}

/// A tag as the example's build makes it for a commit to main. No two are the same.
pub(crate) fn main_tag() -> String {
    let now = jiff::Timestamp::now().as_nanosecond();
    let hash = Sha256::digest(now.to_be_bytes());
    format!("main-{}", hash.iter().take(20).map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_of_the_example_are_found() {
        let images = images().unwrap();
        let has = |repository: &str, start: &str| {
            images.iter().any(|image| image.repository == repository && image.tag.starts_with(start))
        };
        assert!(has(IMAGE, "main-") && has(IMAGE, "stage-") && has(IMAGE, "release-") && has(IMAGE, "sandbox-"));
        assert!(has("platform/db-monitor", "0."), "{images:?}");
    }

    #[test]
    fn an_image_line_is_read_with_and_without_a_dash_and_others_are_not() {
        let image = |tag: &str| Some(Image { repository: "a/b".into(), tag: tag.into() });
        assert_eq!(image_of("  - image: registry.example.com/a/b:1"), image("1"));
        assert_eq!(image_of("image: \"registry.example.com/a/b:2\""), image("2"));
        assert_eq!(image_of("image: example.org/a/b:2"), None);
        assert_eq!(image_of("# registry.example.com/a/b:2"), None);
    }

    #[test]
    fn tags_look_like_builds_of_commits_and_differ() {
        let (first, second) = (main_tag(), main_tag());
        assert_ne!(first, second);
        assert_eq!(first.len(), "main-".len() + 40);
    }
}
