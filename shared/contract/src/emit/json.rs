//! The tables of messages and enums that the JSON form is read and written by.

use std::fmt::Write;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::{
    emit::place,
    names,
    reach::{Known, Reach, value_kind},
};

/// Returns a static per message and enum.
pub(crate) fn text(reach: &Reach) -> String {
    let empty = "static EMPTY: crate::json::Message = crate::json::Message { fields: &[] };";
    let mut out = format!("{empty}\n");
    let mut add = |text: String| out.push_str(&text);
    reach.enums.values().enumerate().for_each(|(index, values)| add(enumeration(index, values)));
    for (index, descriptor) in reach.messages.values().enumerate() {
        add(message(index, descriptor, reach));
    }
    out
}

fn enumeration(index: usize, descriptor: &EnumDescriptor) -> String {
    // In the contract's order, because of two names of a number JSON writes the first.
    let values = descriptor.enum_descriptor_proto().value.iter();
    let values: Vec<_> = values.map(|v| format!("({}, {:?})", v.number(), v.name())).collect();
    let (name, values) = (descriptor.full_name(), values.join(", "));
    format!(
        "// {name}\nstatic ENUM_{index}: crate::json::Enum = crate::json::Enum {{ \
         values: &[{values}] }};\n"
    )
}

fn message(index: usize, descriptor: &MessageDescriptor, reach: &Reach) -> String {
    let mut fields: Vec<_> = descriptor.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);

    let name = descriptor.full_name();
    let mut out = format!(
        "// {name}\nstatic MESSAGE_{index}: crate::json::Message = crate::json::Message {{ \
         fields: &[\n"
    );
    for descriptor in fields {
        writeln!(out, "    crate::json::Field {{ {} }},", field(&descriptor, reach))
            .expect("a string takes whatever is written to it");
    }
    out + "] };\n"
}

fn field(field: &FieldDescriptor, reach: &Reach) -> String {
    let shape = match field.kind() {
        Kind::Message(entry) if entry.is_map_entry() => {
            format!("Map({})", kind(&entry.map_entry_key_field().kind(), reach))
        }
        _ if field.is_list() => "Repeated".to_owned(),
        _ if field.supports_presence() => "Optional".to_owned(),
        _ => "Implicit".to_owned(),
    };
    let message = field.parent_message();
    let group = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    let place = group.and_then(|group| message.oneofs().position(|oneof| oneof == group));
    let kind = kind(&value_kind(field), reach);
    let (number, name, json) = (field.number(), field.name(), field.json_name());
    format!(
        "number: {number}, name: {name:?}, json: {json:?}, shape: crate::json::Shape::{shape}, \
         kind: {kind}, oneof: {place:?}"
    )
}

fn kind(kind: &Kind, reach: &Reach) -> String {
    let name = match kind {
        Kind::Message(message) => match Known::of(message) {
            Some(Known::Empty) => "Message(&EMPTY)".to_owned(),
            Some(known) => format!("{known:?}"),
            None => format!("Message(&MESSAGE_{})", place(&reach.messages, message.full_name())),
        },
        Kind::Enum(values) => format!("Enum(&ENUM_{})", place(&reach.enums, values.full_name())),
        scalar => names::camel(&format!("{scalar:?}")),
    };
    format!("crate::json::Kind::{name}")
}
