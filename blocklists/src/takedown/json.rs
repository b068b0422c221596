//! Records as JSON: one document, or one record a line.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::problem::{Place, Problem, Reason, Refusal};
use super::scheme::Scheme;
use super::{MAX_RECORD, Reading, VERSION};

/// The document. Fields of records are kept in order and as often as they stand there: a second `name` must not win
/// silently over the first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: Value,
    records: Vec<Object>,
}

/// An object as a list of fields, or something that is none.
enum Object {
    Fields(Vec<(String, Value)>),
    Other,
}

pub(super) fn read(octets: &[u8], scheme: &Scheme, reading: &mut Reading) {
    let document: Result<Document, _> = serde_json::from_slice(octets);
    match document {
        Ok(document) if document.version.as_u64() != Some(u64::from(VERSION)) => {
            let problems = vec![Problem { field: Some("version".to_owned()), reason: Reason::Version }];
            reading.refused.push(Refusal { place: Place::Whole, case_ref: None, problems });
        }
        Ok(document) => {
            for (object, number) in document.records.into_iter().zip(1..) {
                match object {
                    Object::Fields(fields) if size(&fields) > MAX_RECORD => {
                        reading.refuse(Place::Record(number), Reason::TooLong);
                    }
                    Object::Fields(fields) => reading.record(Place::Record(number), false, fields, scheme),
                    Object::Other => reading.refuse(Place::Record(number), Reason::NotAnObject),
                }
            }
        }
        Err(error) => match serde_json::from_slice(octets) {
            // One record that stands alone, over as many lines as it likes.
            Ok(Object::Fields(fields)) if fields.iter().all(|(name, _)| name != "records") => {
                lone(Place::Line(1), octets, fields, scheme, reading);
            }
            Ok(_) => reading.refuse(Place::Whole, Reason::NoRecords),
            Err(_) if is_lines(octets) => lines(octets, scheme, reading),
            Err(_) => reading.refuse(Place::Whole, Reason::Json { line: error.line(), column: error.column() }),
        },
    }
}

fn lone(place: Place, octets: &[u8], fields: Vec<(String, Value)>, scheme: &Scheme, reading: &mut Reading) {
    if octets.len() > MAX_RECORD {
        return reading.refuse(place, Reason::TooLong);
    }
    reading.record(place, true, fields, scheme);
}

/// Whether each line is meant to be a record: the first one, or most of them, begin and end as objects do. One broken
/// line must not turn the others into a broken document.
fn is_lines(octets: &[u8]) -> bool {
    let lines = || octets.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let object = |line: &&[u8]| line.starts_with(b"{") && line.ends_with(b"}");
    lines().next().is_some_and(|line| object(&line)) || 2 * lines().filter(object).count() > lines().count()
}

fn lines(octets: &[u8], scheme: &Scheme, reading: &mut Reading) {
    for (line, number) in octets.split(|octet| *octet == b'\n').zip(1..) {
        let (line, place) = (line.trim_ascii(), Place::Line(number));
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(Object::Fields(fields)) => lone(place, line, fields, scheme, reading),
            Ok(Object::Other) => reading.refuse(place, Reason::NotAnObject),
            Err(_) if std::str::from_utf8(line).is_err() => reading.refuse(place, Reason::NotUtf8),
            Err(error) => reading.refuse(place, Reason::Json { line: number as usize, column: error.column() }),
        }
    }
}

fn size(fields: &[(String, Value)]) -> usize {
    let text = |value: &Value| value.as_str().map_or(8, str::len);
    fields.iter().map(|(name, value)| name.len() + text(value)).sum()
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Object, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Object;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("anything")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object::Fields(fields))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Object, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Object::Other)
            }

            fn visit_unit<E>(self) -> Result<Object, E> {
                Ok(Object::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Object, E> {
                Ok(Object::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Object, E> {
                Ok(Object::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Object, E> {
                Ok(Object::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Object, E> {
                Ok(Object::Other)
            }

            fn visit_str<E>(self, _: &str) -> Result<Object, E> {
                Ok(Object::Other)
            }
        }

        input.deserialize_any(Any)
    }
}
