//! From JSON text to the bytes of a message, in one pass.

use std::fmt;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::json::{Field, JsonError, Kind, Message, Shape, mask, number, time};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Returns the bytes of a message that a JSON text stands for.
pub(crate) fn read(message: &'static Message, text: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let mut out = Vec::with_capacity(text.len());
    Fields { message, out: &mut out }.deserialize(&mut deserializer).map_err(JsonError::new)?;
    deserializer.end().map_err(JsonError::new)?;

    Ok(out)
}

/// The fields of a message, to be appended.
struct Fields<'a> {
    message: &'static Message,
    out: &'a mut Vec<u8>,
}

/// A field, to be appended if it is not null.
struct Slot<'a> {
    field: &'static Field,
    out: &'a mut Vec<u8>,
}

/// The items of a repeated field.
struct Items<'a>(Slot<'a>);

/// The entries of a map.
struct Entries<'a>(Slot<'a>, Kind);

/// One value, to be appended behind its key.
struct Value<'a> {
    kind: Kind,
    /// Is the field's number; none inside a packed field, where values have no key.
    number: Option<u32>,
    /// Leaves out the kind's default.
    default: Default,
    out: &'a mut Vec<u8>,
}

/// What becomes of a default.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Default {
    Sent,
    LeftOut,
}

/// Any value at all, which is passed over; unlike serde's own it counts the levels of nesting.
struct Ignored;

// === impl Fields ===

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = 0_u128;
        let mut oneofs = 0_u128;
        while let Some(known) = map.next_key_seed(Key(self.message))? {
            let Some(index) = known else {
                map.next_value_seed(Ignored)?;
                continue;
            };
            let field = &self.message.fields[index];
            let given = map.next_value_seed(Slot { field, out: self.out })?;
            if is_set(&mut seen, index) {
                return Err(A::Error::custom("a field is given twice"));
            }
            if let Some(oneof) = field.oneof.filter(|_| given)
                && is_set(&mut oneofs, oneof.into())
            {
                return Err(A::Error::custom("two fields are given that exclude each other"));
            }
        }
        Ok(())
    }
}

/// A key of an object, to be found among the fields.
struct Key(&'static Message);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.named(key))
    }
}

// === impl Slot ===

impl<'de> DeserializeSeed<'de> for Slot<'_> {
    /// Says whether the field is there.
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Slot<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's value")
    }

    fn visit_none<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let Field { number, kind, .. } = *self.field;
        let value = |default| (kind, Some(number), default);
        let (kind, number, default) = match self.field.shape {
            Shape::Implicit => value(Default::LeftOut),
            Shape::Optional => value(Default::Sent),
            Shape::Repeated => {
                deserializer.deserialize_seq(Items(self))?;
                return Ok(true);
            }
            Shape::Map(key) => {
                deserializer.deserialize_map(Entries(self, key))?;
                return Ok(true);
            }
        };
        Value { kind, number, default, out: self.out }.deserialize(deserializer)?;
        Ok(true)
    }
}

// === impl Items ===

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Slot { field, out } = self.0;
        let (kind, default) = (field.kind, Default::Sent);
        if !kind.is_packed() {
            let number = Some(field.number);
            while items.next_element_seed(Value { kind, number, default, out })?.is_some() {}
            return Ok(());
        }

        let mut packed = Vec::new();
        let (number, run) = (None, &mut packed);
        while items.next_element_seed(Value { kind, number, default, out: run })?.is_some() {}
        if !packed.is_empty() {
            delimited(field.number, &packed, out);
        }
        Ok(())
    }
}

// === impl Entries ===

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(Slot { field, out }, key) = self;
        let default = Default::LeftOut;
        let mut entry = Vec::new();
        while let Some(text) = map.next_key::<String>()? {
            entry.clear();
            let as_key = Value { kind: key, number: Some(1), default, out: &mut entry };
            as_key.key(&text)?;
            let kind = field.kind;
            map.next_value_seed(Value { kind, number: Some(2), default, out: &mut entry })?;
            delimited(field.number, &entry, out);
        }
        Ok(())
    }
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
    fn key<E: Error>(self, text: &str) -> Result<(), E> {
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

// === impl Ignored ===

impl<'de> DeserializeSeed<'de> for Ignored {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Ignored {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _value: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _value: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _value: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _value: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _value: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(Self)?;
        }
        Ok(())
    }
}

/// Sets a bit, and returns whether it was set.
fn is_set(bits: &mut u128, index: usize) -> bool {
    let before = *bits;
    *bits |= 1 << index;
    before == *bits
}

fn delimited(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
