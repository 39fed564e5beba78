//! Gets that would save to the same target at the same time: one waits for the other.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::sandbox::{Running, Sandbox, check_events, noise};

/// Long enough for the provider to be stopped on the way.
const LEN: usize = 24 << 20;

/// A provider that has given a part of a file and is stopped, and the get that waits for the rest.
struct Scene {
    sandbox: Sandbox,
    provider: Running,
    daemon: Running,
    cid: String,
}

impl Scene {
    fn new() -> (Self, Running) {
        let sandbox = Sandbox::new();
        let provider = sandbox.daemon_with("provider", "start --up 8M");
        let daemon = sandbox.daemon("home", Some(&provider));
        sandbox.file("long", &noise(1, LEN));
        let cid = sandbox.run("provider", "publish long").exits(0).word();
        let mut first = sandbox.spawn("home", &format!("get {cid} -o copy"));
        first.wait_until(|event| event["event"] == "progress" && event["bytes"].as_u64() > Some(0));
        provider.signal(Signal::STOP);
        (Self { sandbox, provider, daemon, cid }, first)
    }

    /// Another get to the same target, once it says that it waits; and what it says.
    fn second(&self, home: &str) -> (Running, Value) {
        let (cid, address) = (&self.cid, &self.provider.address);
        let mut second = self.sandbox.spawn(home, &format!("get {cid} -o copy --peer {address}"));
        let waiting = second.wait_for("waiting");
        assert_eq!(waiting["path"], self.sandbox.work().join("copy").to_str().unwrap());
        (second, waiting)
    }

    fn check(&self) {
        assert!(fs::read(self.sandbox.work().join("copy")).unwrap() == noise(1, LEN));
    }
}

#[track_caller]
fn fetched(get: Running) -> Value {
    let (events, code) = get.end();
    check_events(&events, code);
    assert_eq!(code, Some(0), "{events:?}");
    events.into_iter().find(|event| event["event"] == "fetched").unwrap()
}

#[test]
fn the_second_waits_for_the_first_and_takes_what_it_brought() {
    let (scene, first) = Scene::new();
    let (second, waiting) = scene.second("home");
    assert_eq!((&waiting["cid"], &waiting["pid"]), (&json!(scene.cid), &json!(scene.daemon.pid())));
    scene.provider.signal(Signal::CONT);
    assert_eq!(fetched(first)["already_there"], false);
    let second = fetched(second);
    assert_eq!((&second["already_there"], &second["received"]), (&json!(true), &json!(0)));
    scene.check();
}

#[test]
fn the_second_goes_on_from_what_the_first_left() {
    let (scene, first) = Scene::new();
    let (second, _) = scene.second("home");
    first.signal(Signal::INT);
    assert_eq!(first.end().1, Some(130));
    scene.provider.signal(Signal::CONT);
    let second = fetched(second);
    assert!(second["received"].as_u64().unwrap() < LEN as u64, "{second}");
    scene.check();
}

#[test]
fn who_waits_can_be_stopped_and_the_other_goes_on() {
    let (scene, first) = Scene::new();
    let (second, _) = scene.second("home");
    second.signal(Signal::INT);
    assert_eq!(second.end().1, Some(130));
    scene.provider.signal(Signal::CONT);
    fetched(first);
    scene.check();
}

#[test]
fn a_node_waits_for_that_of_another_home_too() {
    let (scene, first) = Scene::new();
    let (second, waiting) = scene.second("elsewhere");
    if cfg!(target_os = "linux") {
        assert_eq!(waiting["pid"], scene.daemon.pid());
    }
    scene.provider.signal(Signal::CONT);
    fetched(first);
    assert_eq!(fetched(second)["already_there"], true);
    scene.check();
}
