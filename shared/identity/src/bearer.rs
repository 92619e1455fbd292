//! Takes the token out of a call's headers.

use http::{HeaderMap, header::AUTHORIZATION};

use crate::Error;

/// The most bytes of a token that is read at all. Firebase's are around 1,000.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Takes the one bearer token out of the headers.
///
/// A call without `authorization` is [`Error::Missing`]; one whose token could be read in more than
/// one way, or not at all, is [`Error::Invalid`].
pub fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        // A token was meant, in gRPC's binary spelling; it is read nowhere.
        let meant = headers.contains_key("authorization-bin");
        return Err(if meant { Error::Invalid("authorization-bin") } else { Error::Missing });
    };
    if values.next().is_some() {
        return Err(Error::Invalid("two authorization headers"));
    }
    let text = std::str::from_utf8(value.as_bytes()).ok();
    let Some((scheme, token)) = text.and_then(|text| text.split_once(' ')) else {
        return Err(Error::Invalid("authorization is not a scheme and a token"));
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::Invalid("authorization is not bearer"));
    }
    match token.len() {
        0 => Err(Error::Invalid("empty token")),
        1..=TOKEN_BYTES_MAX if is_graphic(token) => Ok(token),
        1..=TOKEN_BYTES_MAX => Err(Error::Invalid("space in the token")),
        _ => Err(Error::Invalid("token too long")),
    }
}

/// Whether a token has neither spaces nor anything beyond ASCII. It looks at every byte, whatever
/// the first ones are, so that it looks at many at a time.
fn is_graphic(token: &str) -> bool {
    token.bytes().fold(true, |all, byte| all & byte.is_ascii_graphic())
}

/// Where a function's own token is.
pub const SERVICE_HEADER: &str = "x-mayfly-service";

/// Takes the one token of a calling function out of the headers, if there is one.
pub fn service_token(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut values = headers.get_all(SERVICE_HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Error::Invalid("two service tokens"));
    }
    match value.to_str() {
        Ok(token) if token.len() > TOKEN_BYTES_MAX => Err(Error::Invalid("token too long")),
        Ok("") | Err(_) => Err(Error::Invalid("service token is not text")),
        Ok(token) => Ok(Some(token)),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let value = |bytes: &&[u8]| (AUTHORIZATION, HeaderValue::from_bytes(bytes).unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in values.iter().map(value) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn the_scheme_is_read_without_regard_to_case() {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            let headers = headers(&[format!("{scheme} a.b.c").as_bytes()]);
            assert_eq!(bearer(&headers).unwrap(), "a.b.c");
        }
    }

    #[test]
    fn no_header_is_missing_and_a_binary_one_is_not() {
        assert!(matches!(bearer(&HeaderMap::new()), Err(Error::Missing)));
        let mut binary = HeaderMap::new();
        binary.insert("authorization-bin", HeaderValue::from_static("QmVhcmVyIGEuYi5j"));
        assert!(matches!(bearer(&binary), Err(Error::Invalid(_))));
    }

    #[test]
    fn malformed_carriers_are_invalid() {
        let longest = format!("Bearer {}", "a".repeat(TOKEN_BYTES_MAX));
        assert!(bearer(&headers(&[longest.as_bytes()])).is_ok());
        let longer = format!("{longest}a");
        let shapes: &[&[&[u8]]] = &[
            &[b""],
            &[b"Basic x"],
            &[b"Bearer"],
            &[b"Bearer "],
            &[b"Bearer  a"],
            &[b"Bearer  a b"],
            &[b"Bearer a b"],
            &[b"Bearer a "],
            &[b"Bearer\ta"],
            &[b"Bearer a\tb"],
            &[b" Bearer a"],
            &[b"Bearera a"],
            &[b"Bearer: a"],
            &[b"a.b.c"],
            &[b"Bearer a", b"Bearer a"],
            &[b"Bearer a", b""],
            &[b"Bearer a, Bearer b"],
            &[b"Bearer \xc3\xa9"],
            &[b"Bearer \xff"],
            &[longer.as_bytes()],
        ];
        for shape in shapes {
            assert!(matches!(bearer(&headers(shape)), Err(Error::Invalid(_))), "{shape:?}");
        }
        // NUL does not even make a header value.
        assert!(HeaderValue::from_bytes(b"Bearer a\0b").is_err());
    }
}
