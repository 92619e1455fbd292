//! Takes the RSA key out of a certificate, the form in which Google publishes the same keys to
//! those who do not read JWK.
//!
//! Nothing else of it is looked at. Whom the key belongs to is said by the URL it was fetched from,
//! and how long it is good by the answer's age, as with JWK. So this is a walk along DER to one
//! place, and what is not as it should be on the way is no certificate.

use base64::{Engine, engine::general_purpose::STANDARD};

pub(crate) const BEGIN: &str = "-----BEGIN CERTIFICATE-----\n";
pub(crate) const END: &str = "\n-----END CERTIFICATE-----";

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
/// The certificate's version, which one of the first version leaves out.
const VERSION: u8 = 0xa0;

/// What stands for an RSA key in an algorithm: 1.2.840.113549.1.1.1, and no parameters.
const RSA: [u8; 13] =
    [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// An RSA key's numbers, big-endian and without leading zeros.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) modulus: Vec<u8>,
    pub(crate) exponent: Vec<u8>,
}

/// Reads the key of the one certificate that `pem` is.
pub(crate) fn numbers(pem: &str) -> Option<Numbers> {
    let pem = pem.replace("\r\n", "\n");
    let body = pem.trim_end_matches('\n').strip_prefix(BEGIN)?.strip_suffix(END)?;
    let der = STANDARD.decode(body.replace('\n', "")).ok()?;

    let mut outside = Der(&der);
    let mut certificate = Der(outside.take(SEQUENCE)?);
    outside.end()?;
    let mut signed = Der(certificate.take(SEQUENCE)?);
    if signed.next_is(VERSION) {
        signed.take(VERSION)?;
    }
    signed.take(INTEGER)?;
    // The signature's algorithm, the issuer, the validity and the subject.
    for _passed in 0..4 {
        signed.take(SEQUENCE)?;
    }
    let mut key = Der(signed.take(SEQUENCE)?);
    if key.take(SEQUENCE)? != RSA {
        return None;
    }
    // Whole bytes, so that none of the last one's bits is unused.
    let bits = key.take(BIT_STRING)?.strip_prefix(&[0])?;
    key.end()?;

    let mut bits = Der(bits);
    let mut pair = Der(bits.take(SEQUENCE)?);
    bits.end()?;
    let numbers = Numbers { modulus: pair.number()?, exponent: pair.number()? };
    pair.end()?;
    Some(numbers)
}

/// What is left to read.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    fn next_is(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// Takes one value with this tag.
    fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        let rest = self.0.strip_prefix(&[tag])?;
        let (length, rest) = length(rest)?;
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    /// Takes a positive number.
    fn number(&mut self) -> Option<Vec<u8>> {
        let bytes = self.take(INTEGER)?;
        match *bytes {
            // A zero in front is only there to keep the next byte's first bit from being a sign.
            [0, first, ..] if first >= 0x80 => Some(bytes.get(1..)?.to_vec()),
            [first, ..] if (1..0x80).contains(&first) => Some(bytes.to_vec()),
            _ => None,
        }
    }

    /// Insists that nothing is left.
    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Reads a length in its one shortest spelling. None that is over 64 KiB is worth reading.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match *bytes {
        [short, ref rest @ ..] if short < 0x80 => Some((short.into(), rest)),
        [0x81, long, ref rest @ ..] if long >= 0x80 => Some((long.into(), rest)),
        [0x82, high, low, ref rest @ ..] if high > 0 => {
            Some((u16::from_be_bytes([high, low]).into(), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA_2048: &str = include_str!("tests/certificates/rsa-2048.pem");

    #[test]
    fn the_key_of_a_certificate_is_the_one_openssl_put_there() {
        let Numbers { modulus, exponent } = numbers(RSA_2048).unwrap();
        assert_eq!((modulus.len(), &*exponent), (256, [1, 0, 1].as_slice()));
        assert_eq!(modulus.first_chunk(), Some(&[0xda, 0xbb, 0xeb, 0x27]));
        assert_eq!(numbers(&RSA_2048.replace('\n', "\r\n")), numbers(RSA_2048));
        assert_eq!(numbers(RSA_2048.trim_end()), numbers(RSA_2048));
    }

    #[test]
    fn keys_of_other_kinds_are_none() {
        for other in [
            include_str!("tests/certificates/ec.pem"),
            include_str!("tests/certificates/rsa-pss.pem"),
        ] {
            assert_eq!(numbers(other), None);
        }
        // Whether it is long enough is for the set to say.
        let short = numbers(include_str!("tests/certificates/rsa-1024.pem")).unwrap();
        assert_eq!(short.modulus.len(), 128);
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        let body = RSA_2048.strip_prefix(BEGIN).unwrap();
        for bad in [
            "",
            BEGIN,
            body,
            &RSA_2048.replace("CERTIFICATE", "PUBLIC KEY"),
            &RSA_2048.repeat(2),
            &format!("x{RSA_2048}"),
            &format!("{BEGIN}{END}"),
            &format!("{BEGIN}AAAA{END}"),
            &format!("{BEGIN}A{body}"),
            &format!("{BEGIN}!{body}"),
        ] {
            assert_eq!(numbers(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_byte_that_is_cut_or_changed_makes_it_panic() {
        let body = RSA_2048.strip_prefix(BEGIN).unwrap().trim_end().strip_suffix(END).unwrap();
        let der = STANDARD.decode(body.replace('\n', "")).unwrap();
        let read = |der: &[u8]| numbers(&format!("{BEGIN}{}{END}", STANDARD.encode(der)));
        assert!(read(&der).is_some());
        for length in 0..der.len() {
            assert_eq!(read(&der[..length]), None, "{length}");
        }
        for place in 0..der.len() {
            for to in [0, 0x7f, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[place] = to;
                if let Some(Numbers { modulus, .. }) = read(&changed) {
                    assert!(modulus.len() <= der.len());
                }
            }
        }
    }
}
