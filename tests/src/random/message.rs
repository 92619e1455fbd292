//! Random messages of a contract, by its descriptors: plausible ones, and those at the edges.

use std::collections::HashMap;

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};

use super::Chance;

/// Is how deep messages stand in each other.
const DEPTH_MAX: u32 = 5;

/// Are the lengths that contracts put their bounds at.
const LENGTHS: [usize; 14] = [1, 2, 3, 29, 30, 31, 35, 64, 80, 81, 128, 500, 512, 513];

/// Are texts that somebody, somewhere, did not expect.
const TEXTS: [&str; 28] = [
    "",
    " ",
    "a",
    "A_",
    "0",
    "*",
    ".",
    "..",
    "null",
    "\0",
    "a\0b",
    "\n",
    "\r",
    "\u{202e}abc",
    "\u{feff}",
    "e\u{301}",
    "\u{e9}",
    "\u{1f468}\u{200d}\u{1f469}",
    "\u{10ffff}",
    "'; --",
    "%",
    "\\",
    "00000000-0000-0000-0000-000000000000",
    "018f4e9e-6c1a-7d3e-8a55-0242ac120002",
    "018F4E9E-6C1A-7D3E-8A55-0242AC120002",
    "{018f4e9e-6c1a-7d3e-8a55-0242ac120002}",
    "admin",
    "en",
];

const NUMBERS: [i64; 16] = [
    0,
    1,
    -1,
    2,
    50,
    100,
    200,
    201,
    127,
    128,
    1_000_000_000,
    -1_000_000_000,
    253_402_300_800,
    -62_135_596_801,
    i64::MAX,
    i64::MIN,
];

/// Returns a message whose fields are there or not, plausible or at an edge.
pub fn message(descriptor: &MessageDescriptor, chance: &mut Chance) -> DynamicMessage {
    nested(descriptor, chance, DEPTH_MAX)
}

fn nested(descriptor: &MessageDescriptor, chance: &mut Chance, depth: u32) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let is_message = matches!(field.kind(), Kind::Message(_));
        if chance.is_one_in(4) || (is_message && depth == 0) {
            continue;
        }
        let value = whole(&field, chance, depth);
        message.set_field(&field, value);
    }
    message
}

/// Returns the value of a field, however often it may be there.
fn whole(field: &FieldDescriptor, chance: &mut Chance, depth: u32) -> Value {
    let count = match chance.below(40) {
        0 => 101,
        1 => 300,
        count => count % 4,
    };
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            unreachable!("a map's entries are messages");
        };
        let (of_key, of_value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let entries = (0..count).map(|_| {
            let key = key(one(&of_key, chance, depth));
            (key, one(&of_value, chance, depth))
        });
        return Value::Map(entries.collect::<HashMap<_, _>>());
    }
    if field.is_list() {
        return Value::List((0..count).map(|_| one(field, chance, depth)).collect());
    }
    one(field, chance, depth)
}

fn key(value: Value) -> MapKey {
    match value {
        Value::Bool(key) => MapKey::Bool(key),
        Value::I32(key) => MapKey::I32(key),
        Value::I64(key) => MapKey::I64(key),
        Value::U32(key) => MapKey::U32(key),
        Value::U64(key) => MapKey::U64(key),
        Value::String(key) => MapKey::String(key),
        _ => unreachable!("protobuf has no such keys"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "any bits will do"
)]
fn one(field: &FieldDescriptor, chance: &mut Chance, depth: u32) -> Value {
    let number = number(chance);
    match field.kind() {
        Kind::Double => Value::F64(*chance.pick(&[0.0, -0.0, f64::NAN, f64::MAX, number as f64])),
        Kind::Float => Value::F32(*chance.pick(&[0.0, f32::INFINITY, f32::MIN, number as f32])),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number.cast_unsigned()),
        Kind::Bool => Value::Bool(chance.is_one_in(2)),
        Kind::String => Value::String(text(field, chance)),
        Kind::Bytes => Value::Bytes(chance.bytes(64).into()),
        Kind::Message(inner) => Value::Message(nested(&inner, chance, depth.saturating_sub(1))),
        Kind::Enum(values) => {
            let known: Vec<_> = values.values().map(|value| value.number()).collect();
            let edge = *chance.pick(&[-1, 3, 99, i32::MAX, i32::MIN]);
            Value::EnumNumber(if chance.is_one_in(6) { edge } else { *chance.pick(&known) })
        }
    }
}

fn number(chance: &mut Chance) -> i64 {
    match chance.below(8) {
        0 => chance.bits().cast_signed(),
        1..5 => *chance.pick(&NUMBERS[..7]),
        _ => *chance.pick(&NUMBERS),
    }
}

/// Returns a text: three times of four one that the field's name makes plausible.
fn text(field: &FieldDescriptor, chance: &mut Chance) -> String {
    if !chance.is_one_in(4) {
        return plausible(field, chance);
    }
    match chance.below(3) {
        0 => {
            let letter = *chance.pick(&["a", "Z", "_", "\u{e4}", "\u{1f600}", "\0", " "]);
            letter.repeat(*chance.pick(&LENGTHS))
        }
        1 => String::from_utf8_lossy(&chance.bytes(40)).into_owned(),
        _ => (*chance.pick(&TEXTS)).to_owned(),
    }
}

fn plausible(field: &FieldDescriptor, chance: &mut Chance) -> String {
    let one_of = |texts: &[&str], chance: &mut Chance| (*chance.pick(texts)).to_owned();
    match field.name() {
        "user_id" | "user_ids" => person(chance),
        "email" => format!("person-{}@example.com", chance.below(PEOPLE)),
        "session_id" | "api_client_id" => "0197a4a0-7c00-7000-8000-0123456789ab".to_owned(),
        "handle" => format!("handle_{}", chance.below(200)),
        "handle_prefix" => one_of(&["", "h", "handle_1", "HANDLE", "x"], chance),
        "locale" => one_of(&["", "en", "de-AT", "zh-Hant-TW"], chance),
        "avatar_file_id" => one_of(&["", "018f4e9e-6c1a-7d3e-8a55-0242ac120002"], chance),
        "etag" | "page_token" | "cursor" => String::new(),
        "paths" => {
            let pool = field.parent_pool();
            let file = pool.all_messages().filter(|one| one.full_name().starts_with("mayfly."));
            let names: Vec<_> = file.flat_map(|one| one.fields().collect::<Vec<_>>()).collect();
            chance.pick(&names).name().to_owned()
        }
        _ => one_of(&["x", "Ada", "Counts, and writes it down.", "\u{e4}\u{f6}\u{fc}"], chance),
    }
}

/// Is how many people there are.
pub(super) const PEOPLE: usize = 24;

/// Returns the uid of one of them.
fn person(chance: &mut Chance) -> String {
    format!("person-{}", chance.below(PEOPLE))
}

/// Returns the same message in JSON, or nearly: some values are of another type.
pub fn json(message: &DynamicMessage, chance: &mut Chance) -> serde_json::Value {
    if let Some(text) = known(message, chance) {
        return text;
    }
    let fields = message.fields().map(|(field, value)| {
        let name = if chance.is_one_in(3) { field.name() } else { field.json_name() };
        (name.to_owned(), written(&field, value, chance))
    });
    serde_json::Value::Object(fields.collect())
}

/// Returns the messages of `google.protobuf` that have a form of their own.
fn known(message: &DynamicMessage, chance: &mut Chance) -> Option<serde_json::Value> {
    let texts: &[&str] = match message.descriptor().full_name() {
        "google.protobuf.Timestamp" => &[
            "2026-01-02T03:04:05Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
            "0000-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-01-02",
            "2026-01-02T03:04:60+25:00",
        ],
        "google.protobuf.Duration" => &["1s", "-315576000001s", "0.0000000001s", "s", "1"],
        "google.protobuf.FieldMask" => {
            &["bio", "displayName,bio", "", ",", "*", "display_name", "user_id", "a.b", "bio,,bio"]
        }
        _ => return None,
    };
    Some((*chance.pick(texts)).into())
}

fn written(field: &FieldDescriptor, value: &Value, chance: &mut Chance) -> serde_json::Value {
    use base64::{Engine, prelude::BASE64_STANDARD};

    if chance.is_one_in(30) {
        return any_json(chance, 3);
    }
    match value {
        Value::Bool(value) => (*value).into(),
        Value::I32(value) => (*value).into(),
        Value::U32(value) => (*value).into(),
        Value::I64(value) => value.to_string().into(),
        Value::U64(value) => value.to_string().into(),
        Value::F32(value) => f64::from(*value).into(),
        Value::F64(value) => (*value).into(),
        Value::String(value) => value.clone().into(),
        Value::Bytes(value) => BASE64_STANDARD.encode(value).into(),
        Value::EnumNumber(number) => {
            let Kind::Enum(values) = field.kind() else { return (*number).into() };
            match values.get_value(*number) {
                Some(value) if !chance.is_one_in(3) => value.name().into(),
                _ => (*number).into(),
            }
        }
        Value::Message(message) => json(message, chance),
        Value::List(items) => items.iter().map(|item| written(field, item, chance)).collect(),
        Value::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| (format!("{key:?}"), written(field, value, chance)));
            serde_json::Value::Object(entries.collect())
        }
    }
}

/// Returns JSON that belongs to nothing.
pub(super) fn any_json(chance: &mut Chance, depth: u32) -> serde_json::Value {
    match chance.below(if depth == 0 { 6 } else { 8 }) {
        0 => serde_json::Value::Null,
        1 => chance.is_one_in(2).into(),
        2 => number(chance).into(),
        3 => (*chance.pick(&[0.5, -1e300, 1e-300, 1e22])).into(),
        4 | 5 => (*chance.pick(&TEXTS)).into(),
        6 => (0..chance.below(4)).map(|_| any_json(chance, depth - 1)).collect(),
        _ => {
            let names =
                ["profile", "userId", "user_id", "updateMask", "pageSize", "x", "", "@type"];
            let entries = (0..chance.below(4))
                .map(|_| ((*chance.pick(&names)).to_owned(), any_json(chance, depth - 1)));
            serde_json::Value::Object(entries.collect())
        }
    }
}
