//! Makes text of strangers safe to look at.

use std::borrow::Cow;

/// `text` with every character replaced that could move the cursor, change the terminal or reorder what is read.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(unsafe_to_show) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if unsafe_to_show(c) {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and those that set the direction of text.
fn unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn terminal_sequences_and_bidi_controls_are_shown_not_obeyed() {
        assert_eq!(escape("\x1b]0;owned\x07"), r"\u{1b}]0;owned\u{7}");
        assert_eq!(escape("photo\u{202e}gpj.exe"), r"photo\u{202e}gpj.exe");
        assert_eq!(escape("a\nb\u{9b}31m\u{7f}\u{2066}"), r"a\u{a}b\u{9b}31m\u{7f}\u{2066}");
    }

    #[test]
    fn everything_else_is_left_alone() {
        for text in ["", "plain", "Grüße, 世界 🐟", r"C:\back\slash"] {
            assert_eq!(escape(text), text);
        }
    }
}
