//! Values of options as people write them.

use std::{net::SocketAddr, time::Duration};

use shoal_node::{Link, Multiaddr, ParseLinkError};

/// The longest time that an option takes: a year, far from where adding it to a clock overflows.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Reads `90`, `90s`, `500ms`, `5m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number with ms, s, m or h, like 90s or 5m".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis: u64 = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let duration = number.checked_mul(millis).map(Duration::from_millis);
    match duration {
        Some(Duration::ZERO) => Err("must be more than nothing".into()),
        Some(duration) if duration <= MAX_DURATION => Ok(duration),
        _ => Err("must be at most a year".into()),
    }
}

/// Lets through what names content, as it was written.
pub(crate) fn link_text(text: &str) -> Result<String, ParseLinkError> {
    text.parse::<Link>().map(|_| text.to_owned())
}

/// Reads a multiaddr of this node.
pub(crate) fn own_address(text: &str) -> Result<Multiaddr, String> {
    text.parse().map_err(|_| {
        "expected a multiaddr like /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/quic-v1".into()
    })
}

/// Reads a multiaddr, `HOST:PORT` or `[IPv6]:PORT`.
pub(crate) fn peer_address(text: &str) -> Result<Multiaddr, String> {
    if text.starts_with('/') {
        let address: Multiaddr = text.parse().map_err(|error| format!("not a multiaddr: {error}"))?;
        let has_port = ["/tcp/", "/udp/", "/memory/"].iter().any(|transport| text.contains(transport));
        return if has_port {
            Ok(address)
        } else {
            Err("no port: say /tcp/PORT or /udp/PORT/quic-v1".into())
        };
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        let family = if address.is_ipv4() { "ip4" } else { "ip6" };
        return multiaddr(family, &address.ip().to_string(), address.port());
    }
    let wrong = || "expected a multiaddr like /ip4/192.0.2.1/tcp/4001, or HOST:PORT".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host_like = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || !host.chars().all(host_like) {
        return Err(wrong());
    }
    multiaddr("dns", host, port.parse().map_err(|_| format!("{port:?} is not a port"))?)
}

fn multiaddr(family: &str, host: &str, port: u16) -> Result<Multiaddr, String> {
    if port == 0 {
        return Err("port 0 is nobody's".into());
    }
    format!("/{family}/{host}/tcp/{port}").parse().map_err(|error| format!("not an address: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs_f64());
        assert_eq!(seconds("90"), Ok(90.0));
        assert_eq!(seconds("90s"), Ok(90.0));
        assert_eq!(seconds("500ms"), Ok(0.5));
        assert_eq!(seconds("5m"), Ok(300.0));
        assert_eq!(seconds("1h"), Ok(3600.0));
        for wrong in ["", "s", "-1s", "1.5s", "5 parsecs", "0", "99999999999h", "18446744073709551615h", "²s"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn peers() {
        let cases = [
            ("/ip4/192.0.2.1/udp/4001/quic-v1", "/ip4/192.0.2.1/udp/4001/quic-v1"),
            ("192.0.2.1:4001", "/ip4/192.0.2.1/tcp/4001"),
            ("[::1]:4001", "/ip6/::1/tcp/4001"),
            ("nas.local:4001", "/dns/nas.local/tcp/4001"),
        ];
        for (text, address) in cases {
            assert_eq!(peer_address(text).map(|peer| peer.to_string()).as_deref(), Ok(address), "{text}");
        }
        for wrong in
            ["", "nas", "nas:", ":4001", "nas:0", "192.0.2.1:99999", "a/b:1", "::1:4001", "/ip4/nas/tcp/1"]
        {
            assert!(peer_address(wrong).is_err(), "{wrong}");
        }
    }
}
