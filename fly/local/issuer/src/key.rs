//! A key that signs, and how others get to know it.

use std::sync::Arc;

use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, Header, crypto::aws_lc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;

/// As many hexadecimal digits as Google's ids have.
const ID_BYTES: usize = 20;

/// How long a line of a PEM file is.
const PEM_LINE_BYTES: usize = 64;

/// An RSA key of 2048 bits. Clones are the same key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Key {
    pair: Arc<RsaKeyPair>,
    id: String,
    /// PKCS #8, in base64: as it is kept.
    kept: String,
}

impl Key {
    pub(crate) fn generate() -> Result<Self, Error> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(Error::Crypto)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(Error::Crypto)?;
        let kept = STANDARD.encode(der.as_ref());
        Ok(Self::of(pair, kept))
    }

    fn of(pair: RsaKeyPair, kept: String) -> Self {
        // Whoever holds an issuer verifies its tokens next, and with two backends linked
        // jsonwebtoken picks none. It may have been chosen before.
        aws_lc::DEFAULT_PROVIDER.install_default().unwrap_or_default();
        let hash = digest::digest(&digest::SHA256, pair.public_key().as_ref());
        let digits = hash.as_ref().iter().take(ID_BYTES).map(|byte| format!("{byte:02x}"));
        let id = digits.collect::<Vec<_>>().concat();
        Self { pair: Arc::new(pair), id, kept }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The header of every token that is meant to be good.
    pub(crate) fn header(&self) -> Header {
        Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::RS256) }
    }

    pub(crate) fn jwk(&self) -> Value {
        let public = self.pair.public_key();
        let encode = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        json!({
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": self.id,
            "n": encode(public.modulus().big_endian_without_leading_zero()),
            "e": encode(public.exponent().big_endian_without_leading_zero()),
        })
    }

    /// The private key, as key files hold it.
    pub(crate) fn pem(&self) -> String {
        let lines: Vec<_> = self.kept.as_bytes().chunks(PEM_LINE_BYTES).collect();
        let lines = String::from_utf8_lossy(&lines.join(&b'\n')).into_owned();
        format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n")
    }

    /// Signs with RS256, whatever `header` says.
    ///
    /// Not by `jsonwebtoken::encode`, which would refuse a header that does not fit the key.
    pub(crate) fn sign(&self, header: &Header, claims: &Value) -> String {
        let header = serde_json::to_vec(header).expect("a header is text and lists of text");
        let message =
            [header, claims.to_string().into_bytes()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let message = message.join(".");
        let signature = self.sign_bytes(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A signature by RS256.
    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("a whole key of 2048 bits signs anything");
        signature
    }

    /// The public key, as certificates hold it.
    pub(crate) fn public_der(&self) -> Result<Vec<u8>, Error> {
        let der: PublicKeyX509Der<'_> = self.pair.public_key().as_der().map_err(Error::Crypto)?;
        Ok(der.as_ref().to_vec())
    }

    /// The claims of a token that this key signed.
    pub(crate) fn verify(&self, token: &str) -> Option<Value> {
        let (message, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public_key())
            .verify(message.as_bytes(), &signature)
            .ok()?;
        let (_, claims) = message.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(kept: String) -> Result<Self, String> {
        let pkcs8 = STANDARD.decode(&kept).map_err(|error| error.to_string())?;
        let pair = RsaKeyPair::from_pkcs8(&pkcs8).map_err(|error| error.to_string())?;
        Ok(Self::of(pair, kept))
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.kept
    }
}
