//! Counting answers over two scopes.

use super::*;
use crate::provide::AnnounceId;

const TASK: Task = Task::Announce(AnnounceId(1));

fn standing(tally: &mut Tally) -> Vec<(usize, usize, bool)> {
    tally.take_changed().into_iter().map(|s| (s.acknowledged, s.asked, s.done)).collect()
}

#[test]
fn a_task_is_done_when_every_scope_that_began_is() {
    let mut tally = Tally::default();
    let (a, b) = (PeerId::random(), PeerId::random());
    for (scope, peer) in [(Scope::Lan, a), (Scope::Wan, b)] {
        tally.note(scope, TASK, Note::Started);
        tally.note(scope, TASK, Note::Asked(peer));
    }
    assert_eq!(standing(&mut tally), [(0, 2, false)]);
    tally.note(Scope::Lan, TASK, Note::Acknowledged(a));
    tally.note(Scope::Lan, TASK, Note::Done);
    assert_eq!(standing(&mut tally), [(1, 2, false)]);
    tally.note(Scope::Wan, TASK, Note::Failed(b));
    tally.note(Scope::Wan, TASK, Note::Done);
    assert_eq!(standing(&mut tally), [(1, 2, true)]);
    assert_eq!(standing(&mut tally), []);
    assert!(tally.tasks.is_empty());
}

#[test]
fn a_node_counts_once_and_only_if_it_took_everything() {
    let mut tally = Tally::default();
    let (a, b) = (PeerId::random(), PeerId::random());
    for peer in [a, a, b, b] {
        tally.note(Scope::Lan, TASK, Note::Asked(peer));
    }
    for note in [Note::Acknowledged(a), Note::Acknowledged(a), Note::Failed(b), Note::Acknowledged(b)] {
        tally.note(Scope::Lan, TASK, note);
    }
    assert_eq!(standing(&mut tally), [(1, 2, false)]);
}

#[test]
fn three_of_four_are_enough_once_it_is_known_how_many_there_are() {
    let mut tally = Tally::default();
    let peers: Vec<_> = (0..8).map(|_| PeerId::random()).collect();
    tally.note(Scope::Lan, TASK, Note::Started);
    for peer in &peers {
        tally.note(Scope::Lan, TASK, Note::Asked(*peer));
    }
    for peer in &peers[..6] {
        tally.note(Scope::Lan, TASK, Note::Acknowledged(*peer));
    }
    assert_eq!(standing(&mut tally), [(6, 8, false)], "there may be more to ask");
    tally.note(Scope::Lan, TASK, Note::Chosen);
    assert_eq!(standing(&mut tally), [(6, 8, true)]);
    // The others are counted all the same.
    tally.note(Scope::Lan, TASK, Note::Acknowledged(peers[6]));
    assert_eq!(standing(&mut tally), [(7, 8, true)]);
    tally.note(Scope::Lan, TASK, Note::Failed(peers[7]));
    tally.note(Scope::Lan, TASK, Note::Done);
    let last = tally.take_changed();
    assert_eq!(last, [Standing { task: TASK, asked: 8, acknowledged: 7, done: true, over: true }]);
    assert!(tally.tasks.is_empty());
}
