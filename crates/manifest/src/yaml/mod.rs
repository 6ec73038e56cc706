//! YAML text as a tree of nodes that know their bytes.
//!
//! `load` turns parser events into one [`Document`] for each document that parses; a document that does not is an error
//! of its own, and the next `---` starts afresh. Nothing is expanded or converted there: an alias stays an alias until
//! somebody reads through it, so that what a document never uses costs nothing and cannot hurt.

mod json;
mod load;
mod place;
mod scalar;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

pub(crate) use json::to_json;
pub(crate) use load::load;
pub use place::Obstacle;
pub(crate) use place::Place;
pub(crate) use scalar::{Scalar, resolve, stays_a_string};

/// Deepest nesting of collections that is read.
pub(crate) const MAX_DEPTH: usize = 128;

/// Something wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Which byte of the text.
    pub(crate) at: usize,
    /// From 1.
    pub(crate) line: usize,
    /// In characters from 1.
    pub(crate) column: usize,
    pub(crate) text: String,
}

impl Fault {
    /// A fault of a node.
    pub(crate) fn of(node: &Node<'_>, text: String) -> Self {
        Self { at: node.bytes.start, line: node.line, column: node.column, text }
    }
}

/// The line that a byte is on.
pub(crate) fn line_at(text: &str, at: usize) -> &str {
    let bytes = text.as_bytes();
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let at = at.min(bytes.len());
    let start = bytes[..at].iter().rposition(is_break).map_or(0, |before| before + 1);
    let end = bytes[at..].iter().position(is_break).map_or(bytes.len(), |after| at + after);
    text.get(start..end).unwrap_or_default()
}

/// Index of a node in its document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(u32);

/// One document that parsed.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    pub(crate) text: &'a str,
    nodes: Vec<Node<'a>>,
    pub(crate) root: NodeId,
    /// For an anchored node that some alias names: the line of its first alias.
    aliased: HashMap<NodeId, usize>,
    pub(crate) duplicates: Vec<DuplicateKey>,
    /// The document's bytes, its `---` included.
    pub(crate) bytes: Range<usize>,
}

/// A key that stands twice in one mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DuplicateKey {
    pub(crate) key: String,
    pub(crate) first_line: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A node: what it is, and which bytes it takes.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) tag: Tag,
    pub(crate) bytes: Range<usize>,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    Scalar(Cow<'a, str>, Style),
    Sequence(Vec<NodeId>),
    Mapping(Vec<(NodeId, NodeId)>),
    Alias(NodeId),
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
    Block,
}

/// The explicit tag of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tag {
    /// None: the text decides.
    None,
    /// `!!str`, or the non-specific `!`: a string, whatever the text.
    Str,
    /// `!!name` for another name of the YAML namespace.
    Core(String),
    /// Any other, as it was written.
    Other(String),
}

impl<'a> Document<'a> {
    pub(crate) fn node(&self, id: NodeId) -> &Node<'a> {
        &self.nodes[id.0 as usize]
    }

    /// The node that an alias stands for; any other node is itself. (An alias never names an alias.)
    pub(crate) fn target(&self, id: NodeId) -> NodeId {
        match self.node(id).kind {
            Kind::Alias(target) => target,
            _ => id,
        }
    }

    /// Whether the document says nothing: it is empty, or comments only.
    pub(crate) fn is_empty(&self) -> bool {
        let node = self.node(self.root);
        matches!(&node.kind, Kind::Scalar(text, Style::Plain) if text.is_empty() || text == "~")
            && node.tag == Tag::None
    }

    /// Whether two documents have the same content, node by node, but for scalars given with their new text.
    pub(crate) fn differs_only_in(&self, after: &Document<'_>, changed: &HashMap<NodeId, &str>) -> bool {
        let same_links = self.root == after.root && self.nodes.len() == after.nodes.len();
        same_links
            && self.nodes.iter().zip(&after.nodes).enumerate().all(|(index, (old, new))| {
                let id = NodeId(u32::try_from(index).unwrap_or(u32::MAX));
                match (&old.kind, &new.kind) {
                    (Kind::Scalar(a, _), Kind::Scalar(b, style)) => match changed.get(&id) {
                        Some(wanted) => {
                            b == wanted
                                && old.tag == new.tag
                                && matches!(resolve(b, *style, &new.tag), Ok(Scalar::Str(_)))
                        }
                        None => {
                            a == b
                                && old.tag == new.tag
                                && resolve(a, style_of(old), &old.tag).ok() == resolve(b, *style, &new.tag).ok()
                        }
                    },
                    (Kind::Sequence(a), Kind::Sequence(b)) => a == b && old.tag == new.tag,
                    (Kind::Mapping(a), Kind::Mapping(b)) => a == b && old.tag == new.tag,
                    (Kind::Alias(a), Kind::Alias(b)) => a == b,
                    _ => false,
                }
            })
    }
}

fn style_of(node: &Node<'_>) -> Style {
    match node.kind {
        Kind::Scalar(_, style) => style,
        _ => Style::Plain,
    }
}
