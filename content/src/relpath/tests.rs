//! Hostile names, each at every place in a path, and the honest ones beside them.

use std::path::{Component, Path};

use proptest::{collection::vec, prelude::*};

use super::{ParsePathError::*, *};

/// Names that must never get through, wherever in a path they stand.
fn hostile_names() -> Vec<(String, ParsePathError)> {
    let mut names: Vec<(String, ParsePathError)> = [
        ("", EmptyComponent),
        (".", Dots),
        ("..", Dots),
        ("C:", Drive),
        ("c:", Drive),
        ("Z:evil", Drive),
        ("C:..", Drive),
        ("\\", Backslash),
        ("..\\", Backslash),
        ("..\\..\\evil", Backslash),
        ("\\\\server\\share", Backslash),
        ("\\\\?\\C:\\evil", Backslash),
        ("\\\\.\\PhysicalDrive0", Backslash),
        ("a\\b", Backslash),
        ("a\0b", Control),
        ("..\0", Control),
        ("\0", Control),
        ("a\nb", Control),
        ("a\rb", Control),
        ("a\tb", Control),
        ("\u{1b}]0;title\u{7}", Control),
        ("\u{1b}[2J", Control),
        ("\u{7f}", Control),
        ("\u{80}", Control),
        ("\u{9b}31m", Control),
    ]
    .map(|(name, error)| (name.to_owned(), error))
    .to_vec();
    names.push(("x".repeat(MAX_COMPONENT_LEN + 1), ComponentTooLong));
    names.push(("é".repeat(128), ComponentTooLong));
    // Every C0 and C1 control, in the middle of an innocent name.
    names.extend((0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32).map(|c| (format!("a{c}b"), Control)));
    names
}

#[test]
fn hostile_names_are_refused_wherever_they_stand() {
    let mut vectors = 0;
    for (name, error) in hostile_names() {
        for path in [name.clone(), format!("{name}/x"), format!("x/{name}/y"), format!("x/y/{name}")] {
            let error = match path.as_bytes() {
                [] => Empty,
                [b'/', ..] => Absolute,
                _ => error,
            };
            assert_eq!(RelPath::parse(&path), Err(error), "{path:?}");
            vectors += 1;
        }
    }
    assert!(vectors >= 200, "{vectors} vectors");
}

#[test]
fn ways_out_are_refused() {
    let check = |path: &str, error| assert_eq!(path.parse::<RelPath>(), Err(error), "{path:?}");
    for path in ["/", "//", "/etc/passwd", "//server/share", "/../x"] {
        check(path, Absolute);
    }
    for path in ["a/../../x", "../x", "a/..", "./a", "a/./b", "a/b/../../../x"] {
        check(path, Dots);
    }
    for path in ["a/", "a//b", "a/b//"] {
        check(path, EmptyComponent);
    }
}

#[test]
fn honest_names_are_kept_as_they_are() {
    let longest = "x".repeat(MAX_COMPONENT_LEN);
    let names =
        ["...", "..a", "a..", "-rf", "~", "$HOME", "a b", " ", "1234:2,S", "日本語", "e\u{301}", "👩‍👩‍👧"];
    for name in names.into_iter().chain([".hidden", "CON", "*", "a?b", &longest]) {
        for path in [name.to_owned(), format!("{name}/x"), format!("x/{name}")] {
            let parsed = RelPath::parse(&path).unwrap();
            assert_eq!(parsed.as_str(), path);
            assert_eq!(parsed.to_string(), path);
        }
    }
}

#[test]
fn limits_are_exact() {
    let deepest = ["d"; MAX_PATH_DEPTH].join("/");
    assert!(RelPath::parse(&deepest).is_ok());
    assert_eq!(RelPath::parse(&format!("{deepest}/d")), Err(TooDeep));
    // Four names of 255 and their slashes are 1024 bytes; the last slash makes room for one more name.
    let longest = format!("{}x/y", format!("{}/", "x".repeat(MAX_COMPONENT_LEN)).repeat(4));
    let longest = &longest[longest.len() - MAX_PATH_LEN..];
    assert!(RelPath::parse(longest).is_ok());
    assert_eq!(RelPath::parse(&format!("{longest}y")), Err(TooLong));
    let component = "x".repeat(MAX_COMPONENT_LEN);
    assert!(RelPath::parse(&component).is_ok());
    assert_eq!(RelPath::parse(&format!("{component}x")), Err(ComponentTooLong));
}

#[test]
fn paths_sort_by_bytes_and_know_their_folders() {
    let paths = ["B", "a", "a-b", "a/b", "a/b/c", "é"].map(|p| RelPath::parse(p).unwrap());
    assert!(paths.is_sorted());
    let deep = RelPath::parse("a/b/c").unwrap();
    assert_eq!(deep.components().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(deep.ancestors().collect::<Vec<_>>(), ["a", "a/b"]);
    assert_eq!(paths[1].ancestors().count(), 0);
}

proptest! {
    #[test]
    fn whatever_is_accepted_stays_below_its_folder(
        parts in vec(prop_oneof!["\\PC{0,4}", Just("..".to_owned()), "[a-c.\\\\/:]{0,4}"], 0..5),
    ) {
        let text = parts.join("/");
        if let Ok(path) = RelPath::parse(&text) {
            prop_assert_eq!(path.as_str(), &text);
            let below = Path::new(path.as_str());
            prop_assert!(Path::new("root").join(below).starts_with("root"));
            prop_assert!(below.components().all(|c| matches!(c, Component::Normal(_))));
            prop_assert_eq!(below.components().count(), path.components().count());
        }
    }
}
