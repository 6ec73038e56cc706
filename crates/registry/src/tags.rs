//! The list of a repository's tags, to its end or not at all.

use crate::error::{RegistryError, quoted, shown};
use crate::fetch::Request;
use crate::host::Host;
use crate::link;
use crate::operation::Operation;
use crate::site::same_origin;
use reqwest::Method;
use serde::Deserialize;
use std::collections::HashSet;
use tagboat_engine::ports::{TagList, TagRow};
use tagboat_image::Tag;
use url::Url;

/// One page. `tags` may be null (an empty repository), but a document without it is no tag list.
#[derive(Deserialize)]
struct Page {
    #[serde(deserialize_with = "Option::deserialize")]
    tags: Option<Vec<String>>,
}

impl Host {
    /// Lists the tags of a repository to the end, or fails.
    pub(crate) async fn tags(&self, operation: &Operation, repository: &str) -> Result<TagList, RegistryError> {
        let mut url = self.url(repository, "tags/list")?;
        url.query_pairs_mut().append_pair("n", &self.limits.page_size.to_string());
        let mut list = List::default();
        let mut pages = HashSet::new();
        loop {
            if pages.len() == self.limits.pages {
                return Err(RegistryError::Limit {
                    url: shown(&url),
                    what: "the number of pages",
                    limit: self.limits.pages,
                });
            }
            pages.insert(url.clone());
            let request = Request {
                method: Method::GET,
                url: url.clone(),
                accept: "application/json",
                repository,
                what: "the size of a page of tags",
                limit: self.limits.page_bytes,
            };
            let answer = match self.fetch(operation, &request).await {
                // Some registries refuse a page size that they do not like instead of lowering it.
                Err(RegistryError::Status { status: 400, .. }) if pages.len() == 1 && url.query().is_some() => {
                    url.set_query(None);
                    pages.clear();
                    continue;
                }
                answer => answer?,
            };
            list.add(answer.json::<Page>()?.tags.unwrap_or_default());
            if list.seen.len() > self.limits.tags {
                return Err(RegistryError::Limit {
                    url: shown(&url),
                    what: "the number of tags",
                    limit: self.limits.tags,
                });
            }
            let Some(next) = link::next(&answer.headers) else { return Ok(list.finish()) };
            url = self.next_page(&answer.url, next, &pages)?;
        }
    }

    /// Checks where the next page is said to be. Registries differ in how they name it, so it is taken as it is; but
    /// it must be theirs, and one that was not read yet.
    fn next_page(&self, page: &Url, next: &str, read: &HashSet<Url>) -> Result<Url, RegistryError> {
        let refused = |to: String, reason: &str| RegistryError::Refused {
            url: shown(page),
            to,
            what: "the next page",
            reason: reason.to_owned(),
        };
        let url = page.join(next).map_err(|_| refused(quoted(next), "that is no URL"))?;
        if !same_origin(&url, &self.origin) {
            return Err(refused(shown(&url), "it is not at the registry's own scheme, host and port"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(shown(&url), "it has a user or password in it"));
        }
        if read.contains(&url) {
            return Err(refused(shown(&url), "that page was read already, so the list would never end"));
        }
        Ok(url)
    }

    /// A URL of a repository at this host. Paths, tags and digests have no character that a URL would read otherwise.
    pub(crate) fn url(&self, repository: &str, rest: &str) -> Result<Url, RegistryError> {
        self.origin.join(&format!("v2/{repository}/{rest}")).map_err(|error| RegistryError::Config {
            host: self.name.clone(),
            field: "endpoint",
            reason: format!("no URL can be made of it: {error}"),
        })
    }
}

/// A list while it grows.
#[derive(Default)]
struct List {
    rows: Vec<TagRow>,
    seen: HashSet<String>,
    dropped: Option<(usize, String)>,
}

impl List {
    fn add(&mut self, names: Vec<String>) {
        for name in names {
            if !self.seen.insert(name.clone()) {
                continue;
            }
            match Tag::new(name) {
                Ok(tag) => self.rows.push(TagRow { tag, digest: None, pushed: None }),
                Err(error) => {
                    let (count, first) = self.dropped.take().unwrap_or_else(|| (0, error.to_string()));
                    self.dropped = Some((count + 1, first));
                }
            }
        }
    }

    fn finish(self) -> TagList {
        TagList { rows: self.rows, dropped: self.dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_tags_are_dropped_and_counted_and_duplicates_vanish() {
        let mut list = List::default();
        list.add(["1.0", "-evil", "1.0", "a b"].map(str::to_owned).to_vec());
        list.add(["1.0", "2.0", "x\n"].map(str::to_owned).to_vec());
        let list = list.finish();
        let names: Vec<&str> = list.rows.iter().map(|row| row.tag.as_str()).collect();
        assert_eq!(names, ["1.0", "2.0"]);
        let (count, first) = list.dropped.unwrap();
        assert_eq!(count, 3);
        assert!(first.contains("-evil"), "{first}");
    }

    #[test]
    fn a_page_may_have_null_tags_but_must_have_them() {
        assert!(serde_json::from_str::<Page>(r#"{"name":"a","tags":null}"#).unwrap().tags.is_none());
        assert!(serde_json::from_str::<Page>(r#"{"name":"a"}"#).is_err());
    }
}
