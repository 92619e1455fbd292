//! Numbers between JSON, Rust and the wire.

use prost::encoding::{WireType, encode_varint};

use crate::json::Kind;

/// Returns the integer that a JSON number or a JSON string stands for.
pub(crate) fn integer_from_text(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    integer_from_float(float_from_text(text)?)
}

/// Returns the integer that a float is, if it is one of 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
pub(crate) fn integer_from_float(value: f64) -> Option<i128> {
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    let fits = value.fract() == 0.0 && value > -BEYOND && value < BEYOND;
    fits.then_some(value as i128)
}

/// Returns the float that a JSON string stands for; the three special ones have their own names.
pub(crate) fn float_from_text(text: &str) -> Option<f64> {
    match text {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(f64::INFINITY),
        "-Infinity" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    // Rust's parser would also take `inf`, `nan` and `+1`, which JSON does not know.
    let plain = |byte: u8| byte.is_ascii_digit() || b"-+.eE".contains(&byte);
    let begins = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if !begins || !text.bytes().all(plain) {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// Returns the wire's form of an integer, without a field's key, unless it is out of range.
pub(crate) fn encode_integer(kind: Kind, value: i128, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        // A negative int32 or enum is sent as the int64 of the same value.
        Kind::Int32 | Kind::Enum(_) => {
            encode_varint(i64::from(i32::try_from(value).ok()?).cast_unsigned(), out);
        }
        Kind::Int64 => encode_varint(i64::try_from(value).ok()?.cast_unsigned(), out),
        Kind::Sint32 => encode_varint(zigzag(i32::try_from(value).ok()?.into()), out),
        Kind::Sint64 => encode_varint(zigzag(i64::try_from(value).ok()?), out),
        Kind::Uint32 => encode_varint(u32::try_from(value).ok()?.into(), out),
        Kind::Uint64 => encode_varint(u64::try_from(value).ok()?, out),
        Kind::Sfixed32 => out.extend(i32::try_from(value).ok()?.to_le_bytes()),
        Kind::Fixed32 => out.extend(u32::try_from(value).ok()?.to_le_bytes()),
        Kind::Sfixed64 => out.extend(i64::try_from(value).ok()?.to_le_bytes()),
        Kind::Fixed64 => out.extend(u64::try_from(value).ok()?.to_le_bytes()),
        _ => return None,
    }
    Some(())
}

/// Returns the wire's form of a float, without a field's key, unless it is out of range.
#[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest float is what is due")]
pub(crate) fn encode_float(kind: Kind, value: f64, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        Kind::Float => {
            let narrow = value as f32;
            if narrow.is_infinite() && value.is_finite() {
                return None;
            }
            out.extend(narrow.to_le_bytes());
        }
        Kind::Double => out.extend(value.to_le_bytes()),
        _ => return None,
    }
    Some(())
}

/// Returns the integer that the wire's 64 bits stand for.
#[expect(clippy::cast_possible_truncation, reason = "the wire's upper bits are dropped by design")]
pub(crate) fn decode_integer(kind: Kind, bits: u64) -> i128 {
    match kind {
        Kind::Int32 | Kind::Sfixed32 | Kind::Enum(_) => (bits as i32).into(),
        Kind::Sint32 => (unzigzag(u64::from(bits as u32)) as i32).into(),
        Kind::Uint32 | Kind::Fixed32 => (bits as u32).into(),
        Kind::Int64 | Kind::Sfixed64 => bits.cast_signed().into(),
        Kind::Sint64 => unzigzag(bits).into(),
        _ => bits.into(),
    }
}

/// Returns the float that the wire's 32 bits stand for.
#[expect(clippy::cast_possible_truncation, reason = "the wire has but 32 bits for it")]
pub(crate) fn decode_float(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

/// Returns how the wire marks a value of a kind.
pub(crate) fn wire_type(kind: Kind) -> WireType {
    match kind {
        Kind::Sfixed32 | Kind::Fixed32 | Kind::Float => WireType::ThirtyTwoBit,
        Kind::Sfixed64 | Kind::Fixed64 | Kind::Double => WireType::SixtyFourBit,
        kind if kind.is_packed() => WireType::Varint,
        _ => WireType::LengthDelimited,
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(bits: u64) -> i64 {
    (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()
}
