//! Unknown keys, each with the nearest known one.

use super::model::Config;
use serde_json::Value;

/// The unknown keys of a configuration, in the order of the file's keys.
pub fn unknown(value: &Value) -> Vec<String> {
    let schema = Value::from(schemars::schema_for!(Config));
    let mut problems = Vec::new();
    visit(value, &schema, &schema, "", &mut |path, key, known| {
        let near = known
            .iter()
            .map(|other| (strsim::jaro_winkler(key, other), other))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(likeness, _)| *likeness > 0.7);
        let hint = match near {
            Some((_, near)) => format!("did you mean {near:?}?"),
            None => format!("known are {}", known.join(", ")),
        };
        problems.push(format!("{path}{key}: unknown key; {hint}"));
    });
    problems
}

/// The configuration without its unknown keys, so that what else is wrong can be told, too.
pub fn without_unknown(mut value: Value) -> Value {
    let schema = Value::from(schemars::schema_for!(Config));
    prune(&mut value, &schema, &schema);
    value
}

fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let target = |schema: &'a Value| {
        let name = schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
        root.get("$defs")?.get(name)
    };
    if let Some(found) = target(schema) {
        return found;
    }
    // An optional structure is `anyOf: [the structure, null]`.
    let branches = schema.get("anyOf").and_then(Value::as_array);
    branches.into_iter().flatten().find_map(target).unwrap_or(schema)
}

fn properties<'a>(schema: &'a Value, root: &'a Value) -> Option<&'a serde_json::Map<String, Value>> {
    resolve(schema, root).get("properties")?.as_object()
}

fn visit(value: &Value, schema: &Value, root: &Value, path: &str, found: &mut dyn FnMut(&str, &str, &[&str])) {
    match value {
        Value::Object(map) => {
            let Some(known) = properties(schema, root) else { return };
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            for (key, inner) in map {
                match known.get(key) {
                    Some(schema) => visit(inner, schema, root, &format!("{path}{key}."), found),
                    None => found(path, key, &names),
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = resolve(schema, root).get("items") else { return };
            for (index, item) in items.iter().enumerate() {
                visit(item, schema, root, &format!("{}[{index}].", path.trim_end_matches('.')), found);
            }
        }
        _ => {}
    }
}

fn prune(value: &mut Value, schema: &Value, root: &Value) {
    match value {
        Value::Object(map) => {
            let Some(known) = properties(schema, root) else { return };
            map.retain(|key, _| known.contains_key(key));
            for (key, inner) in map {
                if let Some(schema) = known.get(key) {
                    prune(inner, schema, root);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = resolve(schema, root).get("items") else { return };
            items.iter_mut().for_each(|item| prune(item, schema, root));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(schema: &Value, root: &Value, found: &mut Vec<String>) {
        let items = resolve(schema, root).get("items");
        let Some(known) = properties(items.unwrap_or(schema), root) else { return };
        for (key, inner) in known {
            found.push(key.clone());
            leaves(inner, root, found);
        }
    }

    #[test]
    fn every_key_is_documented() {
        let schema = Value::from(schemars::schema_for!(Config));
        let mut keys = Vec::new();
        leaves(&schema, &schema, &mut keys);
        assert!(keys.len() > 40, "{keys:?}");
        let page = include_str!("../../../../docs/CONFIGURATION.md");
        let missing: Vec<_> = keys.iter().filter(|key| !page.contains(key.as_str())).collect();
        assert!(missing.is_empty(), "docs/CONFIGURATION.md lacks {missing:?}");
    }
}
