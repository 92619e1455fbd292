//! Reads a single value, of whatever kind its field has.

use std::fmt;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::Fields;
use crate::json::{Kind, mask, number, time};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// One value, to be appended behind its key.
pub(super) struct Value<'a> {
    pub(super) kind: Kind,
    /// Is the field's number; none inside a packed field, where values have no key.
    pub(super) number: Option<u32>,
    /// Leaves out the kind's default.
    pub(super) default: Default,
    pub(super) out: &'a mut Vec<u8>,
}

/// What becomes of a default.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Default {
    Sent,
    LeftOut,
}

// === impl Value ===

impl Value<'_> {
    /// Appends a value.
    fn put(self, value: &[u8]) {
        let wire_type = number::wire_type(self.kind);
        let is_default = match self.kind {
            Kind::Message(_) | Kind::Timestamp | Kind::Duration | Kind::FieldMask => false,
            Kind::String | Kind::Bytes => value.is_empty(),
            _ => value.iter().all(|byte| *byte == 0),
        };
        if is_default && self.default == Default::LeftOut {
            return;
        }
        if let Some(number) = self.number {
            encode_key(number, wire_type, self.out);
        }
        if wire_type == WireType::LengthDelimited {
            encode_varint(value.len() as u64, self.out);
        }
        self.out.extend_from_slice(value);
    }

    fn integer<E: Error>(self, value: Option<i128>) -> Result<(), E> {
        let mut bytes = Vec::with_capacity(10);
        value
            .and_then(|value| number::encode_integer(self.kind, value, &mut bytes))
            .ok_or_else(|| E::custom("a number is out of its range or of the wrong type"))?;
        self.put(&bytes);
        Ok(())
    }

    fn float<E: Error>(self, value: Option<f64>) -> Result<(), E> {
        let mut bytes = Vec::with_capacity(8);
        value
            .and_then(|value| number::encode_float(self.kind, value, &mut bytes))
            .ok_or_else(|| E::custom("a number is out of its range or of the wrong type"))?;
        self.put(&bytes);
        Ok(())
    }

    /// Appends a message of a well-known type.
    fn known<E: Error>(self, value: Option<impl prost::Message>) -> Result<(), E> {
        let value = value.ok_or_else(|| E::custom("a text has not the form of its type"))?;
        self.put(&value.encode_to_vec());
        Ok(())
    }

    /// Appends a map's key, which JSON spells as a string whatever it is.
    pub(super) fn key<E: Error>(self, text: &str) -> Result<(), E> {
        match (self.kind, text) {
            (Kind::Bool, "true") => self.visit_bool(true),
            (Kind::Bool, "false") => self.visit_bool(false),
            (Kind::Bool, _) => Err(E::custom("a key is neither true nor false")),
            _ => self.visit_str(text),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of the field's type")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.kind {
            Kind::Bool => self.put(&[value.into()]),
            _ => return Err(E::custom("a boolean is where there should be none")),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        match self.kind {
            #[expect(clippy::cast_precision_loss, reason = "a double is what the field holds")]
            Kind::Float | Kind::Double => self.float(Some(value as f64)),
            _ => self.integer(Some(value.into())),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match self.kind {
            #[expect(clippy::cast_precision_loss, reason = "a double is what the field holds")]
            Kind::Float | Kind::Double => self.float(Some(value as f64)),
            _ => self.integer(Some(value.into())),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.kind {
            Kind::Float | Kind::Double => self.float(Some(value)),
            _ => self.integer(number::integer_from_float(value)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.kind {
            Kind::String => {
                self.put(text.as_bytes());
                Ok(())
            }
            Kind::Bytes => {
                let engine = if text.contains(['-', '_']) { BASE64_URL } else { BASE64 };
                let bytes = engine.decode(text).map_err(|_error| E::custom("a text is not base64"));
                bytes.map(|bytes| self.put(&bytes))
            }
            Kind::Enum(names) => match names.number(text) {
                Some(number) => self.integer(Some(number.into())),
                None => Err(E::custom("a name is none of its enum")),
            },
            Kind::Timestamp => self.known(time::parse_timestamp(text)),
            Kind::Duration => self.known(time::parse_duration(text)),
            Kind::FieldMask => self.known(mask::parse(text)),
            Kind::Float | Kind::Double => self.float(number::float_from_text(text)),
            Kind::Bool | Kind::Message(_) => Err(E::custom("a text is where there should be none")),
            _ => self.integer(number::integer_from_text(text)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(message) = self.kind else {
            return Err(A::Error::custom("an object is where there should be none"));
        };
        let mut inner = Vec::new();
        Fields { message, out: &mut inner }.visit_map(map)?;
        self.put(&inner);
        Ok(())
    }
}
