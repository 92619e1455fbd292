//! Turns `buf.validate` annotations into questions in Rust.
//!
//! Every annotation is either understood here or refused: [`Given`] holds what is not yet read,
//! and what is left over in the end is refused by name.

mod given;
mod text;
mod bytes;
mod number;
mod other;

use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};

use self::given::Given;
use crate::{
    reach::{Known, is_output_only},
    refusals::Refusals,
};

const FIELD: &str = "buf.validate.field";
const MESSAGE: &str = "buf.validate.message";
const ONEOF: &str = "buf.validate.oneof";
const ITEMS: &str = "(buf.validate.field).repeated.items.string.max_len = 64";
const MAP: &str = "(buf.validate.field).map = {max_pairs: 16 keys: {string: {max_len: 64}} ..}";

/// What requests are asked, by the full name of the message.
pub(crate) type Checks = BTreeMap<String, Message>;

/// What a message is asked.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) descriptor: MessageDescriptor,
    pub(crate) fields: Vec<Field>,
    /// Are the oneofs of which a member is required.
    pub(crate) oneofs: Vec<OneofDescriptor>,
}

/// What a field is asked.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) descriptor: FieldDescriptor,
    pub(crate) shape: Shape,
    pub(crate) empty: Empty,
    /// Is what each value is asked.
    pub(crate) value: Value,
}

/// How many values a field has.
#[derive(Debug)]
pub(crate) enum Shape {
    One,
    /// Items, bounded, and asked all together.
    Many(Size),
    /// Pairs, bounded, and what each key is asked.
    Map(Size, Value),
}

/// What the items of a field are asked all together.
#[derive(Debug)]
pub(crate) struct Size {
    /// Holds where there are too many to look at each.
    pub(crate) max: Test,
    pub(crate) others: Vec<Test>,
}

/// What happens to a field that is unset, or has its type's default.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Empty {
    /// A default is checked as any other value; what is unset is not.
    Checked,
    /// Nothing is asked of it.
    Skipped,
    /// It is refused.
    Refused,
}

/// What a single value is asked.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) kind: Kind,
    pub(crate) tests: Vec<Test>,
}

/// A question, and the answer for a value that fails.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    /// Is a condition in Rust over `value`, which holds for values that are wrong.
    pub(crate) fails: String,
    /// Says what the value must be.
    pub(crate) says: String,
}

/// Reads what the messages of requests are asked.
pub(crate) fn read(
    messages: &BTreeMap<String, MessageDescriptor>,
    refusals: &mut Refusals,
) -> Checks {
    let read = |(name, message): (&String, &MessageDescriptor)| {
        (name.clone(), self::message(message, refusals))
    };
    messages.iter().map(read).collect()
}

fn message(descriptor: &MessageDescriptor, refusals: &mut Refusals) -> Message {
    let name = descriptor.full_name();
    let options = Given::of(&descriptor.options(), MESSAGE);
    options.refuse(name, "write rules on its fields", refusals);

    let fields = descriptor.fields().filter_map(|field| self::field(field, refusals)).collect();
    let mut oneofs = Vec::new();
    for oneof in descriptor.oneofs() {
        let mut options = Given::of(&oneof.options(), ONEOF);
        if options.flag("required", oneof.full_name(), refusals) {
            oneofs.push(oneof.clone());
        }
        options.refuse(oneof.full_name(), "write required or nothing", refusals);
    }
    Message { descriptor: descriptor.clone(), fields, oneofs }
}

fn field(descriptor: FieldDescriptor, refusals: &mut Refusals) -> Option<Field> {
    let name = descriptor.full_name().to_owned();
    let mut given = Given::of(&descriptor.options(), FIELD);
    if is_output_only(&descriptor) {
        given.refuse(&name, "write no rule, because output-only fields are not checked", refusals);
        return None;
    }

    let empty = empty(&mut given, &name, refusals);
    if empty == Empty::Refused && descriptor.containing_oneof().is_some_and(|o| !o.is_synthetic()) {
        let remedy = "write option (buf.validate.oneof).required = true in the oneof";
        refusals.add(&name, "is required, but is one of several", remedy);
    }
    let (shape, value) = match descriptor.kind() {
        Kind::Message(entry) if entry.is_map_entry() => map(&entry, given, &name, refusals),
        kind if descriptor.is_list() => list(kind, given, &name, refusals),
        kind => (Shape::One, single(kind, given, &name, refusals)),
    };
    if empty == Empty::Skipped && matches!((&shape, &value.kind), (Shape::One, Kind::Message(_))) {
        let remedy = "write no ignore, because an unset message is not checked anyway";
        refusals.add(&name, "is a message with IGNORE_IF_ZERO_VALUE", remedy);
    }
    Some(Field { descriptor, shape, empty, value })
}

fn empty(given: &mut Given, name: &str, refusals: &mut Refusals) -> Empty {
    let required = given.flag("required", name, refusals);
    let ignore = given.take("ignore").and_then(|ignore| ignore.as_enum_number());
    match (required, ignore) {
        (false, None | Some(0)) => Empty::Checked,
        (false, Some(1)) => Empty::Skipped,
        (true, None | Some(0)) => Empty::Refused,
        (true, Some(1)) => {
            let fault = "is required and may be ignored, which exclude each other";
            refusals.add(name, fault, "write one of required and ignore");
            Empty::Refused
        }
        (_, Some(_)) => {
            let remedy = "write IGNORE_IF_ZERO_VALUE, or option output_only";
            refusals.add(name, "is always ignored, and so has no bound", remedy);
            Empty::Checked
        }
    }
}

fn list(kind: Kind, mut given: Given, name: &str, refusals: &mut Refusals) -> (Shape, Value) {
    let mut rules = given.message("repeated", name, refusals);
    let mut items = rules.inner("items");
    given.refuse(name, "write (buf.validate.field).repeated", refusals);

    let size = rules.size("items", name, refusals);
    let Some((max, mut others)) = size else {
        let remedy = format!("write (buf.validate.field).repeated.max_items, and {ITEMS}");
        refusals.add(name, "has no bound on its items", remedy);
        return (Shape::One, Value { kind, tests: Vec::new() });
    };
    if rules.flag("unique", name, refusals) {
        if matches!(kind, Kind::Message(_) | Kind::Float | Kind::Double) {
            let remedy = "write no unique, or compare in the function's model.rs";
            refusals.add(name, "is unique, but its items do not compare", remedy);
        }
        let fails = "!check::unique(value.iter())".to_owned();
        others.push(Test { fails, says: "must not hold an item twice".to_owned() });
    }
    rules.refuse(name, "write min_items, max_items, unique or items", refusals);
    inner(&mut items, name, refusals);
    let value = single(kind, items, &format!("{name} (items)"), refusals);
    (Shape::Many(Size { max, others }), value)
}

fn map(
    entry: &MessageDescriptor,
    mut given: Given,
    name: &str,
    refusals: &mut Refusals,
) -> (Shape, Value) {
    let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
    let mut rules = given.message("map", name, refusals);
    let (mut keys, mut values) = (rules.inner("keys"), rules.inner("values"));
    given.refuse(name, "write (buf.validate.field).map", refusals);

    let Some((max, others)) = rules.size("pairs", name, refusals) else {
        refusals.add(name, "has no bound on its pairs", format!("write {MAP}"));
        return (Shape::One, Value { kind: value, tests: Vec::new() });
    };
    rules.refuse(name, "write min_pairs, max_pairs, keys or values", refusals);
    inner(&mut keys, name, refusals);
    inner(&mut values, name, refusals);
    let key = single(key, keys, &format!("{name} (keys)"), refusals);
    let value = single(value, values, &format!("{name} (values)"), refusals);
    (Shape::Map(Size { max, others }, key), value)
}

/// Refuses what items, keys and values cannot be asked, because each of them is there.
fn inner(given: &mut Given, name: &str, refusals: &mut Refusals) {
    for rule in ["required", "ignore"] {
        if given.take(rule).is_some() {
            let fault = format!("says {rule} of its items, keys or values");
            refusals.add(name, fault, "write a bound that each of them keeps");
        }
    }
}

fn single(kind: Kind, mut given: Given, name: &str, refusals: &mut Refusals) -> Value {
    let expected = type_name(&kind);
    let rules = match expected {
        Some(expected) => given.message(expected, name, refusals),
        None => Given::default(),
    };
    let remedy = match expected {
        Some(expected) => {
            format!("write a rule for its type, such as (buf.validate.field).{expected}")
        }
        None => "write rules on the message's own fields".to_owned(),
    };
    given.refuse(name, &remedy, refusals);

    let tests = match &kind {
        Kind::String => text::tests(rules, name, refusals),
        Kind::Bytes => bytes::tests(rules, name, refusals),
        Kind::Bool => other::boolean(rules, name, refusals),
        Kind::Enum(values) => other::enumeration(values, rules, name, refusals),
        Kind::Message(message) => other::message(Known::of(message), rules, name, refusals),
        _ => number::tests(&kind, rules, name, refusals),
    };
    Value { kind, tests }
}

/// Returns what `buf.validate` calls the rules of a type; most messages have none.
fn type_name(kind: &Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Double => "double",
        Kind::Float => "float",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Uint32 => "uint32",
        Kind::Uint64 => "uint64",
        Kind::Sint32 => "sint32",
        Kind::Sint64 => "sint64",
        Kind::Fixed32 => "fixed32",
        Kind::Fixed64 => "fixed64",
        Kind::Sfixed32 => "sfixed32",
        Kind::Sfixed64 => "sfixed64",
        Kind::Bool => "bool",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Enum(_) => "enum",
        Kind::Message(message) => match Known::of(message)? {
            Known::Duration => "duration",
            Known::FieldMask => "field_mask",
            Known::Timestamp => "timestamp",
            Known::Empty => return None,
        },
    })
}

// === impl Test ===

impl Test {
    pub(crate) fn new(fails: impl Into<String>, says: impl Into<String>) -> Self {
        Self { fails: fails.into(), says: says.into() }
    }
}
