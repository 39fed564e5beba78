//! Has yamux take a round trip for longer than it is, so that the windows of its streams grow as far as they must.
//!
//! Yamux lets a window grow when half of it was read in less than two round trips, up to what a way bears that loses
//! nothing. Where a packet is lost, all that comes after it waits one round trip more to be read, or two, and then is
//! read at once; meanwhile the sender has filled the window and stops. So the answers to yamux's questions how long a
//! round trip takes are held back here until it has taken [`ROUND_TRIPS`], unless the peer is [`NEAR`].

use std::time::{Duration, Instant};

/// What comes after a lost packet is read as many round trips after it was sent, if the packet is not lost again.
const ROUND_TRIPS: u32 = 3;

/// A round trip with which nothing is held back. To wait for a lost packet costs little then, and with larger windows more
/// would be on its way, which short answers wait for.
const NEAR: Duration = Duration::from_millis(10);

/// Bytes before each frame. Yamux reads and writes them by themselves.
const HEADER: usize = 12;

const DATA: u8 = 0;
const PING: u8 = 2;
const QUESTION: [u8; 2] = [0, 1];
const ANSWER: [u8; 2] = [0, 2];

/// What is known of the frames of a connection, and the answer that is held back.
#[derive(Default)]
pub(super) struct Echo {
    asked: Option<Instant>,
    held: Option<(Instant, [u8; HEADER])>,
    /// The header that is being read, and how much of it was.
    header: [u8; HEADER],
    filled: usize,
    /// Bytes to be read of the body of a frame.
    body: usize,
}

/// What to do with what was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    PassOn,
    HoldBack,
}

impl Echo {
    /// Yamux writes this. Content that looks like a question, which is short indeed, only makes one answer count wrong.
    pub(super) fn says(&mut self, bytes: &[u8], now: impl FnOnce() -> Instant) {
        if is_ping(bytes, QUESTION) {
            self.asked = Some(now());
        }
    }

    /// The peer said this. Yamux never reads a header and something else at once.
    pub(super) fn hears(&mut self, bytes: &[u8], now: impl FnOnce() -> Instant) -> Heard {
        if self.body > 0 {
            self.body = self.body.saturating_sub(bytes.len());
            return Heard::PassOn;
        }
        for (place, byte) in self.header.iter_mut().skip(self.filled).zip(bytes) {
            *place = *byte;
        }
        self.filled += bytes.len();
        if self.filled < HEADER {
            return Heard::PassOn;
        }
        self.filled = 0;
        let [_, kind, _, _, _, _, _, _, len @ ..] = self.header;
        if kind == DATA {
            self.body = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
        }
        // What came in parts was passed on in part.
        if !is_ping(bytes, ANSWER) {
            return Heard::PassOn;
        }
        let Some(asked) = self.asked.take() else { return Heard::PassOn };
        let took = now().saturating_duration_since(asked);
        if took < NEAR {
            return Heard::PassOn;
        }
        let due = asked + took * ROUND_TRIPS;
        self.held = Some((due, self.header));
        Heard::HoldBack
    }

    /// The answer that was held back, when it is time and yamux reads so many bytes, which are a header.
    pub(super) fn answer(&mut self, len: usize, now: impl FnOnce() -> Instant) -> Option<[u8; HEADER]> {
        let (due, answer) = self.held?;
        if self.body > 0 || self.filled > 0 || len != HEADER || now() < due {
            return None;
        }
        self.held = None;
        Some(answer)
    }
}

fn is_ping(bytes: &[u8], flags: [u8; 2]) -> bool {
    bytes.len() == HEADER && bytes.get(1) == Some(&PING) && bytes.get(2..4) == Some(flags.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 4] = [0, 0, 0, 7];

    fn ping(flags: [u8; 2]) -> Vec<u8> {
        [&[0, PING][..], &flags, &[0; 4], &ID].concat()
    }

    fn data(len: u8) -> Vec<u8> {
        [&[0, DATA, 0, 0, 0, 0, 0, 1][..], &[0, 0, 0, len]].concat()
    }

    #[test]
    fn an_answer_comes_after_several_round_trips_and_between_two_frames() {
        let (mut echo, start) = (Echo::default(), Instant::now());
        let at = |millis| move || start + Duration::from_millis(millis);
        echo.says(&ping(QUESTION), at(0));
        assert_eq!(echo.hears(&ping(ANSWER), at(40)), Heard::HoldBack);
        assert_eq!(echo.answer(HEADER, at(119)), None, "too early");
        assert_eq!(echo.hears(&data(20), at(120)), Heard::PassOn);
        assert_eq!(echo.answer(20, at(120)), None, "a body comes first");
        assert_eq!(echo.hears(&[1; 8], at(121)), Heard::PassOn);
        assert_eq!(echo.answer(HEADER, at(121)), None, "the rest of the body is as long as a header");
        assert_eq!(echo.hears(&ping(ANSWER), at(121)), Heard::PassOn, "and looks like one");
        assert_eq!(echo.answer(HEADER, at(122)).map(Vec::from), Some(ping(ANSWER)));
        assert_eq!(echo.answer(HEADER, at(123)), None, "there was one");
    }

    #[test]
    fn nothing_is_held_back_from_the_near() {
        let (mut echo, start) = (Echo::default(), Instant::now());
        echo.says(&ping(QUESTION), || start);
        assert_eq!(echo.hears(&ping(ANSWER), || start + NEAR / 2), Heard::PassOn);
        assert_eq!(echo.answer(HEADER, || start + NEAR), None);
    }

    #[test]
    fn what_nobody_asked_or_came_in_parts_is_passed_on() {
        let (mut echo, now) = (Echo::default(), Instant::now);
        assert_eq!(echo.hears(&ping(ANSWER), now), Heard::PassOn);
        echo.says(&ping(QUESTION), now);
        let answer = ping(ANSWER);
        let (first, rest) = answer.split_at(5);
        assert_eq!(echo.hears(first, now), Heard::PassOn);
        assert_eq!(echo.hears(rest, now), Heard::PassOn);
        assert_eq!(echo.answer(HEADER, now), None);
        assert_eq!(echo.hears(&ping(QUESTION), now), Heard::PassOn, "a question of the peer");
    }
}
