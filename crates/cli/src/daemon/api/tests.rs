//! The document and the code say the same.

use std::fmt;

use serde::de;

use super::*;

/// The names of the fields of `P`, as its reader asks for them.
pub(super) fn fields<P: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    let _ = P::deserialize(Asked(&mut names));
    names
}

/// Notes what is asked for, and gives nothing.
struct Asked<'a>(&'a mut &'static [&'static str]);

#[derive(Debug)]
struct Nobody;

impl fmt::Display for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is nothing to read")
    }
}

impl std::error::Error for Nobody {}

impl de::Error for Nobody {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Nobody;

    fn deserialize_any<V: de::Visitor<'de>>(self, _: V) -> Result<V::Value, Nobody> {
        Err(Nobody)
    }

    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Nobody> {
        *self.0 = fields;
        Err(Nobody)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

async fn api() -> Api {
    let node = Node::spawn().await.expect("a node starts");
    Api::new(node, Arc::default())
}

#[tokio::test]
async fn each_method_is_in_the_document_with_its_parameters_and_the_other_way_round() {
    let api = api().await;
    let document: Value = serde_json::from_str(SCHEMA).expect("the document is JSON");
    let methods = document["methods"].as_array().expect("it lists methods");
    let documented: std::collections::BTreeMap<_, _> = methods
        .iter()
        .map(|method| {
            let params = method["params"]
                .as_array()
                .expect("each lists its parameters");
            let names: Vec<_> = params
                .iter()
                .filter_map(|param| param["name"].as_str())
                .collect();
            (method["name"].as_str().expect("each has a name"), names)
        })
        .collect();
    assert_eq!(documented.len(), methods.len(), "each is there once");
    let registered: std::collections::BTreeMap<_, _> = api
        .params
        .iter()
        .map(|(name, params)| (*name, params.to_vec()))
        .collect();
    assert_eq!(registered, documented);
    let mut names: Vec<_> = api.module.method_names().collect();
    names.sort_unstable();
    assert_eq!(
        names,
        registered.into_keys().collect::<Vec<_>>(),
        "nothing is registered by another way"
    );
}

#[tokio::test]
async fn what_the_document_calls_required_is_and_nothing_else() {
    let api = api().await;
    let methods: Methods = api.module.into();
    let document: Value = serde_json::from_str(SCHEMA).expect("the document is JSON");
    for method in document["methods"].as_array().expect("it lists methods") {
        let name = method["name"].as_str().expect("each has a name");
        if method["paramStructure"] == "by-position" {
            // It is jsonrpsee's own.
            continue;
        }
        let params = method["params"]
            .as_array()
            .expect("each lists its parameters");
        let needs_some = params.iter().any(|param| param["required"] == true);
        let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{name}"}}"#);
        let asked = methods
            .raw_json_request(&call, 1)
            .await
            .expect("it is a call");
        let answer: Value = serde_json::from_str(asked.0.get()).expect("it answers JSON");
        let is_refused = answer["error"]["code"] == -32602;
        assert_eq!(is_refused, needs_some, "{name}: {answer}");
        let call =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{name}","params":{{"nonsense":1}}}}"#);
        let asked = methods
            .raw_json_request(&call, 1)
            .await
            .expect("it is a call");
        assert!(asked.0.get().contains("nonsense"), "{name}: {}", asked.0);
    }
}
