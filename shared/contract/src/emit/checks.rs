//! The checks, as straight code.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::{
    emit::place,
    names,
    reach::{Known, Reach},
    rules::{Checks, Empty, Field, Message, Shape, Size, Test, Value},
};

const HEAD: &str = "use crate::check::{self, Path};\n";

/// Returns a function per message of a request, and `Check` of what is sent whole.
pub(crate) fn text(reach: &Reach, checks: &Checks) -> String {
    let mut out = HEAD.to_owned();
    for (index, message) in checks.values().enumerate() {
        out += &function(index, message, checks);
    }
    for name in &reach.inputs {
        let body = format!("check_{}(self, &Path::ROOT, violations);", place(checks, name));
        out += &implementation(&reach.messages[name], "violations", &body);
    }
    out + &unchecked(reach)
}

/// Returns `Check` of what has no rules.
pub(crate) fn unchecked(reach: &Reach) -> String {
    let names = reach.outputs.difference(&reach.inputs);
    names.map(|name| implementation(&reach.messages[name], "_violations", "")).collect()
}

fn implementation(message: &MessageDescriptor, argument: &str, body: &str) -> String {
    let path = names::message(message);
    format!(
        "impl crate::Check for {path} {{\n    \
         fn check(&self, {argument}: &mut crate::Violations) {{ {body} }}\n}}\n"
    )
}

fn function(index: usize, message: &Message, checks: &Checks) -> String {
    let (name, path) = (message.descriptor.full_name(), names::message(&message.descriptor));
    let fields: String = message.fields.iter().map(|field| self::field(field, checks)).collect();
    let oneofs = message.oneofs.iter().map(|oneof| {
        let (name, ident) = (oneof.name(), names::ident(oneof.name()));
        format!("if message.{ident}.is_none() {{ {} }}\n", required(name))
    });
    let oneofs: String = oneofs.collect();
    format!(
        "// {name}\n\
         fn check_{index}(message: &{path}, at: &Path<'_>, violations: &mut crate::Violations) {{\n\
         {fields}{oneofs}}}\n"
    )
}

fn required(name: &str) -> String {
    format!("violations.add(&at.field({name:?}), \"is required\");")
}

/// Returns the checks of a field, with `raw` as a reference to what prost holds.
fn field(field: &Field, checks: &Checks) -> String {
    let (name, ident) = (field.descriptor.name(), names::ident(field.descriptor.name()));
    let body = body(field, checks);
    let at = format!("let at = &at.field({name:?});");

    if let Some(oneof) = field.descriptor.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
        let (path, variant) = (names::oneof(&oneof), names::variant(&field.descriptor));
        let holder = names::ident(oneof.name());
        return format!(
            "if let Some({path}::{variant}(raw)) = &message.{holder} {{\n{at}\n{body}}}\n"
        );
    }
    if is_option(&field.descriptor) {
        let missing = match field.empty {
            Empty::Refused => format!(" else {{ {} }}", required(name)),
            Empty::Checked | Empty::Skipped => String::new(),
        };
        return format!("if let Some(raw) = &message.{ident} {{\n{at}\n{body}}}{missing}\n");
    }
    let body = match (field.empty, is_default(field)) {
        (Empty::Checked, _) => body,
        (Empty::Skipped, is_default) => format!("if !({is_default}) {{\n{body}}}\n"),
        (Empty::Refused, is_default) => {
            let says = "violations.add(at, \"is required\");";
            format!("if {is_default} {{ {says} }} else {{\n{body}}}\n")
        }
    };
    format!("{{\n{at}\nlet raw = &message.{ident};\n{body}}}\n")
}

/// Returns the checks of what `raw` refers to, at `at`.
fn body(field: &Field, checks: &Checks) -> String {
    match &field.shape {
        Shape::One => {
            let skip = field.empty == Empty::Skipped && is_option(&field.descriptor);
            let value = value(&field.value, checks);
            if skip { format!("if !({}) {{\n{value}}}\n", is_default(field)) } else { value }
        }
        Shape::Many(size) => {
            let item = value(&field.value, checks);
            let each = format!(
                "for (index, raw) in raw.iter().enumerate() {{\n\
                 let at = &at.item(index);\n{item}}}\n"
            );
            sized(size, &each)
        }
        Shape::Map(size, key) => {
            let step = match key.kind {
                Kind::String => "at.text(raw)",
                _ => "at.key(raw)",
            };
            let (key, value) = (value(key, checks), value(&field.value, checks));
            let each = format!(
                "for (raw, item) in raw {{\nlet at = &{step};\n\
                 {{\n{key}}}\nlet raw = item;\n{value}}}\n"
            );
            sized(size, &each)
        }
    }
}

/// Returns the checks of many values: too many are not looked at.
fn sized(size: &Size, each: &str) -> String {
    let Test { fails, says } = &size.max;
    let others: String = size.others.iter().map(test).collect();
    format!(
        "let value = raw;\nif {fails} {{ violations.add(at, {says:?}); }} else {{\n\
         {others}{each}}}\n"
    )
}

/// Returns the checks of one value, with `value` as what the tests speak of.
fn value(value: &Value, checks: &Checks) -> String {
    let tests: String = value.tests.iter().map(test).collect();
    let nested = match &value.kind {
        Kind::Message(message) if Known::of(message).is_none() => {
            format!("check_{}(value, at, violations);\n", place(checks, message.full_name()))
        }
        _ => String::new(),
    };
    if tests.is_empty() && nested.is_empty() {
        return String::new();
    }
    format!("{}\n{tests}{nested}", binding(&value.kind))
}

fn test(test: &Test) -> String {
    format!("if {} {{ violations.add(at, {:?}); }}\n", test.fails, test.says)
}

fn binding(kind: &Kind) -> String {
    match kind {
        Kind::String => "let value: &str = raw;".to_owned(),
        Kind::Bytes => "let value: &[u8] = raw;".to_owned(),
        Kind::Message(message) => match Known::of(message) {
            None => format!("let value: &{} = raw;", names::message(message)),
            Some(_) => "let value = raw;".to_owned(),
        },
        _ => "let value = *raw;".to_owned(),
    }
}

/// Returns whether prost holds a field as an `Option`.
fn is_option(field: &FieldDescriptor) -> bool {
    field.supports_presence() && !field.is_list() && !field.is_map()
}

/// Returns a condition over `raw` that holds for the default of a field's type.
fn is_default(field: &Field) -> &'static str {
    match (&field.shape, &field.value.kind) {
        (Shape::Many(_) | Shape::Map(..), _) | (_, Kind::String | Kind::Bytes) => "raw.is_empty()",
        (Shape::One, Kind::Bool) => "!*raw",
        (Shape::One, Kind::Float | Kind::Double) => "*raw == 0.0",
        (Shape::One, _) => "*raw == 0",
    }
}
