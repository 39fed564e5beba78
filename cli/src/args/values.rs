//! Values of options as people write them.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    str::FromStr,
    time::Duration,
};

use shoal_node::{Cid, Kind, Link, Multiaddr, ParseCidError, ParseLinkError, Rate};

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

/// A limit on how fast content moves, or the word that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Speed(pub(crate) Option<Rate>);

impl Speed {
    /// Bytes per second as an API request tells them, 0 for no limit.
    pub(crate) fn bytes(self) -> u64 {
        self.0.map_or(0, Rate::bytes)
    }
}

impl FromStr for Speed {
    type Err = String;

    /// Reads `500k`, `2M`, `1.5MB/s`, `1GiB`, `none`, `0`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected bytes per second like 500k, 2M or 1GiB, or none".to_owned();
        if text == "none" {
            return Ok(Self(None));
        }
        let text = text.strip_suffix("/s").unwrap_or(text);
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let unit = unit.trim();
        let (unit, step) = match unit.strip_suffix('B').unwrap_or(unit) {
            binary if binary.ends_with('i') => (binary.trim_end_matches('i'), 1024_u64),
            decimal => (decimal, 1000),
        };
        let unit = match (unit, step) {
            ("", 1000) => 1,
            ("k" | "K", _) => step,
            ("M", _) => step.pow(2),
            ("G", _) => step.pow(3),
            ("T", _) => step.pow(4),
            _ => return Err(wrong()),
        };
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        // Nine digits are finer than a byte of a gigabyte.
        let fraction = fraction.get(..9).unwrap_or(fraction);
        let parts = 10_u64.pow(u32::try_from(fraction.len()).unwrap_or(0));
        let part: u64 = fraction.parse().map_err(|_| wrong())?;
        let part = u128::from(part) * u128::from(unit) / u128::from(parts);
        let bytes = u128::from(whole) * u128::from(unit) + part;
        match u64::try_from(bytes) {
            Ok(0) => Ok(Self(None)),
            Ok(bytes) => {
                let too_low = || format!("at least {} bytes per second, or none for no limit", Rate::MIN);
                Rate::per_second(bytes).map(|rate| Self(Some(rate))).ok_or_else(too_low)
            }
            Err(_) => Err("is more than any network carries".into()),
        }
    }
}

/// Lets through what names content, as it was written.
pub(crate) fn link_text(text: &str) -> Result<String, String> {
    let wrong = |error: ParseLinkError| meant(text).unwrap_or_else(|| error.to_string());
    text.parse::<Link>().map(|_| text.to_owned()).map_err(wrong)
}

/// What somebody means who writes this where a CID or a ticket belongs.
fn meant(text: &str) -> Option<String> {
    let is_directory = |cid: &str| cid.parse::<Cid>().is_ok_and(|cid| cid.kind() == Kind::Directory);
    match text.split_once('/') {
        Some((cid, path)) if is_directory(cid) && !path.is_empty() => {
            Some(format!("`shoal get {cid} --include '{path}'` fetches one file of a directory"))
        }
        _ if Path::new(text).exists() => Some(
            "this is a file or folder here and no CID; `shoal publish` shares it and prints its CID".into(),
        ),
        _ => None,
    }
}

/// Reads the CID that stands behind a path.
pub(crate) fn cid_of_file(text: &str) -> Result<Cid, String> {
    text.parse().map_err(|error: ParseCidError| {
        if Path::new(text).exists() {
            "this is a file or folder here; its place is before the CID".into()
        } else {
            error.to_string()
        }
    })
}

/// Globs that were separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Globs(pub(crate) Vec<String>);

/// Reads `*.jpg,docs/**`; the commas within `*.{jpg,png}` separate nothing.
pub(crate) fn globs(text: &str) -> Result<Globs, Infallible> {
    let mut globs = vec![String::new()];
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                globs.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = globs.last_mut() {
            last.push(c);
        }
    }
    globs.retain(|glob| !glob.is_empty());
    Ok(Globs(globs))
}

/// Lets through what others can save content under: a name, and not a path.
pub(crate) fn share_name(text: &str) -> Result<String, String> {
    shoal_node::safe_file_name(text)
        .ok_or_else(|| "expected a file name that every system can hold, without / and not hidden".into())
}

/// Reads a multiaddr of this node.
pub(crate) fn own_address(text: &str) -> Result<Multiaddr, String> {
    text.parse().map_err(|_| {
        let port =
            text.trim_start_matches(':').parse::<u16>().map(|port| (Ipv4Addr::UNSPECIFIED, port).into());
        match port.or_else(|_| text.parse::<SocketAddr>()) {
            Ok(address) => {
                let family = if address.is_ipv4() { "ip4" } else { "ip6" };
                format!(
                    "expected a multiaddr, which here is /{family}/{}/tcp/{}",
                    address.ip(),
                    address.port()
                )
            }
            Err(_) => {
                "expected a multiaddr like /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/quic-v1".into()
            }
        }
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
    fn speeds() {
        let bytes = |text: &str| text.parse().map(Speed::bytes);
        let cases = [
            ("none", 0),
            ("0", 0),
            ("1000", 1000),
            ("500k", 500_000),
            ("500kB/s", 500_000),
            ("2M", 2_000_000),
            ("12.5M", 12_500_000),
            ("1.5 MB", 1_500_000),
            ("64Ki", 65_536),
            ("1GiB", 1 << 30),
            ("1T", 1_000_000_000_000),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for wrong in
            ["", "M", "-1M", "1.M", ".5M", "1..5M", "1Mbit", "1i", "5 parsecs", "1", "999", "99999999T"]
        {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn globs_and_their_commas() {
        let cases: [(&str, &[&str]); 5] = [
            ("*.jpg", &["*.jpg"]),
            ("*.jpg,docs/**", &["*.jpg", "docs/**"]),
            ("*.{jpg,png},a", &["*.{jpg,png}", "a"]),
            ("a},b", &["a}", "b"]),
            (",,a,", &["a"]),
        ];
        for (text, expected) in cases {
            assert_eq!(
                globs(text).map(|globs| globs.0),
                Ok(expected.iter().map(ToString::to_string).collect())
            );
        }
    }

    #[test]
    fn names_of_shares() {
        assert_eq!(share_name("my photos.zip").as_deref(), Ok("my photos.zip"));
        for wrong in ["", ".", "..", "../x", "a/b", "/a", ".hidden", "a\0b", "CON", "a\nb"] {
            assert!(share_name(wrong).is_err(), "{wrong:?}");
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
