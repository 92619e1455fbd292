//! What the chassis asks of every generated server.

use std::{collections::BTreeSet, fmt::Write};

use crate::{names, policy::Method};

/// Returns the servers' bounds: tonic gives each server these methods, and no trait for them.
pub(crate) fn text(methods: &[Method]) -> String {
    let services: BTreeSet<_> = methods.iter().map(|method| method.service.as_str()).collect();
    let mut out = String::new();
    for service in services {
        let server = names::server(service);
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
