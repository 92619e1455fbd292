//! What is in a page token, as if we had sealed it: of another version, out of date, or no place.

use crate::NOW;

pub(crate) fn run(data: &[u8]) {
    let Some((place, again)) = page::fuzzing::place(data, NOW) else { return };
    assert_eq!(again.as_ref(), Some(&place), "the next page is after another place");
    assert_eq!(data[0], 2, "a version that we never wrote");
    let expiry: [u8; 8] = data[1..9].try_into().expect("it was read");
    assert!(i64::from_be_bytes(expiry) > NOW, "out of date");
    assert_eq!(&data[9..], place.as_bytes());
}
