//! What the attacks do not see of a request: an id in a place that they do not fill, or under a name by
//! which they do not know one. A new RPC has none of it, or whoever adds it says what is to be done.

use std::fs;

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use super::{ask, methods};

/// Fields of text that name nothing that is anybody's.
const TEXTS: [&str; 16] = [
    "bio",
    "client_secret",
    "cursor",
    "device_name",
    "display_name",
    "email",
    "etag",
    "handle",
    "handle_prefix",
    "locale",
    "page_token",
    "password",
    "refresh_token",
    "roles",
    "scopes",
    "token",
];

/// What there is of it in a message, and what to do about each.
fn gaps(descriptor: &MessageDescriptor, depth: usize) -> Vec<String> {
    let of_field = |field: FieldDescriptor| {
        let mut gaps: Vec<_> = gap(&field, depth).into_iter().collect();
        if let (Kind::Message(inner), true) = (field.kind(), depth > 0 && !field.is_map()) {
            gaps.extend(self::gaps(&inner, depth - 1));
        }
        gaps
    };
    // Paths are fields of the message that they are sent with.
    let is_mask = descriptor.full_name() == "google.protobuf.FieldMask";
    descriptor.fields().filter(|_field| !is_mask).flat_map(of_field).collect()
}

fn gap(field: &FieldDescriptor, depth: usize) -> Option<String> {
    let (name, inner) = (field.name(), field.kind().as_message().cloned());
    let has_ids = inner.is_some_and(|inner| ask::has_ids(&inner, 4).is_some());
    let is_text = matches!(field.kind(), Kind::String | Kind::Bytes);
    let what = if field.is_map() {
        "is a map, of which ask::filled sets nothing"
    } else if ask::is_second(field) && (has_ids || ask::is_named_like_an_id(field)) {
        "is an id in a oneof, of which ask::filled sets another field"
    } else if depth == 0 && has_ids {
        "has an id deeper than ask::filled goes"
    } else if ask::is_named_like_an_id(field) && field.kind() != Kind::String {
        "is an id of a kind that ask::filled knows no id of"
    } else if is_text && !ask::is_named_like_an_id(field) && !TEXTS.contains(&name) {
        "may be an id: have its name end in _id, or say in TEXTS that it names nothing of anybody's"
    } else {
        return None;
    };
    Some(format!("{} {what}", field.full_name()))
}

#[test]
fn no_rpc_takes_an_id_where_no_attack_puts_one() {
    let gaps: Vec<_> = methods().flat_map(|method| gaps(&ask::request(method), 4)).collect();
    assert!(gaps.is_empty(), "\n{}", gaps.join("\n"));
}

/// A message of these fields, beside others that it may hold.
fn message(fields: &str) -> MessageDescriptor {
    let text = format!(
        "syntax = \"proto3\";
         package probe;
         message Named {{ string note_id = 1; }}
         message Nested {{ Named named = 1; }}
         message Request {{ {fields} }}"
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("probe.proto"), text).unwrap();
    let set = contract::descriptors(folder.path()).unwrap();
    DescriptorPool::decode(&*set).unwrap().get_message_by_name("probe.Request").unwrap()
}

#[test]
fn an_id_that_no_attack_would_fill_is_seen() {
    for (fields, gap) in [
        ("oneof of { string name_id = 1; string note_id = 2; }", "note_id is an id in a oneof"),
        ("oneof of { bool all = 1; Named one = 2; }", "one is an id in a oneof"),
        ("map<string, bool> by_note = 1;", "by_note is a map"),
        ("uint64 note_id = 1;", "note_id is an id of a kind"),
        ("bytes note = 1;", "note may be an id"),
        ("string note = 1;", "note may be an id"),
        ("repeated string notes = 1;", "notes may be an id"),
    ] {
        let gaps = gaps(&message(fields), 4);
        assert!(gaps.len() == 1 && gaps[0].contains(gap), "{fields}: {gaps:?}");
    }
    let deep = message("Nested nested = 1;");
    assert_eq!((gaps(&deep, 2).len(), gaps(&deep, 0).len()), (0, 1));
    let good = "string note_id = 1; repeated Named named = 2; string bio = 3;";
    assert_eq!(gaps(&message(good), 4), [""; 0]);
}

#[test]
fn anothers_id_stands_among_ones_own_wherever_there_is_room_for_several() {
    let ids = ["eve".to_owned(), "victim".to_owned()];
    let filling = ask::Filling { ids: &ids, text: "x", name: "eve" };
    for (fields, several, expected) in [
        ("repeated string note_ids = 1;", true, 2),
        ("repeated Named named = 1;", true, 2),
        ("repeated Nested nested = 1;", true, 2),
        ("string note_id = 1;", false, 1),
        ("Nested nested = 1;", false, 1),
    ] {
        let message = message(fields);
        assert_eq!(ask::has_ids(&message, 4), Some(several), "{fields}");
        let filled = ask::filled(&message, &filling, 4).to_string();
        assert_eq!(filled.matches("\"victim\"").count(), 1, "{filled}");
        assert_eq!(filled.matches('"').count(), 2 * expected, "{filled}");
    }
}
