//! The table against a sorted map.

use std::collections::BTreeMap;

use super::*;
use crate::simulation::key;

#[test]
fn a_key_takes_48_bytes() {
    assert_eq!(size_of::<Own>(), 48);
}

#[test]
fn the_table_is_a_sorted_map_for_each_overlay() {
    let mut keys = OwnKeys::default();
    let mut model: [BTreeMap<(u64, ProviderKey), State>; 2] = Default::default();
    let scopes = [Scope::Lan, Scope::Wan];
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for round in 0..2000 {
        let at = usize::try_from(next(2)).unwrap();
        let scope = scopes[at];
        let of = |key: ProviderKey| (place_of(&key), key);
        match next(4) {
            0 => {
                let many: Vec<_> = (0..=next(20)).map(|_| key(next(600))).collect();
                keys.add(scope, many.iter().copied(), |_, _| State::Due);
                for key in many {
                    model[at].entry(of(key)).or_insert(State::Due);
                }
            }
            1 => {
                let key = key(next(600));
                let was = model[at].remove(&of(key)).unwrap_or(State::Foreign);
                assert_eq!(keys.remove(scope, &key), was);
            }
            _ => {
                let (key, state) = (key(next(600)), State::In(BatchId(round)));
                let before = model[at]
                    .get_mut(&of(key))
                    .map_or(State::Foreign, |known| std::mem::replace(known, state));
                assert_eq!(keys.set(scope, &key, state), before);
            }
        }
        assert_eq!(keys.count(scope), model[at].len());
    }
    for (at, scope) in scopes.into_iter().enumerate() {
        let all: Vec<_> =
            keys.range(scope, 0..=u64::MAX).map(|(place, key, state)| ((place, key), state)).collect();
        assert_eq!(all, model[at].clone().into_iter().collect::<Vec<_>>());
        let (from, to) = (all[all.len() / 3].0.0, all[all.len() / 2].0.0);
        let part: Vec<_> = keys.range(scope, from..=to).map(|(place, ..)| place).collect();
        let wanted: Vec<_> =
            all.iter().map(|((place, _), _)| *place).filter(|place| (from..=to).contains(place)).collect();
        assert_eq!(part, wanted);
        assert_eq!((0..CELLS).map(|cell| keys.states(scope, cell).count()).sum::<usize>(), all.len());
        assert!(all.iter().all(|((_, key), state)| keys.state(scope, key) == *state));
    }
}
