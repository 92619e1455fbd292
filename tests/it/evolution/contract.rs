//! Versions of the contract, by their descriptors.

use std::{
    fs,
    path::{Path, PathBuf},
};

use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value,
};
use tempfile::TempDir;

pub(super) const PROTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");
const USER: &str = "mayfly/user/v1/user.proto";

/// One version of the contract.
#[derive(Clone, Debug)]
pub(crate) struct Contract {
    pub(super) name: String,
    pool: DescriptorPool,
}

impl Contract {
    fn new(name: &str, set: &[u8]) -> Self {
        Self { name: name.to_owned(), pool: DescriptorPool::decode(set).unwrap() }
    }

    /// Every one that was released, the oldest first.
    pub(crate) fn released() -> Vec<Self> {
        let files = fs::read_dir(Path::new(PROTO).join("releases")).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        let version = |path: &PathBuf| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            name.split('.').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>()
        };
        files.sort_by_key(version);
        let read = |path: PathBuf| {
            Self::new(path.file_stem().unwrap().to_str().unwrap(), &fs::read(&path).unwrap())
        };
        files.into_iter().map(read).collect()
    }

    /// The one of the functions that are tested.
    pub(super) fn today() -> Self {
        Self::new("today", proto::descriptors::SET)
    }

    /// One that may come: with a field, an enum's value and an RPC more.
    pub(super) fn next() -> Self {
        let folder = changed(next);
        Self::new("next", &contract::descriptors(folder.path()).unwrap())
    }

    /// The messages of our packages, by name.
    pub(super) fn messages(&self) -> impl Iterator<Item = MessageDescriptor> {
        self.pool.all_messages().filter(|message| message.full_name().starts_with("mayfly."))
    }

    pub(super) fn message(&self, name: &str) -> Option<MessageDescriptor> {
        self.pool.get_message_by_name(name)
    }

    /// The RPCs of our packages.
    pub(crate) fn methods(&self) -> Vec<MethodDescriptor> {
        let ours = self.pool.services().filter(|one| one.full_name().starts_with("mayfly."));
        ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
    }
}

/// The contracts in a folder of their own, with the one of `user` changed.
pub(super) fn changed(change: impl Fn(&str) -> String) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(PROTO), folder.path());
    let path = folder.path().join(USER);
    let text = fs::read_to_string(&path).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text, "the change finds its place");
    fs::write(path, changed).unwrap();
    folder
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// What a next version may add.
pub(super) fn next(text: &str) -> String {
    let field = "message Profile {\n  // Is how to speak of the person.\n  \
                 string pronouns = 900 [(buf.validate.field).string.max_len = 40];\n";
    let value = "VISIBILITY_PUBLIC = 2;\n  // Some people see it.\n  VISIBILITY_FRIENDS = 900;";
    let rpc = "service UserService {
  // Praises a profile.
  rpc PraiseProfile(PraiseProfileRequest) returns (PraiseProfileResponse) {
    option (mayfly.policy.v1.rule) = {
      signed_in: {}
      deadline: {seconds: 1}
      idempotent: {}
      priority: PRIORITY_SHEDDABLE
      rate: {
        per_second: 1
        burst: 1
      }
    };
  }
";
    let messages = "// Asks to praise a profile.
message PraiseProfileRequest {
  // Names the person.
  string user_id = 1 [(buf.validate.field).string.max_len = 128];
}

// Says so.
message PraiseProfileResponse {}

// A person as others see them.";
    text.replace("message Profile {\n", field)
        .replace("VISIBILITY_PUBLIC = 2;", value)
        .replace("service UserService {\n", rpc)
        .replace("// A person as others see them.", messages)
}

/// A message from a JSON value, with the contract's own names.
pub(super) fn filled(descriptor: &MessageDescriptor, json: &serde_json::Value) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for (name, json) in json.as_object().unwrap() {
        let field = descriptor.get_field_by_name(name).unwrap();
        let one = |json: &serde_json::Value| match field.kind() {
            Kind::String => Value::String(json.as_str().unwrap().to_owned()),
            Kind::Int32 => Value::I32(json.as_i64().unwrap().try_into().unwrap()),
            Kind::Enum(values) => {
                let value = values.get_value_by_name(json.as_str().unwrap());
                Value::EnumNumber(value.unwrap().number())
            }
            Kind::Message(inner) => Value::Message(filled(&inner, json)),
            other => panic!("{other:?} is not needed so far"),
        };
        let value = match json.as_array() {
            Some(items) => Value::List(items.iter().map(one).collect()),
            None => one(json),
        };
        message.set_field(&field, value);
    }
    message
}

/// Says where two readings of the same bytes differ, in what the first one knows of.
pub(super) fn difference(old: &DynamicMessage, new: &DynamicMessage) -> Option<String> {
    use prost_reflect::ReflectMessage;

    old.descriptor().fields().find_map(|field| {
        let name = field.full_name().to_owned();
        let Some(there) = new.descriptor().get_field(field.number()) else {
            return Some(format!("{name} is gone"));
        };
        if old.has_field(&field) != new.has_field(&there) {
            return Some(format!("{name} is there for one of them"));
        }
        values_differ(&old.get_field(&field), &new.get_field(&there)).then_some(name)
    })
}

fn values_differ(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Message(old), Value::Message(new)) => difference(old, new).is_some(),
        (Value::List(old), Value::List(new)) => {
            old.len() != new.len() || old.iter().zip(new).any(|(old, new)| values_differ(old, new))
        }
        (Value::Map(old), Value::Map(new)) => {
            let differs = |(key, old)| new.get(key).is_none_or(|new| values_differ(old, new));
            old.len() != new.len() || old.iter().any(differs)
        }
        (old, new) => old != new,
    }
}
