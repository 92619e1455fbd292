//! Flow control (RFC 9113, 5.2 and 6.9).

use super::{
    AWAY, AWAY_FOR_SIZE, AWAY_FOR_WINDOW, Case, Held, IGNORED, RESET, RESET_FOR_WINDOW, SERVED,
    case, get, joined, open, question, settings::WINDOW, window,
};
use crate::faults::frame::{WINDOW_UPDATE, frame, setting};

const MOST: u32 = u32::MAX >> 1;

pub(super) const CASES: &[Case] = &[
    case("6.9", "WINDOW_UPDATE of the connection", IGNORED, || window(0, 100)),
    case("6.9", "WINDOW_UPDATE of the connection by 0", AWAY, || window(0, 0)),
    case("6.9", "WINDOW_UPDATE of a stream by 0", RESET, || joined(&[open(1), window(1, 0)])),
    case("6.9", "WINDOW_UPDATE by 0 and the reserved bit", AWAY, || window(0, 1 << 31)),
    case("6.9", "WINDOW_UPDATE of 3 octets", AWAY_FOR_SIZE, || {
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1])
    }),
    case("6.9", "WINDOW_UPDATE of 5 octets", AWAY_FOR_SIZE, || {
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1, 0])
    }),
    case("6.9.1", "an answer of 3 octets behind a window of 1", &[Held(1)], || {
        joined(&[setting(WINDOW, 1), get(1)])
    }),
    case("6.9.1", "an answer behind a window of 0", &[Held(0)], || {
        joined(&[setting(WINDOW, 0), get(1)])
    }),
    case("6.9.1", "the same, and then room for 2", &[Held(2)], || window(1, 2)).after(shut),
    case("6.9.1", "the same, and then room for all", SERVED, || window(1, 3)).after(shut),
    case("6.9.1", "the same, and room for the connection alone", &[Held(0)], || window(0, 100))
        .after(shut),
    case("6.9.1", "a connection's window above 2^31 - 1", AWAY_FOR_WINDOW, || {
        joined(&[window(0, MOST), window(0, MOST)])
    }),
    case("6.9.1", "a stream's window above 2^31 - 1", RESET_FOR_WINDOW, || {
        joined(&[open(1), window(1, MOST), window(1, MOST)])
    }),
    case("6.9.1", "a stream's window of 2^31 - 1", SERVED, || {
        joined(&[setting(WINDOW, 0), open(1), window(1, MOST), question(1)])
    }),
    case("6.9.2", "a first window that grows once the answer waits", &[Held(2)], || {
        setting(WINDOW, 2)
    })
    .after(shut),
    case("6.9.2", "a first window that grows to all", SERVED, || setting(WINDOW, 3)).after(shut),
    case("6.9.2", "a window that was used, made smaller, and given as much", &[Held(2)], || {
        joined(&[setting(WINDOW, 0), window(1, 2)])
    })
    .after(|| joined(&[setting(WINDOW, 2), get(1)])),
    case("6.9.2", "a window that was used, made smaller, and given more", SERVED, || {
        joined(&[setting(WINDOW, 0), window(1, 3)])
    })
    .after(|| joined(&[setting(WINDOW, 2), get(1)])),
    case("6.9.2", "a first window that makes a stream's too large", AWAY_FOR_WINDOW, || {
        joined(&[setting(WINDOW, 1), open(1), window(1, MOST - 1), setting(WINDOW, 2)])
    }),
    case("6.9.3", "a window that is made smaller before the answer", &[Held(1)], || {
        joined(&[open(1), setting(WINDOW, 1), question(1)])
    }),
];

/// A request whose answer finds no room.
fn shut() -> Vec<u8> {
    joined(&[setting(WINDOW, 0), get(1)])
}
