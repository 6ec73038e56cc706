//! Fields by name: the paths in the API server's messages, and the field sets in `managedFields`.
//!
//! A path reads `.spec.template.spec.containers[name="web"].env[name="A"].value`. Keys are printed without quoting, so
//! `.metadata.annotations.example.com/a.b` has only one meaning together with the object that it speaks of: a path is
//! always walked along an object, longest key first.

use serde_json::{Map, Value};

/// One step into an object.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

/// Removes what a path names, and says whether it was there.
pub(crate) fn remove(object: &mut Value, path: &str) -> bool {
    let Some(mut steps) = resolve(object, path) else { return false };
    let Some(last) = steps.pop() else { return false };
    let Some(parent) = walk(object, &steps) else { return false };
    match (parent, last) {
        (Value::Object(map), Step::Key(key)) => map.remove(&key).is_some(),
        (Value::Array(list), Step::Index(index)) if index < list.len() => {
            list.remove(index);
            true
        }
        _ => false,
    }
}

/// Of the entries of the list at `path` that have `key` (`[name="A"]`), keeps the last. Says how many went.
pub(crate) fn keep_last(object: &mut Value, path: &str, key: &str) -> usize {
    let Some(steps) = resolve(object, path) else { return 0 };
    let Some(Value::Array(list)) = walk(object, &steps) else { return 0 };
    let Some((selector, "")) = selector(key) else { return 0 };
    let matching: Vec<usize> = (0..list.len()).filter(|&index| selector.matches(&list[index])).collect();
    let Some((_, earlier)) = matching.split_last() else { return 0 };
    for index in earlier.iter().rev() {
        list.remove(*index);
    }
    earlier.len()
}

/// The last plain key of a path: `env` for `.spec.containers[name="a"].env`.
pub(crate) fn last_key(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, key)| key)
}

fn walk<'a>(mut value: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    for step in steps {
        value = match step {
            Step::Key(key) => value.get_mut(key)?,
            Step::Index(index) => value.get_mut(*index)?,
        };
    }
    Some(value)
}

fn resolve(value: &Value, path: &str) -> Option<Vec<Step>> {
    if path.is_empty() {
        return Some(Vec::new());
    }
    let mut found = Vec::new();
    match value {
        Value::Object(map) => {
            let rest = path.strip_prefix('.')?;
            let mut keys: Vec<&String> = map.keys().filter(|key| rest.starts_with(key.as_str())).collect();
            keys.sort_by_key(|key| std::cmp::Reverse(key.len()));
            for key in keys {
                let rest = &rest[key.len()..];
                if !(rest.is_empty() || rest.starts_with(['.', '['])) {
                    continue;
                }
                if let Some(steps) = resolve(&map[key], rest) {
                    found.push(Step::Key(key.clone()));
                    found.extend(steps);
                    return Some(found);
                }
            }
            None
        }
        Value::Array(list) => {
            let (selector, rest) = selector(path)?;
            for (index, entry) in list.iter().enumerate() {
                if !selector.is(index, entry) {
                    continue;
                }
                if let Some(steps) = resolve(entry, rest) {
                    found.push(Step::Index(index));
                    found.extend(steps);
                    return Some(found);
                }
            }
            None
        }
        _ => None,
    }
}

/// Chooses entries of a list.
#[derive(Debug, PartialEq)]
enum Selector {
    /// `[name="A"]`, `[containerPort=80,protocol="TCP"]`
    Keys(Vec<(String, Value)>),
    /// `[="a/b"]`
    Is(Value),
    /// `[3]`
    At(usize),
}

impl Selector {
    fn is(&self, index: usize, entry: &Value) -> bool {
        match self {
            Self::At(at) => *at == index,
            _ => self.matches(entry),
        }
    }

    fn matches(&self, entry: &Value) -> bool {
        match self {
            Self::Keys(keys) => keys.iter().all(|(key, value)| match entry.get(key) {
                Some(found) => found == value,
                // Keys with a default may be missing: of built-in kinds these are ports' protocols.
                None => key == "protocol" && value == "TCP",
            }),
            Self::Is(value) => entry == value,
            Self::At(_) => false,
        }
    }
}

/// Reads one `[…]`, and gives back what follows it.
fn selector(path: &str) -> Option<(Selector, &str)> {
    let mut rest = path.strip_prefix('[')?;
    if let Some(value) = rest.strip_prefix('=') {
        let (value, rest) = json(value)?;
        return Some((Selector::Is(value), rest.strip_prefix(']')?));
    }
    if let Some((digits, after)) = rest.split_once(']')
        && let Ok(index) = digits.parse()
    {
        return Some((Selector::At(index), after));
    }
    let mut keys = Vec::new();
    loop {
        let (key, value) = rest.split_once('=')?;
        let (value, after) = json(value)?;
        keys.push((key.to_owned(), value));
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Some((Selector::Keys(keys), after.strip_prefix(']')?)),
        }
    }
}

/// Reads one JSON value at the beginning of a text.
fn json(text: &str) -> Option<(Value, &str)> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = stream.next()?.ok()?;
    Some((value, text.get(stream.byte_offset()..)?))
}

/// The set of all fields of two sets of `managedFields` (`fieldsV1`).
pub(crate) fn union(left: &mut Map<String, Value>, right: &Map<String, Value>) {
    for (key, more) in right {
        match (left.get_mut(key), more) {
            (Some(Value::Object(have)), Value::Object(more)) => union(have, more),
            (Some(_), _) => {}
            (None, more) => {
                left.insert(key.clone(), more.clone());
            }
        }
    }
}

/// The paths of the plain fields in a set: `.spec.replicas` for `{"f:spec":{"f:replicas":{}}}`.
pub(crate) fn plain_paths(fields: &Value) -> Vec<String> {
    fn collect(fields: &Value, path: &str, paths: &mut Vec<String>) {
        let Some(map) = fields.as_object() else { return };
        if map.is_empty() {
            paths.push(path.to_owned());
        }
        for (key, inner) in map {
            if let Some(name) = key.strip_prefix("f:") {
                collect(inner, &format!("{path}.{name}"), paths);
            }
        }
    }
    let mut paths = Vec::new();
    collect(fields, "", &mut paths);
    paths.retain(|path| !path.is_empty());
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn deployment() -> Value {
        json!({
            "metadata": {"annotations": {"fluxcd.io/automated": "true", "fluxcd.io": "x", "a.b": "1", "a.b.c": "2"}, "finalizers": ["x/y", "z"]},
            "spec": {"replicas": 2, "containers": [
                {"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]},
                {"name": "b]\"=", "env": [{"name": "A", "value": "1"}, {"name": "B"}, {"name": "A", "value": "2"}]}]}
        })
    }

    #[rstest]
    #[case(".spec.replicas", "/spec/replicas")]
    #[case(".metadata.annotations.fluxcd.io/automated", "/metadata/annotations/fluxcd.io~1automated")]
    #[case(".metadata.annotations.a.b", "/metadata/annotations/a.b")]
    #[case(".metadata.annotations.a.b.c", "/metadata/annotations/a.b.c")]
    #[case(".metadata.finalizers[=\"z\"]", "/metadata/finalizers/1")]
    #[case(".spec.containers[1].env", "/spec/containers/1/env")]
    #[case(".spec.containers[name=\"b]\\\"=\"].env[name=\"B\"].name", "/spec/containers/1/env/1/name")]
    fn paths_name_what_they_say(#[case] path: &str, #[case] pointer: &str) {
        let mut object = deployment();
        assert!(object.pointer(pointer).is_some());
        let before = object.pointer(pointer).cloned();
        assert!(remove(&mut object, path), "{path}");
        assert_ne!(object.pointer(pointer).cloned(), before);
        assert!(!remove(&mut deployment(), &format!("{path}.nothing")));
    }

    #[test]
    fn default_protocol_counts_in_a_key() {
        let mut object = deployment();
        assert!(remove(&mut object, ".spec.containers[name=\"a\"].ports[containerPort=80,protocol=\"TCP\"]"));
        assert_eq!(object["spec"]["containers"][0]["ports"], json!([{"containerPort": 80, "protocol": "UDP"}]));
    }

    #[test]
    fn last_of_duplicates_stays_where_it_is() {
        let mut object = deployment();
        assert_eq!(keep_last(&mut object, ".spec.containers[1].env", "[name=\"A\"]"), 1);
        assert_eq!(object["spec"]["containers"][1]["env"], json!([{"name": "B"}, {"name": "A", "value": "2"}]));
        assert_eq!(keep_last(&mut object, ".spec.containers[1].env", "[name=\"A\"]"), 0);
    }

    #[test]
    fn field_sets_are_joined() {
        let mut left = json!({"f:spec": {"f:a": {}, "k:{\"name\":\"x\"}": {".": {}}}});
        let right = json!({"f:spec": {"f:b": {}, "k:{\"name\":\"x\"}": {"f:c": {}}}, "f:data": {}});
        union(left.as_object_mut().unwrap(), right.as_object().unwrap());
        assert_eq!(
            left,
            json!({"f:spec": {"f:a": {}, "f:b": {}, "k:{\"name\":\"x\"}": {".": {}, "f:c": {}}}, "f:data": {}})
        );
    }

    #[test]
    fn plain_paths_of_a_set() {
        assert_eq!(plain_paths(&json!({"f:spec": {"f:replicas": {}}})), [".spec.replicas"]);
    }
}
