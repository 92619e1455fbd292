//! What a client carries for us and brings back unchanged: a few bytes, signed, and bound to the
//! RPC, the caller and the query they were given for.
//!
//! The key is the database's, so that any machine reads what another wrote. What the bytes say, and
//! until when they are good, is for whoever writes them.

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use call::Call;
use database::{Pool, Result};

const TAG_BYTES: usize = 32;

/// Signs and reads the tickets of one query.
#[derive(Clone, Debug)]
pub struct Signer {
    key: hmac::Key,
    /// A digest of the RPC, the caller and the query.
    binding: Vec<u8>,
}

impl Signer {
    /// A signer under the database's key called `name`, for what `call` asks. The parts of `query`
    /// are what stays the same from one ticket to the next.
    pub async fn of(pool: &Pool, name: &'static str, call: &Call, query: &[&[u8]]) -> Result<Self> {
        Ok(Self::of_call(&pool.secret(name).await?, call, query))
    }

    fn of_call(key: &[u8], call: &Call, query: &[&[u8]]) -> Self {
        let rpc = call.method.map_or("", |method| method.path);
        let caller = call.caller.key();
        Self::new(key, &[&[rpc.as_bytes(), caller.as_bytes()], query].concat())
    }

    /// A signer under `key` whose tickets belong to all of `parts` together.
    pub fn new(key: &[u8], parts: &[&[u8]]) -> Self {
        let mut binding = Vec::new();
        for part in parts {
            // Each with its length before it, so that none runs into the next.
            binding.extend(length(part));
            binding.extend(*part);
        }
        let binding = digest(&SHA256, &binding).as_ref().to_vec();
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), binding }
    }

    /// Writes a ticket.
    pub fn seal(&self, content: &[u8]) -> String {
        let tag = self.tag(content);
        URL_SAFE_NO_PAD.encode([content, tag.as_ref()].concat())
    }

    /// Reads a ticket, if it is one of this query.
    pub fn open(&self, ticket: &str) -> Option<Vec<u8>> {
        let mut content = URL_SAFE_NO_PAD.decode(ticket).ok()?;
        let tag = content.split_off(content.len().checked_sub(TAG_BYTES)?);
        hmac::verify(&self.key, &self.signed(&content), &tag).ok()?;
        Some(content)
    }

    fn tag(&self, content: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, &self.signed(content))
    }

    /// What the tag stands for: the content, in the place it belongs to.
    fn signed(&self, content: &[u8]) -> Vec<u8> {
        [&length(content)[..], content, &self.binding].concat()
    }
}

fn length(bytes: &[u8]) -> [u8; 8] {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use call::RequestId;
    use http::HeaderMap;
    use identity::{Caller, ServiceName};

    use super::*;

    fn signer(parts: &[&str]) -> Signer {
        Signer::new(b"key", &parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn a_ticket_is_read_where_it_belongs_and_nowhere_else() {
        let ada = signer(&["rpc", "ada"]);
        let ticket = ada.seal(b"here");
        assert_eq!(ada.open(&ticket).as_deref(), Some(&b"here"[..]));
        for other in [&["rpc", "bob"][..], &["rpcada"], &["rp", "cada"], &["rpc", "ada", ""]] {
            assert_eq!(signer(other).open(&ticket), None, "{other:?}");
        }
        assert_eq!(Signer::new(b"yek", &[b"rpc", b"ada"]).open(&ticket), None);
    }

    #[test]
    fn a_ticket_is_its_rpcs_its_callers_and_its_querys() {
        let of = |path, service, query: &[u8]| {
            let mut call = Call::new(RequestId::of(&HeaderMap::new()), proto::method(path));
            call.caller = Caller::Service(ServiceName::parse(service).unwrap());
            Signer::of_call(b"key", &call, &[query])
        };
        let [list, get] = ["ListProfiles", "GetProfile"].map(|rpc| {
            let path = format!("/mayfly.user.v1.UserService/{rpc}");
            assert!(proto::method(&path).is_some());
            path
        });
        let ticket = of(&list, "data", b"all").seal(b"here");
        assert!(of(&list, "data", b"all").open(&ticket).is_some());
        for other in [of(&get, "data", b"all"), of(&list, "file", b"all"), of(&list, "data", b"")] {
            assert_eq!(other.open(&ticket), None);
        }
    }

    #[test]
    fn no_changed_byte_passes() {
        let ada = signer(&["ada"]);
        let bytes = URL_SAFE_NO_PAD.decode(ada.seal(b"here")).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(ada.open(&URL_SAFE_NO_PAD.encode(changed)), None);
        }
        for broken in ["", "x", "AAAA", "=", "ä"] {
            assert_eq!(ada.open(broken), None, "{broken}");
        }
    }
}
