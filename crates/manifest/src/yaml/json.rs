//! A document as the JSON that `kubectl` would send.

use serde_json::{Map, Number, Value};

use super::{Fault, Kind, MAX_DEPTH, NodeId, Place, Scalar, resolve};

/// Most nodes that aliases may bring into one object.
const MAX_ALIASED_NODES: usize = 10_000;
/// How many times larger than its document an object may become through aliases.
const MAX_GROWTH: usize = 10;

/// Converts what stands at a place.
pub(crate) fn to_json(place: &Place<'_, '_>) -> Result<Value, Fault> {
    let allowed = place.document.bytes.len().saturating_mul(MAX_GROWTH);
    Converter { aliased_nodes: 0, aliased_bytes: 0, allowed_bytes: allowed }.convert(place, place.id, 0, None)
}

struct Converter {
    aliased_nodes: usize,
    aliased_bytes: usize,
    allowed_bytes: usize,
}

impl Converter {
    /// `through` is the outermost alias that this node is read through.
    fn convert(
        &mut self,
        place: &Place<'_, '_>,
        id: NodeId,
        depth: usize,
        through: Option<NodeId>,
    ) -> Result<Value, Fault> {
        let document = place.document;
        let node = document.node(id);
        let fault = |text: String| Fault::of(node, text);
        if depth > MAX_DEPTH {
            return Err(fault(format!("collections are nested more than {MAX_DEPTH} deep through aliases")));
        }
        if let Some(alias) = through {
            self.aliased_nodes += 1;
            if let Kind::Scalar(text, _) = &node.kind {
                self.aliased_bytes += text.len();
            }
            if self.aliased_nodes > MAX_ALIASED_NODES || self.aliased_bytes > self.allowed_bytes {
                let alias = document.node(alias);
                let limit = if self.aliased_nodes > MAX_ALIASED_NODES {
                    format!("{MAX_ALIASED_NODES} nodes")
                } else {
                    format!("{MAX_GROWTH} times its size")
                };
                return Err(Fault::of(alias, format!("YAML expands to more than {limit} through aliases")));
            }
        }
        match &node.kind {
            Kind::Alias(target) => self.convert(place, *target, depth, through.or(Some(id))),
            Kind::Scalar(text, style) => match resolve(text, *style, &node.tag).map_err(fault)? {
                Scalar::Null => Ok(Value::Null),
                Scalar::Bool(value) => Ok(Value::Bool(value)),
                Scalar::Int(value) => Ok(Value::from(value)),
                Scalar::UInt(value) => Ok(Value::from(value)),
                Scalar::Float(value) => match Number::from_f64(value) {
                    Some(number) => Ok(Value::Number(number)),
                    None => Err(fault(format!("{text} cannot be written as JSON"))),
                },
                Scalar::Str(value) => Ok(Value::from(value)),
            },
            Kind::Sequence(items) => {
                let items = items.iter().map(|&item| self.convert(place, item, depth + 1, through));
                Ok(Value::Array(items.collect::<Result<_, _>>()?))
            }
            Kind::Mapping(entries) => {
                let mut map = Map::new();
                for &(key, value) in entries {
                    if is_merge(place, key) {
                        self.merge(place, value, depth, through, &mut map)?;
                        continue;
                    }
                    let key_node = document.node(document.target(key));
                    let Some(text) = super::scalar::key_text(key_node) else {
                        let text = "a key must be a string, got a collection, null or a value with a tag of its own";
                        return Err(Fault::of(key_node, text.to_owned()));
                    };
                    map.insert(text.into_owned(), self.convert(place, value, depth + 1, through)?);
                }
                Ok(Value::Object(map))
            }
        }
    }

    fn merge(
        &mut self,
        place: &Place<'_, '_>,
        value: NodeId,
        depth: usize,
        through: Option<NodeId>,
        into: &mut Map<String, Value>,
    ) -> Result<(), Fault> {
        let document = place.document;
        let node = document.node(document.target(value));
        match &node.kind {
            Kind::Mapping(_) => {
                if let Value::Object(map) = self.convert(place, value, depth, through.or(Some(value)))? {
                    into.extend(map);
                }
                Ok(())
            }
            Kind::Sequence(items) => {
                for &item in items.iter().rev() {
                    if !matches!(document.node(document.target(item)).kind, Kind::Mapping(_)) {
                        return Err(not_mergeable(document.node(item)));
                    }
                    self.merge(place, item, depth, through.or(Some(value)), into)?;
                }
                Ok(())
            }
            _ => Err(not_mergeable(node)),
        }
    }
}

fn not_mergeable(node: &super::Node<'_>) -> Fault {
    Fault::of(node, "the merge key `<<` takes a mapping or a list of mappings".to_owned())
}

fn is_merge(place: &Place<'_, '_>, key: NodeId) -> bool {
    matches!(&place.document.node(key).kind, Kind::Scalar(text, super::Style::Plain) if text == "<<")
}
