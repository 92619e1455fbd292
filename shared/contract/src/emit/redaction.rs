//! Messages that hold a secret, by `debug_redact` on one of their fields, have no `Debug` that tells
//! it: a password that is read must not be able to reach a log by way of the message it came in.

use std::fmt::Write;

use prost_reflect::MessageDescriptor;

use super::ALLOW;
use crate::{names, sources::Sources};

/// Returns the messages of the contracts that hold a secret.
pub(crate) fn secretive(sources: &Sources) -> Vec<MessageDescriptor> {
    let messages = sources.files().flat_map(|file| file.messages().collect::<Vec<_>>());
    messages.filter(holds_secret).collect()
}

fn holds_secret(message: &MessageDescriptor) -> bool {
    message.fields().any(|field| {
        let options = field.options();
        let redact = options.get_field_by_name("debug_redact");
        redact.is_some_and(|redact| redact.as_bool() == Some(true))
    })
}

/// Returns their `Debug`, which tells no more than what they are.
pub(crate) fn text(sources: &Sources) -> String {
    let mut out = String::new();
    for message in secretive(sources) {
        let (path, name) = (names::message(&message), message.name().to_owned());
        writeln!(
            out,
            "impl ::core::fmt::Debug for {path} {{\n    \
             fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{\n        \
             f.write_str(\"{name}(..)\")\n    }}\n}}"
        )
        .expect("a string takes whatever is written to it");
    }
    if out.is_empty() {
        return out;
    }
    format!("{ALLOW}\nmod redacted {{\n{out}}}\n")
}
