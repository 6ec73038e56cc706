//! Walking a document: reading through aliases and merges, and remembering what stands in the way of an edit.

use std::borrow::Cow;
use std::collections::HashSet;

use super::scalar::key_text;
use super::{Document, Kind, NodeId, Scalar, Style, resolve};

/// Why the value at a place cannot be edited where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The value, or a collection around it, is an alias: it stands elsewhere.
    #[error("it is an alias, at line {line}, of what stands at line {anchor_line}")]
    Alias {
        /// Where the alias is.
        line: usize,
        /// Where the anchor is.
        anchor_line: usize,
    },
    /// The value comes from a merge key (`<<`): it stands elsewhere.
    #[error("it comes from the merge key `<<` at line {line}")]
    Merge {
        /// Where the merge key is.
        line: usize,
    },
    /// The value, or a collection around it, has an anchor that an alias names: the edit would change both.
    #[error("it is anchored at line {line} and used again by the alias at line {alias_line}")]
    Shared {
        /// Where the anchored node is.
        line: usize,
        /// Where its first alias is.
        alias_line: usize,
    },
    /// A key on the way to the value stands twice.
    #[error("duplicate key {key:?} at line {line} (first at line {first_line})")]
    Duplicate {
        /// The key.
        key: String,
        /// The line of the first.
        first_line: usize,
        /// The line of the last, which is the one that counts.
        line: usize,
    },
}

/// A node and how it was reached.
#[derive(Debug, Clone)]
pub(crate) struct Place<'d, 'a> {
    pub(crate) document: &'d Document<'a>,
    /// Never an alias: its target.
    pub(crate) id: NodeId,
    /// The first thing on the way that an edit here would trip over.
    pub(crate) obstacle: Option<Obstacle>,
    /// The first duplicate key on the way.
    pub(crate) duplicate: Option<Obstacle>,
}

/// One key of a mapping, after merges.
pub(crate) struct Entry<'d, 'a> {
    pub(crate) key: Cow<'d, str>,
    pub(crate) key_id: NodeId,
    /// The mapping that the key stands in: this one, or one that is merged into it.
    mapping: NodeId,
    pub(crate) value: Place<'d, 'a>,
}

/// Most entries that merges may bring into one mapping.
const MAX_MERGED: usize = 10_000;

impl<'d, 'a> Place<'d, 'a> {
    pub(crate) fn root(document: &'d Document<'a>) -> Self {
        Self { document, id: document.root, obstacle: None, duplicate: None }.step(document.root)
    }

    /// A child of this place.
    fn step(&self, raw: NodeId) -> Self {
        let document = self.document;
        let id = document.target(raw);
        let own = if id == raw {
            document.aliased.get(&id).map(|&alias_line| Obstacle::Shared { line: document.node(id).line, alias_line })
        } else {
            Some(Obstacle::Alias { line: document.node(raw).line, anchor_line: document.node(id).line })
        };
        Self { document, id, obstacle: self.obstacle.clone().or(own), duplicate: self.duplicate.clone() }
    }

    pub(crate) fn line(&self) -> usize {
        self.document.node(self.id).line
    }

    pub(crate) fn column(&self) -> usize {
        self.document.node(self.id).column
    }

    /// The scalar here, if it is one that can be read.
    pub(crate) fn scalar(&self) -> Option<Scalar<'d>> {
        match &self.document.node(self.id).kind {
            Kind::Scalar(text, style) => resolve(text, *style, &self.document.node(self.id).tag).ok(),
            _ => None,
        }
    }

    /// The string here, if it is one.
    pub(crate) fn str(&self) -> Option<&'d str> {
        match self.scalar() {
            Some(Scalar::Str(text)) => Some(text),
            _ => None,
        }
    }

    /// For people: `number 1.1`, `a mapping`.
    pub(crate) fn describe(&self) -> String {
        match &self.document.node(self.id).kind {
            Kind::Mapping(_) => "a mapping".to_owned(),
            Kind::Sequence(_) => "a list".to_owned(),
            _ => self.scalar().map_or_else(|| "a value with a tag of its own".to_owned(), |scalar| scalar.describe()),
        }
    }

    pub(crate) fn is_mapping(&self) -> bool {
        matches!(self.document.node(self.id).kind, Kind::Mapping(_))
    }

    pub(crate) fn is_sequence(&self) -> bool {
        matches!(self.document.node(self.id).kind, Kind::Sequence(_))
    }

    /// The items of the sequence here; none if it is not one.
    pub(crate) fn items(&self) -> Vec<Self> {
        match &self.document.node(self.id).kind {
            Kind::Sequence(items) => items.iter().map(|&item| self.step(item)).collect(),
            _ => Vec::new(),
        }
    }

    /// The value of a key, through merges; of duplicates the last.
    pub(crate) fn get(&self, key: &str) -> Option<Self> {
        let Kind::Mapping(entries) = &self.document.node(self.id).kind else { return None };
        if entries.iter().any(|(id, _)| self.is_merge(*id)) {
            return self.entries().into_iter().find(|entry| entry.key == key).map(|entry| entry.value);
        }
        let mut found: Option<(NodeId, NodeId)> = None;
        let mut first = None;
        for &(key_id, value) in entries {
            if key_text(self.document.node(key_id)).is_some_and(|text| text == key) {
                first = first.or(Some(key_id));
                found = Some((key_id, value));
            }
        }
        let (key_id, value) = found?;
        Some(self.value_of(key, first, key_id, value))
    }

    /// What stands at a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(self.clone(), |place, key| place.get(key))
    }

    fn value_of(&self, key: &str, first: Option<NodeId>, key_id: NodeId, value: NodeId) -> Self {
        let mut place = self.step(value);
        if let Some(first) = first.filter(|first| *first != key_id) {
            let duplicate = Obstacle::Duplicate {
                key: key.to_owned(),
                first_line: self.document.node(first).line,
                line: self.document.node(key_id).line,
            };
            place.duplicate = place.duplicate.or(Some(duplicate));
        }
        place
    }

    fn is_merge(&self, key: NodeId) -> bool {
        matches!(&self.document.node(key).kind, Kind::Scalar(text, Style::Plain) if text == "<<")
    }

    /// The keys of the mapping here, in order, after merges and with the last of duplicates; none if it is not a mapping.
    pub(crate) fn entries(&self) -> Vec<Entry<'d, 'a>> {
        let mut out = Entries { list: Vec::new(), index: std::collections::HashMap::new(), merged: HashSet::new() };
        self.collect(&mut out, None);
        out.list
    }

    /// Sets keys in the order of the text, as go-yaml does: a merge overrides what stands before it, and is overridden by
    /// what stands after it.
    fn collect(&self, out: &mut Entries<'d, 'a>, merged_at: Option<usize>) {
        let Kind::Mapping(entries) = &self.document.node(self.id).kind else { return };
        for &(key_id, value) in entries {
            if self.is_merge(key_id) {
                let line = merged_at.unwrap_or(self.document.node(key_id).line);
                self.merge(value, line, out);
                continue;
            }
            let Some(key) = key_text(self.document.node(key_id)) else { continue };
            // Over a merged key it is an override, which is what merges are for, not a duplicate.
            let earlier = out.index.get(&key).map(|&at| &out.list[at]);
            let first = earlier.filter(|entry| entry.mapping == self.id).map(|entry| entry.key_id);
            let mut place = self.value_of(&key, first, key_id, value);
            if let Some(line) = merged_at {
                place.obstacle = Some(Obstacle::Merge { line });
            }
            out.set(Entry { key, key_id, mapping: self.id, value: place });
        }
    }

    fn merge(&self, value: NodeId, line: usize, out: &mut Entries<'d, 'a>) {
        let from = self.document.target(value);
        // One mapping merged twice brings nothing new, and may not be walked an exponential number of times.
        if out.list.len() > MAX_MERGED || !out.merged.insert(from) {
            return;
        }
        match &self.document.node(from).kind {
            Kind::Mapping(_) => self.step(value).collect(out, Some(line)),
            Kind::Sequence(items) => items.iter().rev().for_each(|&item| self.merge(item, line, out)),
            _ => {}
        }
    }
}

struct Entries<'d, 'a> {
    list: Vec<Entry<'d, 'a>>,
    index: std::collections::HashMap<Cow<'d, str>, usize>,
    merged: HashSet<NodeId>,
}

impl<'d, 'a> Entries<'d, 'a> {
    fn set(&mut self, entry: Entry<'d, 'a>) {
        match self.index.get(&entry.key) {
            Some(&at) => self.list[at] = entry,
            None => {
                self.index.insert(entry.key.clone(), self.list.len());
                self.list.push(entry);
            }
        }
    }
}
