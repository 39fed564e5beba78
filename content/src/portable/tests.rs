//! Names that Windows and macOS cannot hold, and names that no stranger may choose for us.

use proptest::prelude::*;

use super::*;

fn problems(paths: &[&str]) -> Vec<String> {
    let paths: Vec<RelPath> = paths.iter().map(|p| RelPath::parse(p).unwrap()).collect();
    portability_problems(paths.iter()).iter().map(Problem::to_string).collect()
}

#[test]
fn portable_names_are_no_problem() {
    let names = [
        "console", "con1", "a.con", "CO", "COM", "COM10", "COMA", "LPT", "NULL", "xcon", ".con", "é", "a b",
        "a.b",
    ];
    assert_eq!(problems(&names), [""; 0]);
    assert_eq!(problems(&["a", "b/a", "b/c", "b/d/a"]), [""; 0]);
    assert_eq!(problems(&[]), [""; 0]);
}

#[test]
fn reserved_names_are_found_in_any_case_and_with_any_extension() {
    let mut names: Vec<String> =
        ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].map(str::to_owned).to_vec();
    for kind in ["COM", "LPT"] {
        names.extend("0123456789¹²³".chars().map(|digit| format!("{kind}{digit}")));
    }
    for name in names {
        for form in [name.clone(), name.to_lowercase(), format!("{name}.txt"), format!("{name} .tar.gz")] {
            let path = RelPath::parse(&format!("folder/{form}")).unwrap();
            let problem = Problem::Reserved { path: path.clone(), name: form };
            assert_eq!(portability_problems([&path].into_iter()), [problem]);
        }
    }
}

#[test]
fn every_problem_has_its_sentence() {
    let paths = [
        "aux/deep/file",
        "aux/other",
        "what?",
        "a<b",
        "dot.",
        "space /x",
        "README",
        "readme",
        "Src/a",
        "src/b",
        "src/c",
        "caf\u{e9}",
        "cafe\u{301}",
        "STRASSE",
        "straße",
        "\u{212a}",
        "k",
        "x/y",
        "X",
    ];
    insta::assert_snapshot!(problems(&paths).join("\n"), @r#"
    "aux/deep/file": Windows reserves the name "aux"
    "what?": Windows allows no '?' in a name
    "a<b": Windows allows no '<' in a name
    "dot.": Windows drops the last character of "dot."
    "space /x": Windows drops the last character of "space "
    "README" and "readme" are one and the same on macOS and Windows
    "Src" and "src" are one and the same on macOS and Windows
    "café" and "cafe\u{301}" are one and the same on macOS and Windows
    "STRASSE" and "straße" are one and the same on macOS and Windows
    "K" and "k" are one and the same on macOS and Windows
    "x" and "X" are one and the same on macOS and Windows
    "#);
}

#[test]
fn collisions_are_found_in_folders_and_said_once() {
    let check = |paths: &[&str], pairs: &[(&str, &str)]| {
        let expected: Vec<String> = pairs
            .iter()
            .map(|(a, b)| Problem::Collision { first: (*a).to_owned(), second: (*b).to_owned() }.to_string())
            .collect();
        assert_eq!(problems(paths), expected, "{paths:?}");
    };
    check(&["A", "a"], &[("A", "a")]);
    check(&["a/x", "A/x", "A/y", "A/z"], &[("a", "A")]);
    check(&["a/x", "b/X"], &[]);
    check(&["a/x", "a/X", "a/x.y"], &[("a/x", "a/X")]);
    check(&["i/I/i", "i/i/i"], &[("i/I", "i/i")]);
    check(&["a", "A/b"], &[("a", "A")]);
    check(&["aa", "aA", "Aa"], &[("aa", "aA"), ("aa", "Aa")]);
}

#[test]
fn many_collisions_take_no_longer_than_many_names() {
    let names: Vec<RelPath> =
        (0..1 << 15).map(|i| RelPath::parse(&spell("abcdefghijklmno", i)).unwrap()).collect();
    assert_eq!(portability_problems(names.iter()).len(), names.len() - 1);
}

/// Writes `text` with those letters in upper case whose bit is set in `mask`.
fn spell(text: &str, mask: usize) -> String {
    let letter = |(i, c): (usize, char)| {
        if mask >> i & 1 == 1 { c.to_ascii_uppercase() } else { c }
    };
    text.chars().enumerate().map(letter).collect()
}

#[test]
fn a_hint_is_one_safe_component_or_nothing() {
    for good in ["holiday.mp4", "日本語.txt", "a b", "-rf", "~", "👩‍👩‍👧.png", &"x".repeat(255)]
    {
        assert_eq!(safe_file_name(good).as_deref(), Some(good));
    }
    let bad = [
        "",
        ".",
        "..",
        "a/b",
        "/a",
        "a/",
        "../a",
        "a\\b",
        "C:",
        "c:x",
        ".bashrc",
        ".ssh",
        "nul",
        "COM1.txt",
        "a.",
        "a ",
        "a?b",
        "a\0",
        "a\n",
        "\u{1b}[2J",
        "photo\u{202e}gpj.exe",
        "a\u{2066}b",
        "\u{200f}a",
        "a\u{2028}b",
    ];
    for bad in bad.into_iter().chain(["x".repeat(256).as_str()]) {
        assert_eq!(safe_file_name(bad), None, "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_hint_is_changed_or_leads_elsewhere(hint in "\\PC{0,20}|[a-cC:./\\\\]{0,5}") {
        if let Some(name) = safe_file_name(&hint) {
            prop_assert_eq!(&name, &hint);
            prop_assert_eq!(std::path::Path::new(&name).file_name(), Some(name.as_ref()));
        }
    }
}
