//! `index.yaml`: kept on disk, read for one chart at a time.

use super::http::hex;
use super::location::shown;
use crate::Error;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use url::Url;

/// What makes the next request for an index conditional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

/// One version of a chart in an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) version: String,
    /// Relative to the repository, or whole. Mirrors further down the list are not used, as in Helm.
    pub(super) url: String,
    /// SHA-256 in hexadecimal.
    pub(super) digest: Option<String>,
}

/// Indexes on disk, by the URL that they came from.
#[derive(Debug)]
pub(super) struct IndexCache {
    folder: PathBuf,
}

impl IndexCache {
    pub(super) fn open(folder: PathBuf) -> Result<Self, Error> {
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::Cache { path: folder.clone(), reason: error.to_string() })?;
        Ok(Self { folder })
    }

    /// The file of an index.
    pub(super) fn path(&self, url: &Url) -> PathBuf {
        self.folder.join(format!("{}.yaml", hex(&Sha256::digest(url.as_str()))))
    }

    /// What is known of the index on disk; nothing, where there is none.
    pub(super) fn validators(&self, url: &Url) -> Validators {
        let path = self.path(url);
        if !path.is_file() {
            return Validators::default();
        }
        let text = std::fs::read(path.with_extension("json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Keeps what is known of the index that was just written.
    pub(super) fn remember(&self, url: &Url, validators: &Validators) -> Result<(), Error> {
        let path = self.path(url).with_extension("json");
        let text = serde_json::to_vec(validators).unwrap_or_default();
        std::fs::write(&path, text).map_err(|error| Error::Cache { path, reason: error.to_string() })
    }

    /// The versions of a chart in the index on disk; none, where there is no such chart or no index.
    pub(super) async fn entries(&self, index: &Url, repository: &Url, chart: &str) -> Result<Vec<Entry>, Error> {
        let path = self.path(index);
        let chart = chart.to_owned();
        let read = tokio::task::spawn_blocking(move || read(&path, &chart)).await;
        let outcome = read.unwrap_or_else(|panic| Err(panic.to_string()));
        outcome.map_err(|reason| Error::Index { url: shown(repository), reason })
    }
}

fn read(path: &Path, chart: &str) -> Result<Vec<Entry>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let mut options = serde_saphyr::Options::default();
    options.with_snippet = false;
    if let Some(budget) = &mut options.budget {
        // The size is bounded by the download; an index has some 20 events for a kilobyte.
        budget.max_events = usize::MAX;
        budget.max_nodes = usize::MAX;
        budget.max_total_scalar_bytes = usize::MAX;
    }
    serde_saphyr::with_deserializer_from_reader_with_options(BufReader::new(file), options, |deserializer| {
        IndexOf(chart).deserialize(deserializer)
    })
    .map_err(|error| error.to_string())
}

/// Reads an index and keeps the versions of one chart; everything else is passed over.
struct IndexOf<'a>(&'a str);

/// The same for the map `entries`.
struct EntriesOf<'a>(&'a str);

/// An entry as the index has it.
#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    urls: Option<Vec<String>>,
    #[serde(default)]
    digest: Option<String>,
}

impl<'de> DeserializeSeed<'de> for IndexOf<'_> {
    type Value = Vec<Entry>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for IndexOf<'_> {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a repository index with the map `entries`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "entries" {
                found = Some(map.next_value_seed(EntriesOf(self.0))?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        found.ok_or_else(|| serde::de::Error::custom("it has no `entries`; is this a Helm repository?"))
    }
}

impl<'de> DeserializeSeed<'de> for EntriesOf<'_> {
    type Value = Vec<Entry>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EntriesOf<'_> {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of charts and their versions")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key != self.0 {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            for raw in map.next_value::<Vec<Raw>>()? {
                let url = raw.urls.unwrap_or_default().into_iter().next();
                if let (Some(version), Some(url)) = (raw.version, url) {
                    let digest = raw.digest.filter(|digest| !digest.is_empty());
                    let digest = digest.map(|digest| digest.trim_start_matches("sha256:").to_lowercase());
                    found.push(Entry { version, url, digest });
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, chart: &str) -> Result<Vec<Entry>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.yaml");
        std::fs::write(&path, text).unwrap();
        read(&path, chart)
    }

    #[test]
    fn one_chart_is_read_and_the_rest_passed_over() {
        let text = "apiVersion: v1\nentries:\n  other:\n  - {version: [nonsense], urls: 3}\n  voice:\n  \
                    - version: 1.10\n    urls: [voice-1.10.tgz, elsewhere.tgz]\n    digest: ABCD\n    created: \"2020\"\n  \
                    - version: 1.0.0\n    urls: []\ngenerated: now\n";
        let expected = Entry { version: "1.10".into(), url: "voice-1.10.tgz".into(), digest: Some("abcd".into()) };
        assert_eq!(read_text(text, "voice").unwrap(), [expected]);
        assert_eq!(read_text(text, "absent").unwrap(), []);
    }

    #[test]
    fn an_index_in_json_is_read() {
        let text = r#"{"entries": {"voice": [{"version": "1.0.0", "urls": ["x.tgz"]}]}}"#;
        assert_eq!(read_text(text, "voice").unwrap().len(), 1);
    }

    #[test]
    fn a_page_that_is_no_index_says_so() {
        assert!(read_text("<html><body>Welcome</body></html>", "voice").is_err());
        let error = read_text("a: 1\n", "voice").unwrap_err();
        assert!(error.contains("entries"), "{error}");
    }

    #[test]
    fn an_index_of_many_charts_is_read() {
        use std::fmt::Write;
        let mut text = "entries:\n".to_owned();
        for n in 0..20_000 {
            writeln!(text, "  c{n}:\n  - version: 1.0.0\n    urls:\n    - c{n}-1.0.0.tgz\n    description: of {n}")
                .unwrap();
        }
        assert_eq!(read_text(&text, "c19999").unwrap()[0].url, "c19999-1.0.0.tgz");
    }
}
