//! Which bytes are replaced by which.

use std::ops::Range;

use tagboat_image::Reference;

use super::EditError;
use crate::workload::Shape;
use crate::yaml::{Kind, Node, NodeId, Style, Tag, stays_a_string};

/// One scalar's new text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) document: usize,
    pub(super) node: NodeId,
    pub(super) path: String,
    pub(super) line: usize,
    /// What the scalar will say.
    pub(super) value: String,
    bytes: Range<usize>,
    /// The bytes that say it.
    written: String,
}

/// The scalar's new value; `None` if it says so already.
///
/// `written` is what the scalar says now. Where the tag stands apart that is the tag; else it is the name as it was
/// written, with tag and digest after it.
pub(super) fn new_value(
    from: &Reference,
    to: &Reference,
    shape: Shape,
    written: &str,
) -> Result<Option<String>, String> {
    if to.tag().is_none() && to.digest().is_none() {
        return Err(format!("{to} has neither tag nor digest"));
    }
    if from.digest().is_some() && to.digest().is_none() {
        return Err(format!("{from} is pinned by its digest; give the new digest too, as in {to}@sha256:…"));
    }
    let version = to.version();
    if version == from.version() {
        return Ok(None);
    }
    if matches!(shape, Shape::Tag | Shape::RegistryAndTag) {
        if to.tag().is_none() {
            return Err(format!("the tag stands in a value of its own, and {to} has none"));
        }
        return Ok(Some(version));
    }
    let name = match written.split_once('@') {
        Some((named, _)) => named,
        None => written,
    };
    // A registry that stands apart is not in this value; whatever is before the tag stays as it is.
    let name = match from.tag() {
        Some(tag) => name.strip_suffix(tag.as_str()).and_then(|name| name.strip_suffix(':')).unwrap_or(name),
        None => name,
    };
    let separator = if to.tag().is_some() { ":" } else { "" };
    Ok(Some(format!("{name}{separator}{version}")))
}

impl Splice {
    /// Replaces the text of a scalar, keeping the way it is quoted.
    pub(super) fn new(text: &str, node: &Node<'_>, value: String) -> Result<Self, String> {
        let Kind::Scalar(old, style) = &node.kind else {
            return Err("it is not a scalar".to_owned());
        };
        match &node.tag {
            Tag::None | Tag::Str => {}
            Tag::Core(name) => return Err(format!("it has the explicit tag !!{name}")),
            Tag::Other(name) => return Err(format!("it has the explicit tag {name}")),
        }
        let raw = text.get(node.bytes.clone()).unwrap_or_default();
        if raw.contains(['\n', '\r']) && *style != Style::Block {
            return Err("it is written over several lines".to_owned());
        }
        let written = match style {
            Style::Block => return Err("it is a block scalar (| or >)".to_owned()),
            Style::Quoted => {
                // The characters of references need no escape in either kind of quotes.
                let Some(quote) = raw.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
                    return Err("its quotes were not found".to_owned());
                };
                format!("{quote}{value}{quote}")
            }
            Style::Plain if raw.is_empty() => return Err("it is empty, so it has no place to edit".to_owned()),
            Style::Plain if raw != old => return Err("its text was not found".to_owned()),
            Style::Plain if node.tag == Tag::Str || stays_a_string(&value) => value.clone(),
            Style::Plain => format!("\"{value}\""),
        };
        Ok(Self {
            document: 0,
            node: NodeId::default(),
            path: String::new(),
            line: node.line,
            value,
            bytes: node.bytes.clone(),
            written,
        })
    }

    pub(super) fn at(self, document: usize, node: NodeId, path: String) -> Self {
        Self { document, node, path, ..self }
    }
}

/// In the order of the text, each place once.
pub(super) fn merge(mut splices: Vec<Splice>) -> Result<Vec<Splice>, EditError> {
    splices.sort_by_key(|splice| splice.bytes.start);
    for pair in splices.windows(2) {
        let [first, second] = pair else { continue };
        if first.bytes == second.bytes && first.value != second.value {
            return Err(EditError::Contradiction {
                path: first.path.clone(),
                line: first.line,
                first: first.value.clone(),
                second: second.value.clone(),
            });
        }
    }
    splices.dedup_by(|a, b| a.bytes == b.bytes);
    Ok(splices)
}

/// The text with the splices, which are in its order, done.
pub(super) fn apply(text: &str, splices: &[Splice]) -> String {
    let grown: usize = splices.iter().map(|splice| splice.written.len()).sum();
    let mut out = String::with_capacity(text.len() + grown);
    let mut done = 0;
    for splice in splices {
        out.push_str(&text[done..splice.bytes.start]);
        out.push_str(&splice.written);
        done = splice.bytes.end;
    }
    out.push_str(&text[done..]);
    out
}
