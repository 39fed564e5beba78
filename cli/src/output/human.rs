//! Numbers and causes as people read them.

use std::time::Duration;

pub(crate) use shoal_node::human_size as size;

/// A time: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn elapsed(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds @ 3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        seconds => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A round trip: `0.3 ms`.
pub(crate) fn milliseconds(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

/// Bytes per second.
pub(crate) fn rate(bytes: u64, time: Duration) -> String {
    let millis = time.as_millis().max(1);
    let per_second = u128::from(bytes) * 1000 / millis;
    format!("{}/s", size(u64::try_from(per_second).unwrap_or(u64::MAX)))
}

/// A number of things: `1 file`, `3 files`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A cause without the number that the system gave it: `permission denied`.
pub(crate) fn cause(text: &str) -> String {
    let text = match text.rsplit_once(" (os error ") {
        Some((words, number)) if number.ends_with(')') => words,
        _ => text,
    };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        // An abbreviation keeps its capitals.
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let cases = [
            (0.04, "0.0 s"),
            (5.12, "5.1 s"),
            (59.9, "59 s"),
            (200.0, "3 min 20 s"),
            (7500.0, "2 h 5 min"),
            (90_000.0, "1 d 1 h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(elapsed(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn rates_survive_no_time_at_all() {
        assert_eq!(rate(1_000_000, Duration::from_millis(500)), "2.0 MB/s");
        assert_eq!(rate(1_000, Duration::ZERO), "1.0 MB/s");
    }

    #[test]
    fn causes() {
        assert_eq!(cause("No space left on device (os error 28)"), "no space left on device");
        assert_eq!(cause("TLS handshake failed"), "TLS handshake failed");
        assert_eq!(cause("bafkr4i"), "bafkr4i");
    }
}
