//! A stranger that wants us to dial others, on a clock of our own.

use super::*;

struct Scene {
    dialling: Dialling,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        Self { dialling: Dialling::new(&Limits::default(), now), now }
    }

    fn admit(&mut self, text: &str) -> Result<Duration, Refusal> {
        self.dialling.admit(&address(text), self.now)
    }

    fn end(&mut self, text: &str, end: End) {
        self.dialling.ended(&address(text), end, self.now);
    }

    /// Dials as often as it is let, and always in vain; counts how often that was.
    fn scan(&mut self, texts: impl Iterator<Item = String>) -> usize {
        let mut dials = 0;
        for text in texts {
            match self.admit(&text) {
                Ok(wait) => {
                    self.now += wait;
                    self.end(&text, End::Failed);
                    dials += 1;
                }
                Err(Refusal::Busy) => self.now += Duration::from_secs(1),
                Err(_) => {}
            }
        }
        dials
    }
}

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

#[test]
fn one_machine_sees_few_dials_whatever_its_ports() {
    let limit = Limits::default().failed_dials;
    let mut scene = Scene::new();
    assert_eq!(scene.scan((1..=400).map(|port| format!("/ip4/8.8.8.8/tcp/{port}"))), limit);
    assert_eq!(scene.admit("/ip4/8.8.8.8/udp/9/quic-v1"), Err(Refusal::Failing));
    assert_eq!(scene.admit("/ip4/8.8.8.9/tcp/1"), Ok(Duration::ZERO), "its neighbour is another machine");
    let hosts = (1..=400).map(|host| format!("/ip6/2a00:1:2:3::{host:x}/tcp/1"));
    assert_eq!(scene.scan(hosts), limit, "one network of IPv6 is one machine");
    scene.now += WINDOW;
    assert!(scene.admit("/ip4/8.8.8.8/tcp/1").is_ok(), "in time it is forgiven");
}

#[test]
fn a_machine_that_does_not_even_refuse_sees_as_few() {
    let limit = Limits::default().failed_dials;
    let mut scene = Scene::new();
    let port = |port: usize| format!("/ip4/8.8.8.8/tcp/{port}");
    let admitted = (1..=400).filter(|number| scene.admit(&port(*number)).is_ok()).count();
    assert_eq!(admitted, limit, "none of them has ended yet");
    assert_eq!(scene.admit(&port(500)), Err(Refusal::Unknown));
    scene.end(&port(1), End::Reached);
    assert!((600..650).all(|number| scene.admit(&port(number)).is_ok()), "many may live behind one address");
    let lost_a_race = End::NotBegun;
    for number in (2..=limit).chain(600..650) {
        scene.end(&port(number), lost_a_race);
    }
    assert!(scene.dialling.under_way.is_empty());
    for host in 0..2 * MAX_REACHED {
        scene.end(&format!("/ip4/8.8.{}.{}/tcp/1", host / 256, host % 256), End::Reached);
    }
    assert_eq!(scene.dialling.reached.len(), MAX_REACHED);
}

#[test]
fn a_machine_that_answers_is_no_victim() {
    let mut scene = Scene::new();
    for _ in 0..100 {
        assert!(scene.admit("/ip4/8.8.8.8/tcp/1").is_ok());
        scene.end("/ip4/8.8.8.8/tcp/1", End::Failed);
        scene.end("/ip4/8.8.8.8/tcp/2", End::Reached);
        scene.now += Duration::from_secs(1);
    }
}

#[test]
fn a_machine_at_which_a_peer_was_found_is_tried_now_and_then_while_it_is_away() {
    let mut scene = Scene::new();
    let (known, unknown) = ("/ip4/8.8.8.8/tcp/1", "/ip4/9.9.9.9/tcp/1");
    scene.end(known, End::Reached);
    let mut tried = [0, 0];
    for _ in 0..300 {
        for (count, text) in tried.iter_mut().zip([known, unknown]) {
            if scene.admit(text).is_ok() {
                scene.end(text, End::Failed);
                *count += 1;
            }
        }
        scene.now += Duration::from_secs(1);
    }
    let limit = Limits::default().failed_dials;
    let most = limit + 300 / usize::try_from(TRY_AGAIN.as_secs()).unwrap() + 1;
    assert_eq!(tried[1], limit);
    assert!((limit + 20..=most).contains(&tried[0]), "{tried:?}");
}

#[test]
fn what_loses_a_race_has_not_failed_and_what_hangs_has() {
    let mut scene = Scene::new();
    let given_up = |seconds| End::GivenUp { after: Duration::from_secs(seconds) };
    scene.end("/ip4/8.8.8.8/tcp/1", End::Reached);
    scene.end("/ip4/9.9.9.9/tcp/1", End::Reached);
    for _ in 0..100 {
        scene.end("/ip4/8.8.8.8/udp/1/quic-v1", given_up(1));
        scene.end("/ip4/9.9.9.9/tcp/1", given_up(10));
        scene.end("/ip4/10.10.10.10/tcp/1", given_up(1));
    }
    assert!(scene.admit("/ip4/8.8.8.8/tcp/1").is_ok());
    assert_eq!(scene.admit("/ip4/9.9.9.9/tcp/1"), Err(Refusal::Failing));
    let other_machine = scene.admit("/ip4/10.10.10.10/tcp/1");
    assert_eq!(other_machine, Err(Refusal::Failing), "its own address wins, and somebody else's is dialled");
}

#[test]
fn many_machines_are_dialled_at_a_rate() {
    let limits = Limits::default();
    let mut scene = Scene::new();
    let start = scene.now;
    let everywhere = (0..60_000_u32).map(|host| format!("/ip4/8.{}.{}.8/tcp/1", host >> 8, host & 255));
    let dials = scene.scan(everywhere);
    let seconds = scene.now.duration_since(start).as_secs_f64();
    let most = f64::from(limits.dial_burst) + f64::from(limits.dial_rate) * (seconds + 1.0);
    assert!(dials as f64 <= most, "{dials} dials in {seconds} s");
    assert!(scene.dialling.failing.len() <= MAX_FAILING);
}

#[test]
fn a_burst_waits_its_turn_and_a_longer_one_is_refused() {
    let limits = Limits::default();
    let mut scene = Scene::new();
    let waits: Vec<_> =
        (0..2000).map(|port| scene.admit(&format!("/ip4/127.0.0.1/tcp/{}", port + 1))).collect();
    let at_once = waits.iter().filter(|wait| **wait == Ok(Duration::ZERO)).count();
    assert_eq!(at_once, limits.dial_burst as usize);
    let waiting = waits.iter().flatten().count() - at_once;
    assert!(waiting as u64 <= u64::from(limits.dial_rate) * LONGEST_WAIT.as_secs() + 1, "{waiting} wait");
    assert!(waits.iter().flatten().all(|wait| *wait <= LONGEST_WAIT));
    assert_eq!(waits.last(), Some(&Err(Refusal::Busy)));
    scene.now += Duration::from_secs(60);
    assert_eq!(scene.admit("/ip4/127.0.0.1/tcp/1"), Ok(Duration::ZERO));
}

#[test]
fn where_nobody_can_live_nobody_is_dialled() {
    let mut scene = Scene::new();
    for text in [
        "/ip4/0.0.0.0/tcp/1",
        "/ip4/8.8.8.8/tcp/0",
        "/ip4/224.0.0.1/udp/1/quic-v1",
        "/ip4/255.255.255.255/tcp/1",
        "/ip6/::/tcp/1",
        "/ip6/ff02::1/tcp/1",
        "/ip6/::ffff:0.0.0.0/tcp/1",
    ] {
        assert_eq!(scene.admit(text), Err(Refusal::Nowhere), "{text}");
    }
}

#[test]
fn nobody_makes_us_dial_ourselves() {
    let mut scene = Scene::new();
    scene.dialling.listens_at(&["/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.1/udp/4001/quic-v1"].map(address));
    let stranger = libp2p::PeerId::random();
    assert_eq!(scene.admit(&format!("/ip4/10.0.0.1/tcp/4001/p2p/{stranger}")), Err(Refusal::Own));
    assert_eq!(scene.admit("/ip4/10.0.0.1/udp/4001/quic-v1"), Err(Refusal::Own));
    assert!(scene.admit("/ip4/10.0.0.1/tcp/4002").is_ok());
}

#[test]
fn our_own_user_may_try_as_often_as_he_likes() {
    let mut scene = Scene::new();
    let named = "/ip4/192.168.1.9/tcp/4001";
    scene.dialling.name(&address(named));
    for _ in 0..100 {
        assert!(scene.admit(named).is_ok());
        scene.end(named, End::Failed);
        scene.now += Duration::from_secs(1);
    }
    assert_eq!(scene.admit("/ip4/192.168.1.9/tcp/4002"), Err(Refusal::Failing), "he did not name that one");
}

#[test]
fn what_our_own_user_named_last_counts_however_much_he_named_before() {
    let mut scene = Scene::new();
    let named = |number: usize| format!("/ip4/8.8.8.8/tcp/{}", 4001 + number);
    for number in 0..=MAX_NAMED {
        scene.dialling.name(&address(&named(number)));
    }
    for _ in 0..100 {
        assert!(scene.admit(&named(MAX_NAMED)).is_ok());
        scene.end(&named(MAX_NAMED), End::Failed);
        scene.now += Duration::from_secs(1);
    }
    assert_eq!(scene.admit(&named(0)), Err(Refusal::Failing), "that was long ago");
    assert_eq!(scene.dialling.named.len(), MAX_NAMED);
}
