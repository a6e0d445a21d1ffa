//! Decides how a schema in Google's dialect of OpenAPI reads as JSON Schema.
//! Does not judge a schema: what it does not know stays.

use serde_json::{Map, Value};

/// Levels that are looked into; a scanned body has no more.
const DEPTH_MAX: usize = 128;

/// Types in small letters, `nullable` as a second type.
pub(super) fn standard(schema: &[u8]) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(schema).ok()?;
    mend(&mut value, DEPTH_MAX);
    serde_json::to_vec(&value).ok()
}

fn mend(schema: &mut Value, depth: usize) {
    let (Value::Object(schema), Some(below)) = (schema, depth.checked_sub(1)) else { return };
    own(schema);
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key) {
            mend(inner, below);
        }
    }
    for key in ["anyOf", "prefixItems"] {
        if let Some(Value::Array(list)) = schema.get_mut(key) {
            for inner in list {
                mend(inner, below);
            }
        }
    }
    for key in ["properties", "$defs"] {
        if let Some(Value::Object(named)) = schema.get_mut(key) {
            for inner in named.values_mut() {
                mend(inner, below);
            }
        }
    }
}

fn own(schema: &mut Map<String, Value>) {
    let nullable = schema.remove("nullable") == Some(Value::Bool(true));
    schema.remove("propertyOrdering");
    let Some(Value::String(word)) = schema.get("type") else { return };
    let word = word.to_ascii_lowercase();
    let kind = if nullable { vec![word, "null".to_owned()].into() } else { Value::String(word) };
    schema.insert("type".to_owned(), kind);
    // Google writes bounds that are counts as text.
    for key in ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"]
    {
        let count =
            schema.get(key).and_then(Value::as_str).and_then(|text| text.parse::<u64>().ok());
        if let Some(count) = count {
            schema.insert(key.to_owned(), count.into());
        }
    }
}
