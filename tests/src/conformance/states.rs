//! The states of streams, their numbers and their priorities (RFC 9113, 5.1 to 5.3).

use super::{
    AWAY, Answer, Away, Case, Closed, GET, GoesOn, IGNORED, Outcome, PROTOCOL, REFUSED_STREAM,
    RESET_AS_CLOSED, Reset, SERVED, STREAM_CLOSED, case, data, get, headers, joined, open,
    priority, question, reset, window,
};
use crate::faults::frame::{CONTINUATION, END_HEADERS, END_STREAM, WITH_PRIORITY, block, frame};

/// What goes on behind the end of a stream may be ignored, or is too late (5.1).
const LATE: &[Outcome] = &[GoesOn, Reset(STREAM_CLOSED), Away(STREAM_CLOSED), Closed];

/// CONTINUATION without a block is wrong in itself, and wrong for its stream.
const STRAY: &[Outcome] = &[Away(PROTOCOL), Away(STREAM_CLOSED), Reset(STREAM_CLOSED), Closed];

/// A number that was used before: of a stream that is closed, or smaller than the last.
const USED: &[Outcome] = STRAY;

/// More streams than the server allows (5.1.2).
const REFUSED: &[Outcome] =
    &[Reset(REFUSED_STREAM), Reset(PROTOCOL), Away(REFUSED_STREAM), Away(PROTOCOL), Closed];

/// What RFC 7540 called an error, and RFC 9113 nothing at all (5.3).
const SELFISH: &[Outcome] = &[GoesOn, Reset(PROTOCOL), Away(PROTOCOL), Closed];
const SELFISH_REQUEST: &[Outcome] = &[Answer(2), Reset(PROTOCOL), Away(PROTOCOL), Closed];

pub(super) const CASES: &[Case] = &[
    // Idle.
    case("5.1", "idle: DATA", STRAY, || data(0, 1, b"x")),
    case("5.1", "idle: RST_STREAM", AWAY, || reset(7)),
    case("5.1", "idle: WINDOW_UPDATE", AWAY, || window(1, 100)),
    case("5.1", "idle: CONTINUATION", AWAY, || frame(CONTINUATION, END_HEADERS, 1, &[0x82])),
    case("5.1", "idle: PRIORITY", IGNORED, || priority(1, 0)),
    // Open.
    case("5.1", "open: WINDOW_UPDATE and PRIORITY", SERVED, || {
        joined(&[open(1), window(1, 9), priority(1, 0), question(1)])
    }),
    // Half-closed: the request has ended, the answer has not.
    case("5.1", "half-closed: DATA", RESET_AS_CLOSED, || joined(&[ended(1), data(0, 1, b"x")])),
    case("5.1", "half-closed: HEADERS", RESET_AS_CLOSED, || joined(&[ended(1), get(1)])),
    case("5.1", "half-closed: CONTINUATION", STRAY, || {
        joined(&[ended(1), frame(CONTINUATION, END_HEADERS, 1, &[0x82])])
    }),
    case("5.1", "half-closed: WINDOW_UPDATE", SERVED, || joined(&[ended(1), window(1, 9)])),
    case("5.1", "half-closed: PRIORITY", SERVED, || joined(&[ended(1), priority(1, 0)])),
    case("5.1", "half-closed: RST_STREAM", IGNORED, || joined(&[ended(1), reset(1)])),
    // Closed by a reset of the client's own.
    case("5.1", "taken back: DATA", RESET_AS_CLOSED, || {
        joined(&[open(1), reset(1), data(0, 1, b"x")])
    }),
    case("5.1", "taken back: HEADERS", RESET_AS_CLOSED, || joined(&[open(1), reset(1), get(1)])),
    case("5.1", "taken back before its body: HEADERS", RESET_AS_CLOSED, || {
        joined(&[unended(1), reset(1), get(1)])
    }),
    case("5.1", "taken back: CONTINUATION", STRAY, || {
        joined(&[open(1), reset(1), frame(CONTINUATION, END_HEADERS, 1, &[0x82])])
    }),
    case("5.1", "taken back: PRIORITY", IGNORED, || joined(&[open(1), reset(1), priority(1, 0)])),
    case("5.1", "taken back: WINDOW_UPDATE", LATE, || joined(&[open(1), reset(1), window(1, 9)])),
    case("5.1", "taken back: RST_STREAM", LATE, || joined(&[open(1), reset(1), reset(1)])),
    // Closed by two ends.
    case("5.1", "over: DATA", RESET_AS_CLOSED, || data(END_STREAM, 1, b"x")).after(first),
    case("5.1", "over: HEADERS", USED, first).after(first),
    case("5.1", "over: CONTINUATION", STRAY, || frame(CONTINUATION, END_HEADERS, 1, &[0x82]))
        .after(first),
    case("5.1", "over: PRIORITY", IGNORED, || priority(1, 0)).after(first),
    case("5.1", "over: WINDOW_UPDATE", LATE, || window(1, 9)).after(first),
    case("5.1", "over: RST_STREAM", LATE, || reset(1)).after(first),
    case("5.1", "over: the next request", SERVED, || get(3)).after(first),
    // Numbers.
    case("5.1.1", "a stream of an even number", AWAY, || get(2)),
    case("5.1.1", "a stream of a smaller number than the last", USED, || {
        joined(&[open(5), get(3)])
    }),
    case("5.1.1", "a stream that was passed over", USED, || get(3)).after(|| get(5)),
    case("5.1.1", "numbers with gaps", SERVED, || joined(&[open(5), open(99), question(5)])),
    case("5.1.1", "the largest number", SERVED, || get(u32::MAX >> 1)),
    case("5.1.2", "five streams more than are allowed", REFUSED, || {
        (0..105).flat_map(|number| open(number * 2 + 1)).collect()
    }),
    // Priorities.
    case("5.3", "PRIORITY of a stream on itself", SELFISH, || priority(3, 3)),
    case("5.3", "a request that depends on itself", SELFISH_REQUEST, || {
        let own = [&[0, 0, 0, 1, 15], &block(&GET)[..]].concat();
        headers(END_HEADERS | END_STREAM | WITH_PRIORITY, 1, &own)
    }),
    case("5.3", "PRIORITY on a stream that there is not, exclusively", IGNORED, || {
        priority(9, 1 << 31 | 7)
    }),
    case("5.3", "PRIORITY of a later stream, and a request before it", SERVED, || {
        joined(&[priority(9, 0), get(1)])
    }),
];

/// A call whose request has ended.
fn ended(stream: u32) -> Vec<u8> {
    joined(&[open(stream), question(stream)])
}

/// A request for the health that is not over.
fn unended(stream: u32) -> Vec<u8> {
    headers(END_HEADERS, stream, &block(&GET))
}

fn first() -> Vec<u8> {
    get(1)
}
