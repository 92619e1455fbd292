//! From JSON text to the bytes of a message, in one pass.

mod ignored;
mod value;

use std::fmt;

use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use self::{
    ignored::Ignored,
    value::{Default, Value},
};
use crate::json::{Field, JsonError, Kind, Message, Shape};

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
