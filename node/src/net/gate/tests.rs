//! One address gets its share and no more.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use super::{Ledger, MAX_TRACKED, counted};
use crate::config::Limits;

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

#[test]
fn one_address_fills_only_its_own_share() {
    let limits = Limits::default();
    let mut ledger = Ledger::new(&limits);
    let now = Instant::now();
    let admitted = (0..1000).filter(|_| ledger.admit(ip(1), now)).count();
    assert_eq!(admitted, 32);
    assert!(ledger.admit(ip(2), now));
}

#[test]
fn a_place_given_back_is_free_again() {
    let limits = Limits { per_ip: 1, ..Limits::default() };
    let mut ledger = Ledger::new(&limits);
    let now = Instant::now();
    assert!(ledger.admit(ip(1), now));
    assert!(!ledger.admit(ip(1), now));
    ledger.release(ip(1));
    assert!(ledger.admit(ip(1), now));
}

#[test]
fn connecting_and_leaving_again_and_again_is_limited_by_rate() {
    let mut ledger = Ledger::new(&Limits::default());
    let start = Instant::now();
    let churn = |ledger: &mut Ledger, now| {
        let mut admitted = 0;
        for _ in 0..1000 {
            if ledger.admit(ip(1), now) {
                admitted += 1;
                ledger.release(ip(1));
            }
        }
        admitted
    };
    assert_eq!(churn(&mut ledger, start), 64, "the burst");
    assert_eq!(churn(&mut ledger, start + Duration::from_secs(1)), 20, "the rate");
}

#[test]
fn neighbours_in_one_ipv6_subnet_are_one() {
    let limits = Limits { per_ip: 1, ..Limits::default() };
    let mut ledger = Ledger::new(&limits);
    let now = Instant::now();
    assert!(ledger.admit("2001:db8:1:2::1".parse().unwrap(), now));
    assert!(!ledger.admit("2001:db8:1:2::ffff".parse().unwrap(), now));
    assert!(ledger.admit("2001:db8:1:3::1".parse().unwrap(), now));
}

#[test]
fn the_machine_itself_is_exempt() {
    assert_eq!(counted(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()), None);
    assert_eq!(counted(&"/ip6/::1/tcp/1".parse().unwrap()), None);
    assert_eq!(counted(&"/memory/7".parse().unwrap()), None);
    assert!(counted(&"/ip4/127.0.0.2/tcp/1".parse().unwrap()).is_some(), "nobody is there by chance");
    assert_eq!(counted(&"/ip4/192.0.2.9/tcp/1".parse().unwrap()), Some(ip(9)));
}

#[test]
fn a_flood_from_everywhere_does_not_fill_memory() {
    let mut ledger = Ledger::new(&Limits::default());
    let now = Instant::now();
    assert!(ledger.admit(ip(1), now));
    for number in 0..20_000_u32 {
        let other = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        assert!(ledger.admit(other, now));
        ledger.release(other);
        assert!(ledger.usage.len() <= MAX_TRACKED);
    }
    assert_eq!(ledger.usage[&ip(1)].open, 1, "who is connected is not forgotten");
}
