//! Tests of address classes and of what each scope keeps.

use super::*;

fn address(text: &str) -> Multiaddr {
    text.parse().expect("a multiaddr")
}

#[test]
fn every_kind_of_address_has_a_class() {
    use AddressClass::{Global, LinkLocal, Loopback, Other, Private};
    for (text, class) in [
        ("/ip4/127.0.0.1/tcp/1", Loopback),
        ("/ip4/127.9.9.9/udp/1/quic-v1", Loopback),
        ("/ip6/::1/tcp/1", Loopback),
        ("/ip6/::ffff:127.0.0.1/tcp/1", Loopback),
        ("/memory/7", Loopback),
        ("/dns4/localhost/tcp/1", Loopback),
        ("/ip4/10.0.0.1/tcp/1", Private),
        ("/ip4/172.16.0.1/tcp/1", Private),
        ("/ip4/172.32.0.1/tcp/1", Global),
        ("/ip4/192.168.0.1/tcp/1", Private),
        ("/ip4/100.64.0.1/tcp/1", Private),
        ("/ip4/100.128.0.1/tcp/1", Global),
        ("/ip6/fd00::1/tcp/1", Private),
        ("/ip6/::ffff:192.168.0.1/tcp/1", Private),
        ("/dns4/node1/tcp/1", Private),
        ("/dns/printer.local/tcp/1", Private),
        ("/ip4/169.254.1.1/tcp/1", LinkLocal),
        ("/ip6/fe80::1/tcp/1", LinkLocal),
        ("/ip4/8.8.8.8/tcp/1", Global),
        ("/ip6/2a00::1/udp/1/quic-v1", Global),
        ("/ip4/0.0.0.0/tcp/1", Other),
        ("/ip6/::/tcp/1", Other),
        ("/ip4/224.0.0.251/udp/1", Other),
        ("/ip4/255.255.255.255/tcp/1", Other),
        ("/ip4/192.0.2.1/tcp/1", Other),
        ("/ip6/2001:db8::1/tcp/1", Other),
        ("/ip6/ff02::fb/udp/1", Other),
        ("/ip4/8.8.8.8/tcp/0", Other),
        ("/dns4/example.org/tcp/1", Other),
        ("/ip4/8.8.8.8/tcp/1/p2p-circuit", Other),
        ("/tcp/1", Other),
    ] {
        assert_eq!(AddressClass::of(&address(text)), class, "{text}");
    }
}

const MIXED: [&str; 7] = [
    "/dns4/node1/tcp/1",
    "/ip4/127.0.0.1/tcp/1",
    "/ip4/192.168.0.1/tcp/1",
    "/ip4/8.8.8.8/tcp/1",
    "/ip4/169.254.1.1/tcp/1",
    "/memory/7",
    "/dns4/example.org/tcp/1",
];

fn kept(scope: Scope, vouched_over: AddressClass) -> Vec<String> {
    let mixed: Vec<_> = MIXED.iter().map(|text| address(text)).collect();
    scope.usable(&mixed, vouched_over).iter().map(ToString::to_string).collect()
}

#[test]
fn only_global_addresses_enter_wan_whoever_says_them() {
    for over in [AddressClass::Loopback, AddressClass::Private, AddressClass::Global] {
        assert_eq!(kept(Scope::Wan, over), ["/ip4/8.8.8.8/tcp/1"]);
    }
}

#[test]
fn lan_believes_loopback_addresses_only_over_loopback() {
    assert_eq!(
        kept(Scope::Lan, AddressClass::Loopback),
        ["/ip4/192.168.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "/memory/7"]
    );
    assert_eq!(kept(Scope::Lan, AddressClass::Private), ["/ip4/192.168.0.1/tcp/1"]);
}

#[test]
fn lan_is_not_spoken_with_the_internet() {
    for class in [AddressClass::Global, AddressClass::Other] {
        assert!(!Scope::Lan.speaks_over(class));
        assert!(Scope::Wan.speaks_over(class));
    }
    assert!(Scope::Lan.speaks_over(AddressClass::Private));
}

#[test]
fn addresses_are_few_short_bare_and_different() {
    let peer = libp2p::PeerId::random();
    let many: Vec<Multiaddr> = (1..=20_u16)
        .flat_map(|port| {
            let plain = address(&format!("/ip4/10.0.0.1/tcp/{port}"));
            [plain.clone(), plain.with(Protocol::P2p(peer))]
        })
        .collect();
    let kept = Scope::Lan.usable(&many, AddressClass::Private);
    assert_eq!(kept.len(), MAX_ADDRESSES);
    assert_eq!(kept[1], address("/ip4/10.0.0.1/tcp/2"));

    let long = address(&format!("/ip4/10.0.0.1/tcp/1/ws{}", "/ws".repeat(MAX_ADDRESS_LEN)));
    assert!(Scope::Lan.usable([&long], AddressClass::Private).is_empty());
}
