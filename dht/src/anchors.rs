//! Decides which nodes of the table we stay connected to: a few, spread over all positions.
//!
//! A lookup that had to dial for its first question would wait for two round trips or three before it knows more than we do.
//! One of these nodes answers after one, and is at least as near to any key as its place is wide.
//!
//! Owns: who holds which place.  Hears: connections that came and went, whom the table offers, the time.
//! Tells: which places are vacant.

use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;

use crate::position::Position;

/// Places, each a part of all positions. More would cost more idle connections, for us and for others; fewer would make
/// the first answer of a lookup worth less.
pub(crate) const PLACES: usize = 8;

/// How long a place stays vacant after nobody could be found for it, doubling each time: the table changes slowly.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Whoever held a place for so long was worth having: the next one is looked for at once.
const PROVEN: Duration = Duration::from_secs(60);

/// Who holds the places.
#[derive(Debug)]
pub(crate) struct Anchors {
    places: [Place; PLACES],
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The connection, and since when.
    held: Option<(ConnectionId, Instant)>,
    /// When to look for somebody.
    next: Option<Instant>,
    pause: Duration,
}

impl Default for Anchors {
    fn default() -> Self {
        let vacant = Place { held: None, next: None, pause: FIRST_PAUSE };
        Self { places: [vacant; PLACES] }
    }
}

impl Anchors {
    /// The place that a position belongs to.
    pub(crate) fn place_of(position: Position) -> usize {
        position.part(PLACES)
    }

    /// The places for which somebody should be found now.
    pub(crate) fn vacant(&self, now: Instant) -> Vec<usize> {
        let is_vacant = |place: &Place| place.held.is_none() && place.next.is_none_or(|next| next <= now);
        let places = self.places.iter().enumerate();
        places.filter(|(_, place)| is_vacant(place)).map(|(index, _)| index).collect()
    }

    /// Notes that nobody is there for a place yet, whether somebody was dialled for it or not.
    pub(crate) fn tried(&mut self, place: usize, now: Instant) {
        if let Some(place) = self.places.get_mut(place) {
            place.next = Some(now + place.pause);
            place.pause = (place.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Gives a place to whoever is at the other end of a connection.
    pub(crate) fn give(&mut self, place: usize, connection: ConnectionId, now: Instant) {
        if let Some(place) = self.places.get_mut(place) {
            place.held = Some((connection, now));
        }
    }

    /// Notes that a connection is over, or that its other side does not want us to stay.
    pub(crate) fn lost(&mut self, connection: ConnectionId, now: Instant) {
        for (index, place) in self.places.iter_mut().enumerate() {
            if let Some((held, since)) = place.held
                && held == connection
            {
                place.held = None;
                if now.saturating_duration_since(since) >= PROVEN {
                    place.pause = FIRST_PAUSE;
                }
                return self.tried(index, now);
            }
        }
    }

    /// How many places are held.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.places.iter().filter(|place| place.held.is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_without_anybody_is_looked_at_less_and_less_often() {
        let (mut anchors, start) = (Anchors::default(), Instant::now());
        assert_eq!(anchors.vacant(start).len(), PLACES);
        for place in 1..PLACES {
            anchors.give(place, ConnectionId::new_unchecked(place), start);
        }
        assert_eq!(anchors.vacant(start), [0]);
        let mut looks = 0;
        for second in 0..3600 {
            let now = start + Duration::from_secs(second);
            if !anchors.vacant(now).is_empty() {
                looks += 1;
                anchors.tried(0, now);
            }
        }
        assert!((12..=24).contains(&looks), "{looks}");
        anchors.give(0, ConnectionId::new_unchecked(0), start);
        assert_eq!(anchors.len(), PLACES);
    }

    #[test]
    fn who_leaves_is_replaced_soon_when_it_had_stayed_for_long() {
        let (mut anchors, mut now, connection) =
            (Anchors::default(), Instant::now(), ConnectionId::new_unchecked(7));
        for _ in 0..20 {
            anchors.give(3, connection, now);
            anchors.lost(connection, now);
        }
        assert!(!anchors.vacant(now + FIRST_PAUSE * 2).contains(&3), "nobody wants us there");
        anchors.give(3, connection, now);
        now += PROVEN;
        anchors.lost(ConnectionId::new_unchecked(8), now);
        assert_eq!(anchors.len(), 1, "another connection is nothing to it");
        anchors.lost(connection, now);
        assert_eq!(anchors.len(), 0);
        assert!(!anchors.vacant(now).contains(&3));
        assert!(anchors.vacant(now + FIRST_PAUSE).contains(&3));
    }

    #[test]
    fn places_are_equal_parts_of_all_positions() {
        let mut counts = [0; PLACES];
        for _ in 0..4000 {
            counts[Anchors::place_of(Position::random())] += 1;
        }
        assert!(counts.iter().all(|count| (300..800).contains(count)), "{counts:?}");
    }
}
