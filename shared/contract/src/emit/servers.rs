//! What the chassis asks of every generated server.

use std::{collections::BTreeSet, fmt::Write};

use crate::names;

/// Returns the bounds of these services' servers: tonic gives each these methods, and no trait for
/// them.
pub(crate) fn text(services: impl Iterator<Item = impl AsRef<str> + Ord>) -> String {
    let mut out = String::new();
    for service in services.collect::<BTreeSet<_>>() {
        let server = names::server(service.as_ref());
        writeln!(
            out,
            "impl<T> crate::Bounded for {server}<T> {{\n    \
             fn bounded(self, message_bytes_max: usize) -> Self {{\n        \
             use tonic::codec::CompressionEncoding::{{Gzip, Zstd}};\n        \
             self.max_decoding_message_size(message_bytes_max)\
             .accept_compressed(Gzip).accept_compressed(Zstd)\n    }}\n}}"
        )
        .expect("a string takes whatever is written to it");
    }
    out
}
