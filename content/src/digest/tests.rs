//! Digests are `b3sum`'s, and print as they parse.

use super::*;

#[test]
fn the_digest_of_nothing_is_the_published_one() {
    let hex = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(Digest::of(b"").to_string(), hex);
    assert_eq!(hex.parse(), Ok(Digest::of(b"")));
    assert_eq!(hex.to_uppercase().parse(), Ok(Digest::of(b"")));
}

#[test]
fn anything_but_64_hex_digits_is_refused() {
    let hex = Digest::of(b"x").to_string();
    let (long, longer, wrong, spaced) =
        (format!("{hex}0"), format!("{hex}00"), format!("g{}", &hex[1..]), format!(" {}", &hex[1..]));
    for bad in ["", &hex[1..], &hex[2..], &long, &longer, &wrong, &spaced] {
        assert_eq!(bad.parse::<Digest>(), Err(ParseDigestError), "{bad:?}");
    }
}
