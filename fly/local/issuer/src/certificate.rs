//! Keys as certificates: the form in which Google publishes them to the Admin SDKs.
//!
//! They certify nothing. Each is signed by its own key, and what is read out of it is the key.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{Error, key::Key};

/// As Google's certificates are named.
const NAME: &str = "securetoken.system.gserviceaccount.com";

const PEM_LINE_CHARS: usize = 64;

// DER: the tags, object identifiers and moments that stand in such a certificate.
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
const SHA256_WITH_RSA: [u8; 13] =
    [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];
const EVER_SINCE: &[u8] = b"700101000000Z";
/// What RFC 5280 has for certificates without an end.
const FOR_EVER: &[u8] = b"99991231235959Z";

/// A self-signed certificate of a key, in PEM.
pub(crate) fn pem(key: &Key) -> Result<String, Error> {
    let algorithm = value(SEQUENCE, &[&SHA256_WITH_RSA]);
    let common_name = value(SEQUENCE, &[&COMMON_NAME, &value(UTF8_STRING, &[NAME.as_bytes()])]);
    let name = value(SEQUENCE, &[&value(SET, &[&common_name])]);
    let (begin, end) = (value(UTC_TIME, &[EVER_SINCE]), value(GENERALIZED_TIME, &[FOR_EVER]));
    let public = key.public_der()?;
    let serial_number = value(INTEGER, &[&[1]]);
    let validity = value(SEQUENCE, &[&begin, &end]);
    let parts: [&[u8]; 6] = [&serial_number, &algorithm, &name, &validity, &name, &public];
    let signed = value(SEQUENCE, &parts);
    // No bit of the last byte is unused.
    let signature = value(BIT_STRING, &[&[0], &key.sign_bytes(&signed)]);
    let certificate = value(SEQUENCE, &[&signed, &algorithm, &signature]);

    let text = STANDARD.encode(certificate).into_bytes();
    let lines = text.chunks(PEM_LINE_CHARS).map(String::from_utf8_lossy);
    let lines: Vec<_> = lines.collect();
    Ok(format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n")))
}

/// A value in DER: its tag, its length, and what it is made of.
fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let length: Vec<_> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut value = vec![tag];
    match length.as_slice() {
        [] => value.push(0),
        [short] if *short < 0x80 => value.push(*short),
        // The length of the length comes first; it is 8 at the most.
        long => value.extend([0x80 | u8::try_from(long.len()).unwrap_or(8)].iter().chain(long)),
    }
    value.extend(content);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_der_has_them() {
        assert_eq!(value(SEQUENCE, &[]), [0x30, 0]);
        assert_eq!(value(SEQUENCE, &[&[7; 127]]).get(..3), Some([0x30, 127, 7].as_slice()));
        assert_eq!(value(SEQUENCE, &[&[7; 128]]).get(..4), Some([0x30, 0x81, 128, 7].as_slice()));
        let long = value(SEQUENCE, &[&[7; 300]]);
        assert_eq!(long.get(..5), Some([0x30, 0x82, 1, 44, 7].as_slice()));
    }
}
