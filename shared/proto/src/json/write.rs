//! From the bytes of a message to JSON text.

use std::io::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use prost::encoding::{WireType, decode_key, decode_varint};

use crate::json::{Field, JsonError, Kind, Message, Shape, mask, number, time};

/// Is how deep messages may stand in each other; prost reads as deep.
const DEPTH_MAX: usize = 100;

type Result<T> = std::result::Result<T, JsonError>;

/// Returns the JSON text of a message's bytes.
pub(crate) fn write(message: &'static Message, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    object(message, bytes, DEPTH_MAX, &mut out)?;
    Ok(out)
}

/// A value as it is on the wire.
#[derive(Clone, Copy)]
enum Raw<'a> {
    Bits(WireType, u64),
    Bytes(&'a [u8]),
}

/// A field that is there, by its place in its message's table.
type Found<'a> = (usize, Raw<'a>);

fn object(message: &'static Message, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<()> {
    let depth = depth.checked_sub(1).ok_or_else(|| JsonError::new("nested too deeply"))?;
    let found = parse(message, bytes)?;
    let mut separator = "{";
    for run in found.chunk_by(|(one, _), (other, _)| one == other) {
        let field = &message.fields[run[0].0];
        let before = out.len();
        out.extend_from_slice(separator.as_bytes());
        quoted(field.json, out)?;
        out.push(b':');
        if entry(field, run, depth, out)? {
            separator = ",";
        } else {
            out.truncate(before);
        }
    }
    out.extend_from_slice(if separator == "{" { b"{}" } else { b"}" });
    Ok(())
}

/// Returns the fields that are there, in the table's order and within one in the wire's order.
fn parse<'a>(message: &'static Message, mut bytes: &'a [u8]) -> Result<Vec<Found<'a>>> {
    let mut found: Vec<Found<'a>> = Vec::new();
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes).map_err(JsonError::new)?;
        let raw = raw(wire_type, &mut bytes)?;
        let Some(index) = message.numbered(number) else { continue };
        // Of a oneof's members the last one counts.
        if let Some(oneof) = message.fields[index].oneof {
            let rival = |other: usize| other != index && message.fields[other].oneof == Some(oneof);
            found.retain(|(other, _)| !rival(*other));
        }
        found.push((index, raw));
    }
    found.sort_by_key(|(index, _)| *index);
    Ok(found)
}

fn raw<'a>(wire_type: WireType, bytes: &mut &'a [u8]) -> Result<Raw<'a>> {
    match wire_type {
        WireType::Varint => Ok(Raw::Bits(wire_type, decode_varint(bytes).map_err(JsonError::new)?)),
        WireType::SixtyFourBit => {
            let bits = take(bytes, 8)?.try_into().map_err(JsonError::new)?;
            Ok(Raw::Bits(wire_type, u64::from_le_bytes(bits)))
        }
        WireType::ThirtyTwoBit => {
            let bits = take(bytes, 4)?.try_into().map_err(JsonError::new)?;
            Ok(Raw::Bits(wire_type, u32::from_le_bytes(bits).into()))
        }
        WireType::LengthDelimited => {
            let length = decode_varint(bytes).map_err(JsonError::new)?;
            let length = usize::try_from(length).map_err(JsonError::new)?;
            Ok(Raw::Bytes(take(bytes, length)?))
        }
        WireType::StartGroup | WireType::EndGroup => Err(JsonError::new("a group")),
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let whole = *bytes;
    let (head, rest) = whole.split_at_checked(length).ok_or_else(|| JsonError::new("cut off"))?;
    *bytes = rest;
    Ok(head)
}

/// Writes a field's value; returns false, and may have written, where it is its default.
fn entry(field: &Field, run: &[Found<'_>], depth: usize, out: &mut Vec<u8>) -> Result<bool> {
    match &field.shape {
        Shape::Implicit => {
            let (_, raw) = run[run.len() - 1];
            value(field.kind, raw, depth, out)?;
            Ok(!is_default(raw))
        }
        Shape::Optional => {
            match field.kind {
                // The parts of a message that is sent in parts are one message.
                Kind::Message(_) if run.len() > 1 => {
                    let parts: Result<Vec<_>> = run.iter().map(|(_, raw)| bytes(*raw)).collect();
                    value(field.kind, Raw::Bytes(&parts?.concat()), depth, out)?;
                }
                _ => value(field.kind, run[run.len() - 1].1, depth, out)?,
            }
            Ok(true)
        }
        Shape::Repeated => array(field.kind, run, depth, out),
        Shape::Map(key) => map(*key, field.kind, run, depth, out),
    }
}

fn array(kind: Kind, run: &[Found<'_>], depth: usize, out: &mut Vec<u8>) -> Result<bool> {
    let mut separator = b'[';
    for (_, raw_item) in run {
        match raw_item {
            &Raw::Bytes(mut packed) if kind.is_packed() => {
                while !packed.is_empty() {
                    let item = raw(number::wire_type(kind), &mut packed)?;
                    out.push(std::mem::replace(&mut separator, b','));
                    value(kind, item, depth, out)?;
                }
            }
            item => {
                out.push(std::mem::replace(&mut separator, b','));
                value(kind, *item, depth, out)?;
            }
        }
    }
    out.push(b']');
    Ok(separator == b',')
}

fn map(
    key_kind: Kind,
    kind: Kind,
    run: &[Found<'_>],
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let mut separator = b'{';
    for (_, raw_entry) in run {
        let mut entry = bytes(*raw_entry)?;
        let (mut key, mut item) = (absent(key_kind), absent(kind));
        while !entry.is_empty() {
            let (number, wire_type) = decode_key(&mut entry).map_err(JsonError::new)?;
            match (number, raw(wire_type, &mut entry)?) {
                (1, part) => key = part,
                (2, part) => item = part,
                _ => {}
            }
        }
        out.push(std::mem::replace(&mut separator, b','));
        name(key_kind, key, out)?;
        out.push(b':');
        value(kind, item, depth, out)?;
    }
    out.push(b'}');
    Ok(true)
}

/// Writes a map's key, which JSON spells as a string whatever it is.
fn name(kind: Kind, key: Raw<'_>, out: &mut Vec<u8>) -> Result<()> {
    let mut text = Vec::new();
    value(kind, key, 0, &mut text)?;
    if text.first() == Some(&b'"') {
        out.extend_from_slice(&text);
    } else {
        out.push(b'"');
        out.extend_from_slice(&text);
        out.push(b'"');
    }
    Ok(())
}

/// Returns what the wire means when it says nothing.
fn absent(kind: Kind) -> Raw<'static> {
    match number::wire_type(kind) {
        WireType::LengthDelimited => Raw::Bytes(&[]),
        wire_type => Raw::Bits(wire_type, 0),
    }
}

fn is_default(raw: Raw<'_>) -> bool {
    match raw {
        Raw::Bits(_, bits) => bits == 0,
        Raw::Bytes(bytes) => bytes.is_empty(),
    }
}

fn value(kind: Kind, raw: Raw<'_>, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    match kind {
        Kind::Bool => {
            let text = if bits(kind, raw)? == 0 { "false" } else { "true" };
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
        Kind::Float => match number::decode_float(bits(kind, raw)?) {
            float if float.is_finite() => serialized(&float, out),
            float => special(float.into(), out),
        },
        Kind::Double => match f64::from_bits(bits(kind, raw)?) {
            float if float.is_finite() => serialized(&float, out),
            float => special(float, out),
        },
        Kind::String => quoted(std::str::from_utf8(bytes(raw)?).map_err(JsonError::new)?, out),
        Kind::Bytes => quoted(&BASE64_STANDARD.encode(bytes(raw)?), out),
        Kind::Message(message) => object(message, bytes(raw)?, depth, out),
        Kind::Timestamp => known(raw, time::format_timestamp, out),
        Kind::Duration => known(raw, time::format_duration, out),
        Kind::FieldMask => known(raw, mask::format, out),
        Kind::Enum(names) => {
            let number = number::decode_integer(kind, bits(kind, raw)?);
            match i32::try_from(number).ok().and_then(|number| names.name(number)) {
                Some(name) => quoted(name, out),
                None => serialized(&number, out),
            }
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
            let number = number::decode_integer(kind, bits(kind, raw)?);
            write!(out, "\"{number}\"").map_err(JsonError::new)
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => {
            let number = number::decode_integer(kind, bits(kind, raw)?);
            write!(out, "{number}").map_err(JsonError::new)
        }
    }
}

fn known<T: prost::Message + Default>(
    raw: Raw<'_>,
    format: fn(&T) -> Option<String>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let value = T::decode(bytes(raw)?).map_err(JsonError::new)?;
    let text = format(&value).ok_or_else(|| JsonError::new("a value that JSON cannot spell"))?;
    quoted(&text, out)
}

fn special(float: f64, out: &mut Vec<u8>) -> Result<()> {
    let name = match float {
        float if float.is_nan() => "NaN",
        float if float > 0.0 => "Infinity",
        _ => "-Infinity",
    };
    quoted(name, out)
}

fn quoted(text: &str, out: &mut Vec<u8>) -> Result<()> {
    serialized(text, out)
}

fn serialized<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, value).map_err(JsonError::new)
}

fn bits(kind: Kind, raw: Raw<'_>) -> Result<u64> {
    match raw {
        Raw::Bits(wire_type, bits) if wire_type == number::wire_type(kind) => Ok(bits),
        _ => Err(JsonError::new(mistyped())),
    }
}

fn bytes(raw: Raw<'_>) -> Result<&[u8]> {
    match raw {
        Raw::Bytes(bytes) => Ok(bytes),
        Raw::Bits(..) => Err(JsonError::new(mistyped())),
    }
}

fn mistyped() -> &'static str {
    "a field of another type than the contract's"
}
