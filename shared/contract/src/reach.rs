//! Finds the messages that RPCs send, and refuses those that cannot be written.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};

use crate::{names, policy::Method, refusals::Refusals};

/// Is the number of fields that the JSON form keeps count of.
const FIELDS_MAX: usize = 128;
const OUTPUT_ONLY: &str = "mayfly.policy.v1.output_only";

/// The messages of RPCs, each by its full name.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// Are whole requests and what stands in them, output-only fields aside.
    pub(crate) requests: BTreeMap<String, MessageDescriptor>,
    /// Are all messages.
    pub(crate) messages: BTreeMap<String, MessageDescriptor>,
    /// Are all enums.
    pub(crate) enums: BTreeMap<String, EnumDescriptor>,
    /// Are those that are a whole request.
    pub(crate) inputs: BTreeSet<String>,
    /// Are those that are a whole answer.
    pub(crate) outputs: BTreeSet<String>,
}

/// The messages of `google.protobuf` that contracts may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Known {
    Duration,
    Empty,
    FieldMask,
    Timestamp,
}

// === impl Reach ===

impl Reach {
    /// Follows the fields of every request and answer.
    pub(crate) fn of(methods: &[Method], refusals: &mut Refusals) -> Self {
        let mut reach = Self::default();
        for method in methods {
            for (message, whole) in
                [(&method.input, &mut reach.inputs), (&method.output, &mut reach.outputs)]
            {
                match Known::of(message) {
                    None => _ = whole.insert(message.full_name().to_owned()),
                    Some(Known::Empty) => {}
                    Some(_) => {
                        let name = format!("{}.{}", method.service, method.name);
                        let fault = format!("sends a bare {}", message.full_name());
                        refusals.add(&name, fault, "write a message that has it as a field");
                    }
                }
            }
            follow(&method.input, &mut reach.requests, &|field| !is_output_only(field));
            follow(&method.input, &mut reach.messages, &|_| true);
            follow(&method.output, &mut reach.messages, &|_| true);
        }
        for both in reach.inputs.intersection(&reach.outputs) {
            let remedy = "write a message of its own for each, because answers are not checked";
            refusals.add(both, "is a whole request and a whole answer", remedy);
        }
        for message in reach.messages.values() {
            refuse(message, refusals);
        }
        reach.with_enums()
    }

    /// Follows the fields of contracts that are not ours, which are taken as they are.
    pub(crate) fn foreign(methods: &[MethodDescriptor]) -> Self {
        let mut reach = Self::default();
        for message in methods.iter().flat_map(|method| [method.input(), method.output()]) {
            follow(&message, &mut reach.messages, &|_| true);
            // None is checked, as if they were all answers.
            reach.outputs.insert(message.full_name().to_owned());
        }
        reach.with_enums()
    }

    fn with_enums(mut self) -> Self {
        for field in self.messages.values().flat_map(MessageDescriptor::fields) {
            if let Kind::Enum(values) = value_kind(&field) {
                self.enums.insert(values.full_name().to_owned(), values);
            }
        }
        self
    }
}

// === impl Known ===

impl Known {
    /// Returns which one a message is, if any.
    pub(crate) fn of(message: &MessageDescriptor) -> Option<Self> {
        match message.full_name() {
            "google.protobuf.Duration" => Some(Self::Duration),
            "google.protobuf.Empty" => Some(Self::Empty),
            "google.protobuf.FieldMask" => Some(Self::FieldMask),
            "google.protobuf.Timestamp" => Some(Self::Timestamp),
            _ => None,
        }
    }
}

/// Returns what a field's values are; a map's keys are not.
pub(crate) fn value_kind(field: &FieldDescriptor) -> Kind {
    match field.kind() {
        Kind::Message(entry) if entry.is_map_entry() => entry.map_entry_value_field().kind(),
        kind => kind,
    }
}

/// Returns whether a field is ignored in requests.
pub(crate) fn is_output_only(field: &FieldDescriptor) -> bool {
    let extension = field.parent_message().parent_pool().get_extension_by_name(OUTPUT_ONLY);
    let options = field.options();
    extension.is_some_and(|extension| *options.get_extension(&extension) == Value::Bool(true))
}

fn follow(
    message: &MessageDescriptor,
    found: &mut BTreeMap<String, MessageDescriptor>,
    goes: &dyn Fn(&FieldDescriptor) -> bool,
) {
    if Known::of(message).is_some() || found.contains_key(message.full_name()) {
        return;
    }
    found.insert(message.full_name().to_owned(), message.clone());
    for field in message.fields().filter(|field| goes(field)) {
        if let Kind::Message(inner) = value_kind(&field) {
            follow(&inner, found, goes);
        }
    }
}

fn refuse(message: &MessageDescriptor, refusals: &mut Refusals) {
    let name = message.full_name();
    if names::modules(message.package_name()).is_none() {
        let remedy = "write a message of a mayfly package, or google.protobuf's Timestamp, \
                      Duration, FieldMask or Empty";
        refusals.add(name, "is of a package that has no checks and no JSON here", remedy);
        return;
    }
    if let Some(fault) = names::fault(message) {
        refusals.add(name, fault, "write a name of that form");
    }
    if message.fields().len() > FIELDS_MAX {
        refusals.add(name, "has more than 128 fields", "write some of them as messages");
    }
}
