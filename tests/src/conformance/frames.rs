//! The preface, and the format of frames (RFC 9113, 3.4 to 4.3, 5.5, 6.1 to 6.4, 6.6 to 6.8, 6.10).

use super::{
    AWAY, AWAY_FOR_BLOCK, AWAY_FOR_SIZE, Answer, Away, CHECK, Case, Closed, FRAME_SIZE, GET,
    GoesOn, IGNORED, MALFORMED, Outcome, PROTOCOL, QUESTION, RESET_FOR_SIZE, Reset, SERVED,
    STREAM_CLOSED, case, data, get, headers, joined, open, opened, priority, question, reset,
    window,
};
use crate::faults::frame::{
    ACK, CONTINUATION, END_HEADERS, END_STREAM, GOAWAY, PADDED, PING, PREFACE, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WITH_PRIORITY, block, call, frame,
};

/// Octets of a frame that every server takes (4.2).
const LONGEST: usize = 1 << 14;

/// Is a kind of frame that nobody has defined.
const UNKNOWN: u8 = 0xbe;

/// A frame that is too short for its flags is one of a wrong size, or one of wrong contents.
const SHORT: &[Outcome] = &[Away(FRAME_SIZE), Away(PROTOCOL), Closed];

/// Padding that is not zero may be refused (6.1).
const DIRTY: &[Outcome] = &[Answer(2), Away(PROTOCOL), Closed];

/// Who says that they are leaving may be left as well (6.8).
const FAREWELL: &[Outcome] = &[GoesOn, Away(0), Closed];

/// Before any stream, DATA is out of order in two ways (5.1, 6.1).
const UNBIDDEN: &[Outcome] = &[Away(PROTOCOL), Away(STREAM_CLOSED), Reset(STREAM_CLOSED), Closed];

pub(super) const CASES: &[Case] = &[
    // The preface.
    case("3.4", "a preface, SETTINGS and a request at once", SERVED, || opened(&get(1))).unopened(),
    case("3.4", "something else than a preface", AWAY, || b"GOOD MORNING\r\n\r\n\r\n\r\n".to_vec())
        .unopened(),
    case("3.4", "a preface whose last octet is wrong", AWAY, || {
        [&PREFACE[..PREFACE.len() - 1], b"x", &frame(SETTINGS, 0, 0, &[])].concat()
    })
    .unopened(),
    case("3.4", "a preface, and PING before SETTINGS", AWAY, || {
        [PREFACE, &frame(PING, 0, 0, &[0; 8])].concat()
    })
    .unopened(),
    case("3.4", "a preface, and a request before SETTINGS", AWAY, || [PREFACE, &get(1)].concat())
        .unopened(),
    // The head of a frame.
    case("4.1", "an unknown kind of frame", IGNORED, || frame(UNKNOWN, 0, 0, b"what?")),
    case("4.1", "an unknown kind of frame on a stream", SERVED, || {
        joined(&[open(1), frame(UNKNOWN, 0xff, 1, b"what?"), question(1)])
    }),
    case("4.1", "PING with flags that mean nothing", IGNORED, || frame(PING, 0xfe, 0, &[1; 8])),
    case("4.1", "HEADERS and DATA with flags that mean nothing", SERVED, || {
        let fields = call(CHECK, None);
        joined(&[headers(END_HEADERS | 0xd2, 1, &fields), data(END_STREAM | 0xf6, 1, QUESTION)])
    }),
    case("4.1", "a request on a stream with the reserved bit", SERVED, || get(1 << 31 | 1)),
    case("4.1", "PING on stream 0 with the reserved bit", IGNORED, || {
        frame(PING, ACK, 1 << 31, &[1; 8])
    }),
    // Sizes.
    case("4.2", "DATA of 16,384 octets", SERVED, || {
        let begun = headers(END_HEADERS, 1, &block(&GET));
        joined(&[begun, data(END_STREAM, 1, &[0; LONGEST])])
    }),
    case("4.2", "DATA of 16,385 octets", RESET_FOR_SIZE, || {
        joined(&[open(1), data(0, 1, &[0; LONGEST + 1])])
    }),
    case("4.2", "HEADERS of 16,385 octets", AWAY_FOR_SIZE, || {
        headers(END_HEADERS | END_STREAM, 1, &[0x82; LONGEST + 1])
    }),
    case("4.2", "CONTINUATION of 16,385 octets", AWAY_FOR_SIZE, || {
        let begun = headers(END_STREAM, 1, &block(&GET));
        joined(&[begun, frame(CONTINUATION, END_HEADERS, 1, &[0x82; LONGEST + 1])])
    }),
    case("4.2", "SETTINGS of more than 16,384 octets", AWAY_FOR_SIZE, || {
        frame(SETTINGS, 0, 0, &[0; LONGEST + 2])
    }),
    case("4.2", "an unknown frame of 16,384 octets", IGNORED, || {
        frame(UNKNOWN, 0, 0, &[0; LONGEST])
    }),
    case("4.2", "an unknown frame of 16,385 octets", AWAY_FOR_SIZE, || {
        frame(UNKNOWN, 0, 0, &[0; LONGEST + 1])
    }),
    // Blocks of headers are whole and alone.
    case("4.3", "a block that cannot be decoded", AWAY_FOR_BLOCK, || {
        headers(END_HEADERS | END_STREAM, 1, &[0xff; 8])
    }),
    case("4.3", "a block that ends within a field", AWAY_FOR_BLOCK, || {
        headers(END_HEADERS | END_STREAM, 1, &block(&GET)[..9])
    }),
    case("4.3", "trailers that cannot be decoded", AWAY_FOR_BLOCK, || {
        joined(&[open(1), headers(END_HEADERS | END_STREAM, 1, &[0xff; 8])])
    }),
    case("4.3", "a block that is cut within a field", SERVED, || {
        let block = block(&GET);
        let (begun, rest) = block.split_at(9);
        joined(&[headers(END_STREAM, 1, begun), frame(CONTINUATION, END_HEADERS, 1, rest)])
    }),
    case("4.3", "PRIORITY within a block", AWAY, || within(&priority(1, 0))),
    case("4.3", "HEADERS of another stream within a block", AWAY, || within(&get(3))),
    case("4.3", "PING within a block", AWAY, || within(&frame(PING, 0, 0, &[0; 8]))),
    case("4.3", "SETTINGS within a block", AWAY, || within(&frame(SETTINGS, 0, 0, &[]))),
    case("4.3", "WINDOW_UPDATE within a block", AWAY, || within(&window(0, 1))),
    case("4.3", "RST_STREAM within a block", AWAY, || within(&reset(1))),
    case("5.5", "an unknown frame within a block", AWAY, || within(&frame(UNKNOWN, 0, 0, &[]))),
    case("5.5", "unknown frames of many kinds", IGNORED, || {
        (0x20..=0xff).flat_map(|kind| frame(kind, kind, 0, &[kind])).collect()
    }),
    // DATA.
    case("6.1", "DATA on stream 0", AWAY, || data(0, 0, b"x")),
    case("6.1", "DATA before any stream", UNBIDDEN, || data(END_STREAM, 1, b"x")),
    case("6.1", "DATA that is all padding and a request's end", SERVED, || {
        joined(&[open(1), data(0, 1, QUESTION), data(END_STREAM | PADDED, 1, &[3, 0, 0, 0])])
    }),
    case("6.1", "DATA with padding", SERVED, || {
        let padded = [&[6], QUESTION, &[0; 6]].concat();
        joined(&[open(1), data(END_STREAM | PADDED, 1, &padded)])
    }),
    case("6.1", "DATA with padding that is not zero", DIRTY, || {
        let padded = [&[6], QUESTION, &[7; 6]].concat();
        joined(&[open(1), data(END_STREAM | PADDED, 1, &padded)])
    }),
    case("6.1", "DATA with as much padding as there are octets", AWAY, || {
        joined(&[open(1), data(END_STREAM | PADDED, 1, &[5, 0, 0, 0, 0])])
    }),
    case("6.1", "DATA with padding and not even its length", SHORT, || {
        joined(&[open(1), data(END_STREAM | PADDED, 1, &[])])
    }),
    case("6.1", "DATA in several frames, one of them empty", SERVED, || {
        let (first, rest) = QUESTION.split_at(2);
        joined(&[open(1), data(0, 1, first), data(0, 1, &[]), data(END_STREAM, 1, rest)])
    }),
    // HEADERS.
    case("6.2", "HEADERS on stream 0", AWAY, || get(0)),
    case("6.2", "HEADERS with padding", SERVED, || {
        let padded = [&[6], &block(&GET)[..], &[0; 6]].concat();
        headers(END_HEADERS | END_STREAM | PADDED, 1, &padded)
    }),
    case("6.2", "HEADERS with too much padding", AWAY, || {
        let block = block(&GET);
        let length = u8::try_from(block.len() + 1).expect("it is short");
        headers(END_HEADERS | END_STREAM | PADDED, 1, &[&[length], &block[..]].concat())
    }),
    case("6.2", "HEADERS with a priority", SERVED, || {
        let prior = [&[0, 0, 0, 0, 15], &block(&GET)[..]].concat();
        headers(END_HEADERS | END_STREAM | WITH_PRIORITY, 1, &prior)
    }),
    case("6.2", "HEADERS with padding and a priority", SERVED, || {
        let both = [&[2, 0x80, 0, 0, 9, 15], &block(&GET)[..], &[0; 2]].concat();
        headers(END_HEADERS | END_STREAM | PADDED | WITH_PRIORITY, 1, &both)
    }),
    case("6.2", "HEADERS too short for their priority", SHORT, || {
        headers(END_HEADERS | END_STREAM | WITH_PRIORITY, 1, &[0, 0, 0])
    }),
    case("6.2", "HEADERS without a field", MALFORMED, || headers(END_HEADERS | END_STREAM, 1, &[])),
    // PRIORITY.
    case("6.3", "PRIORITY on stream 0", AWAY, || priority(0, 3)),
    case("6.3", "PRIORITY of 4 octets", RESET_FOR_SIZE, || frame(PRIORITY, 0, 1, &[0; 4])),
    case("6.3", "PRIORITY of 6 octets", RESET_FOR_SIZE, || frame(PRIORITY, 0, 1, &[0; 6])),
    // RST_STREAM.
    case("6.4", "RST_STREAM on stream 0", AWAY, || reset(0)),
    case("6.4", "RST_STREAM before any stream", AWAY, || reset(1)),
    case("6.4", "RST_STREAM of 3 octets", AWAY_FOR_SIZE, || {
        joined(&[open(1), frame(RST_STREAM, 0, 1, &[0; 3])])
    }),
    case("6.4", "RST_STREAM of 5 octets", AWAY_FOR_SIZE, || {
        joined(&[open(1), frame(RST_STREAM, 0, 1, &[0; 5])])
    }),
    case("6.4", "RST_STREAM of an open stream", IGNORED, || joined(&[open(1), reset(1)])),
    case("7", "RST_STREAM with a code that there is not", IGNORED, || {
        joined(&[open(1), frame(RST_STREAM, 0, 1, &[0xfe; 4])])
    }),
    // PUSH_PROMISE.
    case("6.6", "PUSH_PROMISE from a client", AWAY, || {
        joined(&[open(1), frame(PUSH_PROMISE, END_HEADERS, 1, &promise())])
    }),
    case("6.6", "PUSH_PROMISE on stream 0", AWAY, || {
        frame(PUSH_PROMISE, END_HEADERS, 0, &promise())
    }),
    // PING.
    case("6.7", "PING, alone", IGNORED, Vec::new),
    case("6.7", "an acknowledgement of no PING", IGNORED, || frame(PING, ACK, 0, &[1; 8])),
    case("6.7", "PING on a stream", AWAY, || frame(PING, 0, 1, &[0; 8])),
    case("6.7", "PING of 7 octets", AWAY_FOR_SIZE, || frame(PING, 0, 0, &[0; 7])),
    case("6.7", "PING of 9 octets", AWAY_FOR_SIZE, || frame(PING, 0, 0, &[0; 9])),
    case("6.7", "PING of no octets", AWAY_FOR_SIZE, || frame(PING, 0, 0, &[])),
    // GOAWAY.
    case("6.8", "GOAWAY on a stream", AWAY, || frame(GOAWAY, 0, 1, &[0; 8])),
    case("6.8", "GOAWAY of 7 octets", AWAY_FOR_SIZE, || frame(GOAWAY, 0, 0, &[0; 7])),
    case("6.8", "GOAWAY, with words", FAREWELL, || frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0bye")),
    case("7", "GOAWAY with a code that there is not", FAREWELL, || {
        frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0xfe, 0xfe, 0xfe, 0xfe])
    }),
    // CONTINUATION.
    case("6.10", "a request in HEADERS and several CONTINUATION", SERVED, || {
        let block = block(&GET);
        let (first, rest) = block.split_at(block.len() / 3);
        let (second, third) = rest.split_at(rest.len() / 2);
        joined(&[
            headers(END_STREAM, 1, first),
            frame(CONTINUATION, 0, 1, second),
            frame(CONTINUATION, END_HEADERS, 1, third),
        ])
    }),
    case("6.10", "CONTINUATION that are empty but for the last", SERVED, || {
        joined(&[
            headers(END_STREAM, 1, &[]),
            frame(CONTINUATION, 0, 1, &[]),
            frame(CONTINUATION, END_HEADERS, 1, &block(&GET)),
        ])
    }),
    case("6.10", "DATA within a block", AWAY, || within(&data(END_STREAM, 1, b"x"))),
    case("6.10", "CONTINUATION of another stream", AWAY, || {
        within(&frame(CONTINUATION, END_HEADERS, 3, &[0x82]))
    }),
    case("6.10", "CONTINUATION on stream 0", AWAY, || {
        within(&frame(CONTINUATION, END_HEADERS, 0, &[0x82]))
    }),
    case("6.10", "CONTINUATION after END_HEADERS", AWAY, || {
        joined(&[open(1), frame(CONTINUATION, END_HEADERS, 1, &[0x82])])
    }),
    case("6.10", "CONTINUATION after one with END_HEADERS", AWAY, || {
        let block = block(&GET);
        let (begun, rest) = block.split_at(9);
        joined(&[
            headers(0, 1, begun),
            frame(CONTINUATION, END_HEADERS, 1, rest),
            frame(CONTINUATION, END_HEADERS, 1, &[0x82]),
        ])
    }),
    case("6.10", "CONTINUATION after DATA", AWAY, || {
        joined(&[open(1), data(0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, &[0x82])])
    }),
];

/// A frame between the beginning of a block of headers and its end.
fn within(other: &[u8]) -> Vec<u8> {
    let block = block(&GET);
    let (begun, rest) = block.split_at(9);
    let end = frame(CONTINUATION, END_HEADERS, 1, rest);
    [&headers(END_STREAM, 1, begun)[..], other, &end].concat()
}

/// What a server would promise: a request that nobody has made.
fn promise() -> Vec<u8> {
    [&[0, 0, 0, 2], &block(&GET)[..]].concat()
}
