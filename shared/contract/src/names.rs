//! What prost calls in Rust what the contracts call otherwise.
//!
//! prost's own naming is private, so contracts keep to names that it does not change but for case;
//! [`fault`] says what is wrong with one that does not.

use prost_reflect::{FieldDescriptor, MessageDescriptor, OneofDescriptor};

/// The packages whose messages are written begin so.
const ROOT: &str = "mayfly.";
const KEYWORDS: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// Returns a package's modules, such as `user` and `v1`; a package of others has none.
pub(crate) fn modules(package: &str) -> Option<Vec<&str>> {
    let modules: Vec<_> = package.strip_prefix(ROOT)?.split('.').collect();
    modules.iter().all(|module| is_snake(module)).then_some(modules)
}

/// Returns where a package's module stands, whoever's package it is.
pub(crate) fn place(package: &str) -> impl Iterator<Item = &str> {
    package.strip_prefix(ROOT).unwrap_or(package).split('.')
}

/// Returns the path of a package's module, such as `crate::user::v1`.
fn module(package: &str) -> String {
    format!("crate::{}", place(package).collect::<Vec<_>>().join("::"))
}

/// Returns a message's path, such as `crate::user::v1::Profile`.
pub(crate) fn message(message: &MessageDescriptor) -> String {
    format!("{}::{}", parent(message.parent_message().as_ref(), message), message.name())
}

/// Returns the path of a service's server, such as
/// `crate::user::v1::user_service_server::UserServiceServer`.
pub(crate) fn server(service: &str) -> String {
    let (package, name) = service.rsplit_once('.').unwrap_or_default();
    format!("{}::{}_server::{name}Server", module(package), snake(name))
}

/// Returns a oneof's type, such as `crate::user::v1::profile::Kind`.
pub(crate) fn oneof(oneof: &OneofDescriptor) -> String {
    let message = oneof.parent_message();
    format!("{}::{}", parent(Some(message), message), camel(oneof.name()))
}

/// Returns a oneof member's variant.
pub(crate) fn variant(field: &FieldDescriptor) -> String {
    camel(field.name())
}

/// Returns a field's identifier.
pub(crate) fn ident(name: &str) -> String {
    match name {
        "self" | "super" | "crate" | "extern" => format!("{name}_"),
        name if KEYWORDS.contains(&name) => format!("r#{name}"),
        name => name.to_owned(),
    }
}

/// Says why prost would call a message's parts otherwise, if it would.
pub(crate) fn fault(message: &MessageDescriptor) -> Option<String> {
    if !is_camel(message.name()) {
        return Some(format!(
            "`{}` is not of the form UpperCamel, `Http` not `HTTP`",
            message.name()
        ));
    }
    let fields = message.fields().map(|field| field.name().to_owned());
    let oneofs = message.oneofs().filter(|oneof| !oneof.is_synthetic());
    let names = fields.chain(oneofs.map(|oneof| oneof.name().to_owned()));
    let bad = names.into_iter().find(|name| !is_snake(name))?;
    Some(format!("`{bad}` is not of the form lower_snake, `item_1` or `item1` not `item_1a`"))
}

/// Returns where prost puts what stands inside a message, or the package's own module.
fn parent(outer: Option<&MessageDescriptor>, message: &MessageDescriptor) -> String {
    let Some(outer) = outer else {
        return module(message.package_name());
    };
    let above = parent(outer.parent_message().as_ref(), message);
    format!("{above}::{}", ident(&snake(outer.name())))
}

/// Letters and digits; each capital begins a word. Two stand side by side where the first is a word by
/// itself, as in `WhoAmIRequest`; of three, or two at the end, prost makes other words.
fn is_camel(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !name.as_bytes().rchunks(2).next().is_some_and(is_capitals)
        && !name.as_bytes().windows(3).any(is_capitals)
}

/// Words of lower-case letters and then digits, with single underscores between.
fn is_snake(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('_').all(|word| {
            let digits = word.trim_start_matches(|letter: char| letter.is_ascii_lowercase());
            !word.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
}

fn is_capitals(letters: &[u8]) -> bool {
    letters.len() > 1 && letters.iter().all(u8::is_ascii_uppercase)
}

/// Returns a name in `lower_snake`.
pub(crate) fn snake(name: &str) -> String {
    let mut out = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Returns a name in `UpperCamel`.
pub(crate) fn camel(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or_default();
        first.to_ascii_uppercase() + rest
    });
    words.collect()
}
