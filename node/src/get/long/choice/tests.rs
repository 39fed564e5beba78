//! In which order long files are fetched: alone, and by several at once.

use super::*;

const FILE: u64 = 3 << 20;

fn fellow(salt: u64, files: impl IntoIterator<Item = usize>) -> Fellow {
    let files = files.into_iter().map(|file| file as u64..file as u64 + 1).collect();
    Fellow { salt, files }
}

fn choice(files: usize, salt: u64) -> Choice {
    Choice::new((0..files).collect(), Some(salt))
}

#[test]
fn who_is_alone_begins_with_everything_in_one_order() {
    let mut choice = choice(5, 7);
    let mut begun = Vec::new();
    while let Some((file, from)) = choice.next(&[], true, |_| FILE) {
        assert_eq!(from, From::Anyone);
        begun.push(file);
    }
    assert!(choice.is_over());
    begun.sort_unstable();
    assert_eq!(begun, [0, 1, 2, 3, 4]);
}

#[test]
fn files_in_their_own_order_wait_for_nobody() {
    let mut choice = Choice::new((0..5).collect(), None);
    for expected in 0..5 {
        let fellows = [fellow(1, [4])];
        assert_eq!(choice.next(&fellows, false, |_| FILE), Some((expected, From::Anyone)));
    }
}

#[test]
fn little_is_begun_before_it_is_known_who_else_begins() {
    let mut long = choice(5, 7);
    let (first, _) = long.next(&[], false, |_| FILE).unwrap();
    assert_eq!(long.next(&[], false, |_| FILE), None);
    long.ended(first);
    assert!(long.next(&[], false, |_| FILE).is_some());
    let mut short = choice(5, 7);
    assert!(short.next(&[], false, |_| FROM_HOLDERS / 2).is_some());
    assert!(short.next(&[], false, |_| FROM_HOLDERS / 2).is_some());
    assert_eq!(short.next(&[], false, |_| FROM_HOLDERS / 2), None);
    assert!(short.next(&[], true, |_| FROM_HOLDERS / 2).is_some(), "nobody else came");
}

#[test]
fn what_others_have_is_taken_from_them_and_first_what_few_have() {
    let mut turns = Shares::new((0..30).collect(), 7);
    turns.among([8, 9].into_iter());
    let is_ours = |file: usize| turns.begins(file).who == 0;
    let mut choice = choice(30, 7);
    let theirs: Vec<usize> = (0..30).filter(|file| !is_ours(*file)).collect();
    let (both, one) = (theirs[0], theirs[1]);
    let fellows = [fellow(8, [both]), fellow(9, [both, one])];
    let mut next = || choice.next(&fellows, true, |_| FILE);
    let (ours, from) = next().unwrap();
    assert!(is_ours(ours) && from == From::Anyone);
    assert_eq!(next(), Some((one, From::Fellows)));
    assert_eq!(next(), Some((both, From::Fellows)));
    // What they are at comes while it comes to them, and what they will come to only later is not asked for.
    let coming = [next().unwrap(), next().unwrap()];
    for (file, from) in coming {
        assert_eq!((is_ours(file), from), (false, From::Fellows));
    }
    assert_ne!(turns.begins(coming[0].0).who, turns.begins(coming[1].0).who);
    assert_eq!(next(), None);
    choice.ended(ours);
    let (next, from) = choice.next(&fellows, true, |_| FILE).unwrap();
    assert!(is_ours(next) && from == From::Anyone);
}

/// Nodes that fetch the same files from one holder and from each other; how often each file left the holder. In a round every node receives what it asked the holder for, and what somebody else had.
fn swarm(nodes: u64, files: usize, at_once: usize) -> Vec<u64> {
    struct Node {
        choice: Choice,
        has: Vec<usize>,
        under_way: Vec<(usize, From)>,
    }
    let mut all: Vec<_> = (0..nodes)
        .map(|salt| Node { choice: choice(files, salt * 77 + 5), has: Vec::new(), under_way: Vec::new() })
        .collect();
    let mut sent = vec![0; files];
    loop {
        if all.iter().all(|node| node.has.len() == files) {
            return sent;
        }
        let had: Vec<Vec<usize>> = all.iter().map(|node| node.has.clone()).collect();
        for (at, node) in all.iter_mut().enumerate() {
            let others = had.iter().enumerate().filter(|(other, _)| *other != at);
            let fellows: Vec<_> =
                others.map(|(other, has)| fellow(other as u64 * 77 + 5, has.clone())).collect();
            while node.under_way.len() < at_once {
                let Some(begun) = node.choice.next(&fellows, true, |_| FILE) else { break };
                node.under_way.push(begun);
            }
            assert!(!node.under_way.is_empty() || node.has.len() == files, "nobody waits for nothing");
            let is_over = node.choice.is_over();
            let mut ended = Vec::new();
            node.under_way.retain(|(file, from)| {
                let is_there = had.iter().any(|has| has.contains(file));
                // Those who hold all are asked after all when nothing else is left to begin.
                let from_holder = *from == From::Anyone || (is_over && !is_there);
                if from_holder {
                    sent[*file] += 1;
                }
                if from_holder || is_there {
                    ended.push(*file);
                }
                !(from_holder || is_there)
            });
            for file in ended {
                node.choice.ended(file);
                node.has.push(file);
            }
        }
    }
}

#[test]
fn every_file_leaves_the_holder_about_once() {
    for (nodes, files) in [(2, 40), (4, 40), (8, 40), (4, 1000)] {
        let sent = swarm(nodes, files, 3);
        let sent: u64 = sent.iter().sum();
        let files = files as u64;
        let most = files + files / 20 + nodes;
        assert!(sent <= most, "{nodes} nodes, {files} files: {sent} sent");
    }
}
