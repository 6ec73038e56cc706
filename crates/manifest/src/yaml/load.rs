//! From text to documents: the only place that knows the parser.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};

use super::scalar::key_text;
use super::{Document, DuplicateKey, Fault, Kind, MAX_DEPTH, Node, NodeId, Style, Tag};

/// Reads a stream of documents. A document that does not parse is an `Err`; the others are not touched by it.
pub(crate) fn load(text: &str) -> Vec<Result<Document<'_>, Fault>> {
    // Comments are not needed, and the parser would bound how many it buffers.
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut documents = Vec::new();
    loop {
        match read_document(text, &mut parser) {
            Ok(Some(document)) => documents.push(Ok(document)),
            Ok(None) => return documents,
            Err(fault) => {
                documents.push(Err(fault));
                // Resumes at the next document marker; what it cannot resume from has been reported.
                if !parser.proceed_next_document().unwrap_or(false) {
                    return documents;
                }
            }
        }
    }
}

type Events<'a> = Parser<'a, granit_parser::StrInput<'a>>;

fn read_document<'a>(text: &'a str, parser: &mut Events<'a>) -> Result<Option<Document<'a>>, Fault> {
    let mut builder = Builder {
        text,
        nodes: Vec::new(),
        open: Vec::new(),
        anchors: HashMap::new(),
        aliased: HashMap::new(),
        duplicates: Vec::new(),
        root: None,
    };
    let mut start = 0;
    loop {
        let Some(next) = parser.next_event() else { return Ok(None) };
        let (event, span) = next.map_err(|error| describe(text, &error))?;
        match event {
            Event::StreamEnd => return Ok(None),
            Event::DocumentStart(..) => start = span.byte_range().map_or(0, |bytes| bytes.start),
            Event::DocumentEnd => {
                let end = span.byte_range().map_or(text.len(), |bytes| bytes.end);
                return Ok(builder.finish(start..end.max(start)));
            }
            event => builder.take(event, &span)?,
        }
    }
}

/// A collection that is being read.
enum Open {
    Sequence { id: NodeId, items: Vec<NodeId> },
    Mapping { id: NodeId, entries: Vec<(NodeId, NodeId)>, key: Option<NodeId> },
}

struct Builder<'a> {
    text: &'a str,
    nodes: Vec<Node<'a>>,
    open: Vec<Open>,
    anchors: HashMap<usize, NodeId>,
    aliased: HashMap<NodeId, usize>,
    duplicates: Vec<DuplicateKey>,
    root: Option<NodeId>,
}

impl<'a> Builder<'a> {
    fn take(&mut self, event: Event<'a>, span: &Span) -> Result<(), Fault> {
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let id = self.add(Kind::Scalar(value, style), anchor, tag, span)?;
                self.attach(id);
            }
            Event::SequenceStart(_, anchor, tag) => {
                let id = self.add(Kind::Sequence(Vec::new()), anchor, tag, span)?;
                self.open(Open::Sequence { id, items: Vec::new() }, span)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                let id = self.add(Kind::Mapping(Vec::new()), anchor, tag, span)?;
                self.open(Open::Mapping { id, entries: Vec::new(), key: None }, span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => {
                let line = span.start.line();
                let Some(&target) = self.anchors.get(&anchor) else {
                    return Err(fault_at(span, "the alias names no anchor of this document".to_owned()));
                };
                let contains_itself = self.open.iter().any(|open| match open {
                    Open::Sequence { id, .. } | Open::Mapping { id, .. } => *id == target,
                });
                if contains_itself {
                    let anchor_line = self.nodes[target.0 as usize].line;
                    let text =
                        format!("the alias names the collection that it is in, which begins at line {anchor_line}");
                    return Err(fault_at(span, text));
                }
                self.aliased.entry(target).or_insert(line);
                let id = self.add(Kind::Alias(target), 0, None, span)?;
                self.attach(id);
            }
            _ => {}
        }
        Ok(())
    }

    fn add(
        &mut self,
        kind: Kind<'a>,
        anchor: usize,
        tag: Option<Cow<'a, granit_parser::Tag>>,
        span: &Span,
    ) -> Result<NodeId, Fault> {
        let Ok(index) = u32::try_from(self.nodes.len()) else {
            return Err(fault_at(span, "the document has too many nodes".to_owned()));
        };
        let id = NodeId(index);
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        self.nodes.push(Node {
            kind,
            tag: tag.map_or(Tag::None, |tag| classify(&tag)),
            bytes: span.byte_range().unwrap_or_default(),
            line: span.start.line(),
            column: span.start.col() + 1,
        });
        Ok(id)
    }

    fn open(&mut self, open: Open, span: &Span) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(fault_at(span, too_deep()));
        }
        self.open.push(open);
        Ok(())
    }

    fn attach(&mut self, id: NodeId) {
        match self.open.last_mut() {
            None => self.root = Some(id),
            Some(Open::Sequence { items, .. }) => items.push(id),
            Some(Open::Mapping { entries, key, .. }) => match key.take() {
                None => *key = Some(id),
                Some(key) => entries.push((key, id)),
            },
        }
    }

    fn close(&mut self, span: &Span) {
        let (id, kind) = match self.open.pop() {
            None => return,
            Some(Open::Sequence { id, items }) => (id, Kind::Sequence(items)),
            Some(Open::Mapping { id, entries, .. }) => {
                self.note_duplicates(&entries);
                (id, Kind::Mapping(entries))
            }
        };
        let node = &mut self.nodes[id.0 as usize];
        node.kind = kind;
        node.bytes.end = span.byte_range().map_or(node.bytes.end, |bytes| bytes.end.max(node.bytes.start));
        self.attach(id);
    }

    fn note_duplicates(&mut self, entries: &[(NodeId, NodeId)]) {
        let mut seen: HashMap<Cow<'_, str>, usize> = HashMap::with_capacity(entries.len());
        for (key, _) in entries {
            let node = &self.nodes[key.0 as usize];
            let Some(text) = key_text(node) else { continue };
            if text == "<<" {
                continue;
            }
            match seen.get(&text) {
                Some(&first_line) => self.duplicates.push(DuplicateKey {
                    key: text.into_owned(),
                    first_line,
                    line: node.line,
                    column: node.column,
                }),
                None => {
                    seen.insert(text, node.line);
                }
            }
        }
    }

    fn finish(self, bytes: std::ops::Range<usize>) -> Option<Document<'a>> {
        Some(Document {
            text: self.text,
            nodes: self.nodes,
            root: self.root?,
            aliased: self.aliased,
            duplicates: self.duplicates,
            bytes,
        })
    }
}

fn classify(tag: &granit_parser::Tag) -> Tag {
    const NAMESPACE: &str = "tag:yaml.org,2002:";
    if tag.handle().is_empty() && tag.suffix() == "!" {
        return Tag::Str;
    }
    match tag.suffix_in_namespace(NAMESPACE) {
        Some(name) if name == "str" => Tag::Str,
        Some(name) => Tag::Core(name.into_owned()),
        None => Tag::Other(tag.original()),
    }
}

fn too_deep() -> String {
    format!("collections are nested more than {MAX_DEPTH} deep")
}

fn fault_at(span: &Span, text: String) -> Fault {
    let at = span.byte_range().map_or(0, |bytes| bytes.start);
    Fault { at, line: span.start.line(), column: span.start.col() + 1, text }
}

fn describe(text: &str, error: &ScanError) -> Fault {
    let mark = error.marker();
    let at = mark.byte_offset().unwrap_or_default();
    let (line, column) = (mark.line().max(1), mark.col() + 1);
    let reason = match error.kind() {
        ErrorKind::RecursionLimitExceeded => return Fault { at, line, column, text: too_deep() },
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            "tab used for indent; YAML is indented with spaces".to_owned()
        }
        _ => error.info(),
    };
    let about_tabs = reason.contains("tab");
    match tab_from(text, at, line).filter(|(_, tab_line, _)| about_tabs || *tab_line == line) {
        Some((at, line, column)) if about_tabs => {
            Fault { at, line, column, text: "tab used for indent; YAML is indented with spaces".to_owned() }
        }
        Some(_) => {
            let hint = "; this line has a tab in its indent, YAML is indented with spaces";
            Fault { at, line, column, text: reason + hint }
        }
        None => Fault { at, line, column, text: reason },
    }
}

/// The first tab in an indent at or after the line of a byte: the parser tells where the value before it began.
fn tab_from(text: &str, at: usize, line: usize) -> Option<(usize, usize, usize)> {
    /// How far the value before the tab may reach, in lines.
    const LINES: usize = 100;
    let mut start = text.get(..at)?.rfind('\n').map_or(0, |before| before + 1);
    for (number, content) in (line..).zip(text.get(start..)?.split_inclusive('\n').take(LINES)) {
        let indent = &content[..content.len() - content.trim_start().len()];
        if let Some(tab) = indent.find('\t').filter(|_| !content.trim().is_empty()) {
            return Some((start + tab, number, content[..tab].chars().count() + 1));
        }
        start += content.len();
    }
    None
}
