//! Compressed headers (RFC 7541).

use super::{AWAY_FOR_BLOCK, Case, GET, HEALTHZ, SERVED, case, headers, joined, reset};
use crate::faults::frame::{END_HEADERS, END_STREAM, block};

/// `www.example.com`, `no-cache`, `custom-key` and `custom-value` in Huffman's code (C.4.1 to C.4.3).
const WWW: &[u8] = &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
const NO_CACHE: &[u8] = &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf];
const KEY: &[u8] = &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f];
const VALUE: &[u8] = &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf];

/// Places in the static table (appendix A): two whole fields, and a name in each of three forms.
const METHOD_GET: u8 = 0x82;
const SCHEME_HTTP: u8 = 0x86;
const KEPT_CACHE_CONTROL: &[u8] = &[0x40 + 24];
const CACHE_CONTROL: &[u8] = &[0x0f, 24 - 15];
const SECRET_CACHE_CONTROL: &[u8] = &[0x1f, 24 - 15];

/// How a new name is given: to be kept in the table, or not, or by nobody ever.
const KEPT: u8 = 0x40;
const NOT_KEPT: u8 = 0x00;
const SECRET: u8 = 0x10;

/// The size of the table that a server announces unless it says so, and one octet more.
const SIZE: &[u8] = &[0x3f, 0xe1, 0x1f];
const SIZE_OVER: &[u8] = &[0x3f, 0xe2, 0x1f];
const SIZE_NONE: u8 = 0x20;
const SIZE_SMALL: &[u8] = &[0x3f, 9];

/// Is the first place of the table that a client fills.
const FIRST: u8 = 0x80 + 62;

pub(super) const CASES: &[Case] = &[
    // Places.
    case("7541 2.3.2", "a field that an earlier request has put there", SERVED, || {
        joined(&[ends(&literal(KEPT)), again(&[FIRST])])
    }),
    case("7541 2.3.2", "a field that came with a request that was taken back", SERVED, || {
        let begun = headers(END_HEADERS, 1, &asked(&literal(KEPT)));
        joined(&[begun, reset(1), again(&[FIRST])])
    }),
    case("7541 2.3.2", "a field that was not put there", AWAY_FOR_BLOCK, || {
        ends(&[&literal(NOT_KEPT)[..], &[FIRST]].concat())
    }),
    case("7541 2.3.3", "a field at a place that is empty", AWAY_FOR_BLOCK, || ends(&[FIRST])),
    case("7541 2.3.3", "a field at a place far behind", AWAY_FOR_BLOCK, || {
        ends(&[0xff, 0xff, 0x7f])
    }),
    case("7541 2.3.3", "a name at a place that is empty", AWAY_FOR_BLOCK, || {
        ends(&[0x7f, 70 - 63, 1, b'x'])
    }),
    case("7541 2.3.3", "a field that was put there just before", SERVED, || {
        ends(&[&literal(KEPT)[..], &[FIRST]].concat())
    }),
    // The size of the table.
    case("7541 4.2", "a size at the end of a block", AWAY_FOR_BLOCK, || ends(&[SIZE_NONE])),
    case("7541 4.2", "a size within a block", AWAY_FOR_BLOCK, || {
        ends(&[&[SIZE_NONE], &literal(NOT_KEPT)[..]].concat())
    }),
    case("7541 4.2", "a size in the beginning", SERVED, || begins(&[SIZE_NONE])),
    case("7541 4.2", "two sizes in the beginning", SERVED, || {
        begins(&[&[SIZE_NONE], SIZE].concat())
    }),
    case("7541 4.3", "a size of 0, which empties the table", AWAY_FOR_BLOCK, || {
        let emptied = [&[SIZE_NONE], SIZE, &asked(&[FIRST])].concat();
        joined(&[ends(&literal(KEPT)), headers(END_HEADERS | END_STREAM, 3, &emptied)])
    }),
    case("7541 4.4", "a field that is larger than the table", SERVED, || {
        of_block(&[SIZE_SMALL, &block(&GET), &literal(KEPT)].concat())
    }),
    case("7541 4.4", "the same, which empties it", AWAY_FOR_BLOCK, || {
        of_block(&[SIZE_SMALL, &block(&GET), &literal(KEPT), &[FIRST]].concat())
    }),
    // Numbers and strings.
    case("7541 5.1", "a number with octets that add nothing", SERVED, || {
        ends(&[0x0f, 0x80 + 24 - 15, 0x80, 0x00, 1, b'1'])
    }),
    case("7541 5.1", "a number without an end", AWAY_FOR_BLOCK, || ends(&[0xff, 0x80, 0x80])),
    case("7541 5.1", "a number that is too large", AWAY_FOR_BLOCK, || {
        ends(&[&[0xff; 12][..], &[0x7f]].concat())
    }),
    case("7541 5.2", "a string longer than its block", AWAY_FOR_BLOCK, || {
        ends(&[NOT_KEPT, 3, b'x', b'-'])
    }),
    case("7541 5.2", "a string of no octets", SERVED, || ends(&[NOT_KEPT, 1, b'x', 0])),
    case("7541 5.2", "Huffman's code with more than 7 bits of padding", AWAY_FOR_BLOCK, || {
        ends(&coded(NOT_KEPT, &[VALUE, &[0xff]].concat()))
    }),
    case("7541 5.2", "Huffman's code with padding of zeros", AWAY_FOR_BLOCK, || {
        // An 'a' of five bits.
        ends(&coded(NOT_KEPT, &[0b0001_1000]))
    }),
    case("7541 5.2", "Huffman's code with its own end in it", AWAY_FOR_BLOCK, || {
        ends(&coded(NOT_KEPT, &[0xff; 4]))
    }),
    // Every form of a field.
    case("7541 6.1", "the place 0", AWAY_FOR_BLOCK, || ends(&[0x80])),
    case("7541 6.1", "the last place of the static table", SERVED, || ends(&[0x80 + 61])),
    case("7541 6.1", "a request of places, and of Huffman's code", SERVED, || {
        let path = [&[0x04, 8][..], HEALTHZ.as_bytes()].concat();
        of_block(&[&[METHOD_GET, SCHEME_HTTP], &path[..], &[0x41], &string(WWW)].concat())
    }),
    case("7541 6.2.1", "kept: a name of the table", SERVED, || named(KEPT_CACHE_CONTROL)),
    case("7541 6.2.1", "kept: a name of the table, coded", SERVED, || {
        named_coded(KEPT_CACHE_CONTROL)
    }),
    case("7541 6.2.1", "kept: a new name", SERVED, || ends(&literal(KEPT))),
    case("7541 6.2.1", "kept: a new name, coded", SERVED, || ends(&coded(KEPT, VALUE))),
    case("7541 6.2.2", "not kept: a name of the table", SERVED, || named(CACHE_CONTROL)),
    case("7541 6.2.2", "not kept: a name of the table, coded", SERVED, || {
        named_coded(CACHE_CONTROL)
    }),
    case("7541 6.2.2", "not kept: a new name", SERVED, || ends(&literal(NOT_KEPT))),
    case("7541 6.2.2", "not kept: a new name, coded", SERVED, || ends(&coded(NOT_KEPT, VALUE))),
    case("7541 6.2.3", "secret: a name of the table", SERVED, || named(SECRET_CACHE_CONTROL)),
    case("7541 6.2.3", "secret: a name of the table, coded", SERVED, || {
        named_coded(SECRET_CACHE_CONTROL)
    }),
    case("7541 6.2.3", "secret: a new name", SERVED, || ends(&literal(SECRET))),
    case("7541 6.2.3", "secret: a new name, coded", SERVED, || ends(&coded(SECRET, VALUE))),
    case("7541 6.3", "a size as large as was announced", SERVED, || begins(SIZE)),
    case("7541 6.3", "a size larger than was announced", AWAY_FOR_BLOCK, || begins(SIZE_OVER)),
];

/// A block of a request, and this at its end.
fn asked(more: &[u8]) -> Vec<u8> {
    [&block(&GET)[..], more].concat()
}

/// A request whose block ends so.
fn ends(end: &[u8]) -> Vec<u8> {
    of_block(&asked(end))
}

/// A request whose block begins so.
fn begins(begin: &[u8]) -> Vec<u8> {
    of_block(&[begin, &block(&GET)].concat())
}

/// A request of this block.
fn of_block(block: &[u8]) -> Vec<u8> {
    headers(END_HEADERS | END_STREAM, 1, block)
}

/// The second request over a connection.
fn again(end: &[u8]) -> Vec<u8> {
    headers(END_HEADERS | END_STREAM, 3, &asked(end))
}

/// A field with a new name, and both written out.
fn literal(form: u8) -> Vec<u8> {
    [&[form, 10][..], b"custom-key", &[12], b"custom-value"].concat()
}

/// A field with a new name, both in Huffman's code.
fn coded(form: u8, value: &[u8]) -> Vec<u8> {
    [&[form], &string(KEY)[..], &string(value)].concat()
}

/// A string in Huffman's code.
fn string(code: &[u8]) -> Vec<u8> {
    let length = u8::try_from(code.len()).expect("it is short");
    [&[0x80 | length], code].concat()
}

/// A request with a field whose name is in the table.
fn named(place: &[u8]) -> Vec<u8> {
    ends(&[place, &[8], b"no-cache"].concat())
}

/// The same, its value in Huffman's code.
fn named_coded(place: &[u8]) -> Vec<u8> {
    ends(&[place, &string(NO_CACHE)].concat())
}
