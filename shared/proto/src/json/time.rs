//! Timestamps and durations as JSON: RFC 3339 in UTC, and seconds with an `s`.

use std::fmt::Write;

use prost_types::{Duration, Timestamp};

use crate::check;

const DAY_SECS: i64 = 86_400;

/// Returns the timestamp of an RFC 3339 text with upper-case `T` and `Z`, of any offset.
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?.strip_prefix('T')?);
    let (clock, rest) = (rest.get(..8)?, rest.get(8..)?);
    let [year, month, day] = parts(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = parts(clock, ':', [2, 2, 2])?;
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }

    let (nanos, zone) = match rest.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.find(|letter: char| !letter.is_ascii_digit())?;
            (parse_nanos(fraction.get(..end)?)?, fraction.get(end..)?)
        }
        None => (0, rest),
    };
    let seconds = days_from_civil(year, month, day) * DAY_SECS + hour * 3600 + minute * 60 + second;
    let value = Timestamp { seconds: seconds - parse_zone(zone)?, nanos };
    check::timestamp(&value).then_some(value)
}

/// Returns the text of a timestamp, with 0, 3, 6 or 9 digits of a second.
pub(crate) fn format_timestamp(value: &Timestamp) -> Option<String> {
    if !check::timestamp(value) {
        return None;
    }
    let (year, month, day) = civil_from_days(value.seconds.div_euclid(DAY_SECS));
    let second = value.seconds.rem_euclid(DAY_SECS);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);

    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    push_nanos(&mut text, value.nanos.unsigned_abs());
    text.push('Z');
    Some(text)
}

/// Returns the duration of a text such as `1.5s`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let magnitude = number.strip_prefix('-').unwrap_or(number);
    let (seconds, fraction) = magnitude.split_once('.').unwrap_or((magnitude, "0"));
    let sign = if magnitude.len() < number.len() { -1 } else { 1 };
    let seconds: i64 = digits(seconds)?;
    let nanos = parse_nanos(fraction)?;

    let value = Duration { seconds: i64::from(sign) * seconds, nanos: sign * nanos };
    check::duration(&value).then_some(value)
}

/// Returns the text of a duration, with 0, 3, 6 or 9 digits of a second.
pub(crate) fn format_duration(value: &Duration) -> Option<String> {
    if !check::duration(value) {
        return None;
    }
    let sign = if value.seconds < 0 || value.nanos < 0 { "-" } else { "" };

    let mut text = format!("{sign}{}", value.seconds.unsigned_abs());
    push_nanos(&mut text, value.nanos.unsigned_abs());
    text.push('s');
    Some(text)
}

fn push_nanos(text: &mut String, nanos: u32) {
    let (fraction, width) = match nanos {
        0 => return,
        nanos if nanos % 1_000_000 == 0 => (nanos / 1_000_000, 3),
        nanos if nanos % 1_000 == 0 => (nanos / 1_000, 6),
        nanos => (nanos, 9),
    };
    write!(text, ".{fraction:0width$}").expect("a string takes whatever is written to it");
}

/// Reads one to nine digits after the point.
fn parse_nanos(fraction: &str) -> Option<i32> {
    let missing = 9_usize.checked_sub(fraction.len())?;
    let value: i64 = digits(fraction)?;
    i32::try_from(value * 10_i64.pow(u32::try_from(missing).ok()?)).ok()
}

/// Returns an offset such as `Z` or `+01:30` in seconds.
fn parse_zone(zone: &str) -> Option<i64> {
    let (sign, clock) = match zone.split_at_checked(1)? {
        ("Z", "") => return Some(0),
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let [hours, minutes] = parts(clock, ':', [2, 2])?;
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Splits a text into numbers of exactly the given widths.
fn parts<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut split = text.split(separator);
    let mut numbers = [0; N];
    for (number, width) in numbers.iter_mut().zip(widths) {
        *number = digits(split.next().filter(|part| part.len() == width)?)?;
    }
    split.next().is_none().then_some(numbers)
}

fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts the days from 1970-01-01, after Howard Hinnant's `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Returns year, month and day, after Howard Hinnant's `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}
