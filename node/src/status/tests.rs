//! What the words say, and when they say nothing.

use super::*;

fn overlay(scope: Scope, peers: usize, told: usize, serves: bool) -> OverlayStats {
    OverlayStats {
        scope,
        peers,
        buckets: 1,
        nodes: peers,
        serves,
        records: 0,
        keys: 1,
        told,
        waiting: 0,
        messages: 0,
        sent: 0,
        last_told: None,
    }
}

#[test]
fn where_all_is_well_there_is_nothing_to_say() {
    let lan = overlay(Scope::Lan, 3, 1, true);
    assert_eq!(problems(std::slice::from_ref(&lan), 1, true, None), Vec::<String>::new());
    // On a local network alone, nobody misses the internet.
    assert_eq!(problems(&[lan, overlay(Scope::Wan, 0, 0, false)], 1, true, None), Vec::<String>::new());
}

#[test]
fn what_keeps_content_from_being_found_is_named() {
    let says = |overlays: &[OverlayStats], shares, announces, word: &str| {
        let problems = problems(overlays, shares, announces, None);
        assert!(problems.iter().any(|problem| problem.contains(word)), "{word}: {problems:?}");
    };
    says(&[overlay(Scope::Lan, 0, 0, true)], 0, true, "--peer");
    says(&[overlay(Scope::Lan, 2, 0, true)], 1, true, "acknowledged");
    says(&[overlay(Scope::Wan, 2, 1, false)], 1, true, "--external");
    says(&[overlay(Scope::Lan, 2, 0, true)], 1, false, "not announced");
    assert_eq!(problems(&[overlay(Scope::Lan, 2, 1, true)], 0, true, Some("no disk")), ["no disk"]);
}
