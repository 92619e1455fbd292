//! The stored answer of an exactly-once call: which call it belongs to, and the seal on it.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{SHA256, digest},
    hkdf::{HKDF_SHA256, Salt},
    rand,
};
use call::{Call, IdempotencyKey};
use fault::{Fault, Reason};
use prost::Message;

/// Which call an answer belongs to.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) caller: String,
    pub(crate) rpc: &'static str,
    pub(crate) key_hash: Vec<u8>,
    pub(crate) request_hash: Vec<u8>,
    key: IdempotencyKey,
}

/// A stored answer that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("a stored answer cannot be opened")]
pub(crate) struct Unopenable;

impl Identity {
    /// The identity of `call` with `request`; the message is hashed as decoded, so that a repeat
    /// over another protocol is the same request.
    pub(crate) fn of(call: &Call, request: &impl Message) -> Result<Self, Fault> {
        let (Some(method), Some(key)) = (call.method, call.idempotency_key.clone()) else {
            return Err(Reason::IdempotencyKeyMissing.into());
        };
        Ok(Self {
            caller: call.caller.key().into_owned(),
            rpc: method.path,
            key_hash: hash(key.as_str().as_bytes()),
            request_hash: hash(&request.encode_to_vec()),
            key,
        })
    }

    /// Seals an answer, so that the table does not hold in clear what the call may have returned.
    pub(crate) fn seal(&self, answer: &[u8]) -> Result<Vec<u8>, Unopenable> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_unspecified| Unopenable)?;
        let mut sealed = answer.to_vec();
        self.sealing_key()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&self.request_hash),
                &mut sealed,
            )
            .map_err(|_unspecified| Unopenable)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens an answer that [`Identity::seal`] has sealed.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Unopenable> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(Unopenable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_unspecified| Unopenable)?;
        let mut opened = sealed.to_vec();
        let length = self
            .sealing_key()?
            .open_in_place(nonce, Aad::from(&self.request_hash), &mut opened)
            .map_err(|_unspecified| Unopenable)?
            .len();
        opened.truncate(length);
        Ok(opened)
    }

    fn sealing_key(&self) -> Result<LessSafeKey, Unopenable> {
        let salt = Salt::new(HKDF_SHA256, b"mayfly exactly-once answer v1");
        let key = salt.extract(self.key.as_str().as_bytes());
        let info = [self.caller.as_bytes(), self.rpc.as_bytes()];
        let key = key.expand(&info, &AES_256_GCM).map_err(|_unspecified| Unopenable)?;
        Ok(LessSafeKey::new(UnboundKey::from(key)))
    }
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;

    use super::*;

    fn identity([caller, rpc, key]: [&'static str; 3], request: &str) -> Identity {
        let mut metadata = MetadataMap::new();
        metadata.insert(IdempotencyKey::HEADER, key.parse().unwrap());
        let headers = metadata.into_headers();
        Identity {
            caller: caller.to_owned(),
            rpc,
            key_hash: hash(key.as_bytes()),
            request_hash: hash(request.as_bytes()),
            key: IdempotencyKey::of(&headers).unwrap().unwrap(),
        }
    }

    #[test]
    fn an_answer_is_opened_by_the_very_call_that_has_sealed_it() {
        let sealed = identity(["ada", "/a", "k"], "x").seal(b"answer").unwrap();
        let opened = |of, request| identity(of, request).open(&sealed).ok();
        assert_eq!(opened(["ada", "/a", "k"], "x").unwrap(), b"answer");
        for other in [["bob", "/a", "k"], ["ada", "/b", "k"], ["ada", "/a", "l"]] {
            assert_eq!(opened(other, "x"), None, "{other:?}");
        }
        assert_eq!(opened(["ada", "/a", "k"], "y"), None);
    }
}
