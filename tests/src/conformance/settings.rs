//! SETTINGS (RFC 9113, 6.5).

use super::{
    ACKNOWLEDGED, AWAY, AWAY_FOR_SIZE, AWAY_FOR_WINDOW, Away, Case, Closed, GoesOn, Held, Outcome,
    PROTOCOL, SERVED, case, get, joined, opened,
};
use crate::faults::frame::{ACK, SETTINGS, frame, setting};

/// What is set (6.5.2; RFC 9218, 2.1).
const TABLE: u16 = 1;
const PUSH: u16 = 2;
const STREAMS: u16 = 3;
pub(super) const WINDOW: u16 = 4;
const FRAME: u16 = 5;
const LIST: u16 = 6;

/// An acknowledgement of nothing: no section says what it is.
const UNASKED: &[Outcome] = &[GoesOn, Away(PROTOCOL), Closed];

pub(super) const CASES: &[Case] = &[
    case("6.5", "SETTINGS without a value", ACKNOWLEDGED, || frame(SETTINGS, 0, 0, &[])),
    case("6.5", "an acknowledgement with a value", AWAY_FOR_SIZE, || {
        frame(SETTINGS, ACK, 0, &[0, 3, 0, 0, 0, 9])
    }),
    case("6.5", "an acknowledgement of nothing", UNASKED, || frame(SETTINGS, ACK, 0, &[])),
    case("6.5", "SETTINGS on a stream", AWAY, || frame(SETTINGS, 0, 1, &[])),
    case("6.5", "SETTINGS of 3 octets", AWAY_FOR_SIZE, || frame(SETTINGS, 0, 0, &[0, 3, 0])),
    case("6.5", "SETTINGS of 7 octets", AWAY_FOR_SIZE, || frame(SETTINGS, 0, 0, &[0; 7])),
    case("6.5.2", "an unknown value", ACKNOWLEDGED, || setting(0xbe, u32::MAX)),
    case("6.5.2", "ENABLE_PUSH of 0", ACKNOWLEDGED, || setting(PUSH, 0)),
    case("6.5.2", "ENABLE_PUSH of 1", ACKNOWLEDGED, || setting(PUSH, 1)),
    case("6.5.2", "ENABLE_PUSH of 2", AWAY, || setting(PUSH, 2)),
    case("6.5.2", "INITIAL_WINDOW_SIZE of 2^31 - 1", ACKNOWLEDGED, || {
        setting(WINDOW, (1 << 31) - 1)
    }),
    case("6.5.2", "INITIAL_WINDOW_SIZE of 2^31", AWAY_FOR_WINDOW, || setting(WINDOW, 1 << 31)),
    case("6.5.2", "MAX_FRAME_SIZE of 16,383", AWAY, || setting(FRAME, (1 << 14) - 1)),
    case("6.5.2", "MAX_FRAME_SIZE of 16,384", ACKNOWLEDGED, || setting(FRAME, 1 << 14)),
    case("6.5.2", "MAX_FRAME_SIZE of 2^24 - 1", ACKNOWLEDGED, || setting(FRAME, (1 << 24) - 1)),
    case("6.5.2", "MAX_FRAME_SIZE of 2^24", AWAY, || setting(FRAME, 1 << 24)),
    case("6.5.2", "HEADER_TABLE_SIZE of 0, and a request", SERVED, || {
        joined(&[setting(TABLE, 0), get(1)])
    }),
    case("6.5.2", "MAX_CONCURRENT_STREAMS of 0, and a request", SERVED, || {
        joined(&[setting(STREAMS, 0), get(1)])
    }),
    case("6.5.2", "MAX_HEADER_LIST_SIZE of much, and a request", SERVED, || {
        joined(&[setting(LIST, u32::MAX), get(1)])
    }),
    case("6.5.3", "values of one frame in their order", &[Held(1)], || {
        let window = |size: u8| [0, 4, 0, 0, 0, size];
        joined(&[frame(SETTINGS, 0, 0, &[window(9), window(1)].concat()), get(1)])
    }),
    case("6.5.3", "values of two frames in their order", &[Held(1)], || {
        joined(&[setting(WINDOW, 9), setting(WINDOW, 1), get(1)])
    }),
    case("6.5.3", "SETTINGS twice in the beginning, and a request", SERVED, || {
        opened(&joined(&[setting(WINDOW, 9), get(1)]))
    })
    .unopened(),
];
