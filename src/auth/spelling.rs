//! Spellings of a name that others take for one: directories read names in any case and in any form of Unicode (RFC 4518).

use icu_normalizer::ComposingNormalizerBorrowed;

/// One text for all spellings that a source might take for this name. It may be the same for other names as well.
pub(super) fn folded(name: &str) -> String {
    let seen: String = name.chars().filter(|&letter| !is_ignored(letter)).collect();
    let words = in_small_letters(&composed(&seen));
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The name as a directory reads it: in small letters and in one form of Unicode, so that several spellings are one user.
/// None where it would pass over something in it, or take it for a space.
pub(super) fn in_directory(name: &str) -> Option<String> {
    let name = composed(name);
    let is_space = |letter: char| letter.is_whitespace() && letter != ' ';
    let is_plain = !name.chars().any(|letter| is_ignored(letter) || is_space(letter));
    // Spaces at an end, or several in a row.
    (is_plain && !name.split(' ').any(str::is_empty)).then(|| in_small_letters(&name))
}

/// There and back again, since some letters have no partner in the other case, as `ß` and `ſ`; and letter by letter, since a
/// word with a sigma at its end would get another one there.
fn in_small_letters(name: &str) -> String {
    let there = name.to_lowercase().to_uppercase();
    composed(&there.chars().flat_map(char::to_lowercase).collect::<String>())
}

fn composed(name: &str) -> String {
    ComposingNormalizerBorrowed::new_nfkc().normalize(name).into_owned()
}

/// What RFC 4518 section 2.2 maps to nothing.
fn is_ignored(letter: char) -> bool {
    letter.is_control() && !letter.is_whitespace()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{6dd}' | '\u{70f}' | '\u{1806}' | '\u{180b}'..='\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffc}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one() {
        for (name, others) in [
            (
                "acme",
                &["ACME", "Acme", "\u{ff41}cme", "a\u{ad}cme", "ac\u{200b}me", " acme ", "a\u{0}cme"][..],
            ),
            ("stra\u{df}e", &["STRASSE", "strasse", "\u{17f}tra\u{1e9e}e"]),
            ("caf\u{e9}", &["cafe\u{301}", "CAF\u{c9}"]),
            ("\u{3bf}\u{3c2}", &["\u{39f}\u{3a3}", "\u{3bf}\u{3c3}"]),
            ("a b", &["a  b", "A\tb", "a\u{a0}b", "\u{3000}a b"]),
        ] {
            for other in others {
                assert_eq!(folded(name), folded(other), "{other:?}");
            }
            assert_ne!(folded(name), folded(&format!("{name}2")));
        }
    }

    #[test]
    fn a_directory_reads_a_name_in_one_way_or_not_at_all() {
        for name in ["acme", "ACME", "\u{ff41}cme"] {
            assert_eq!(in_directory(name).as_deref(), Some("acme"), "{name:?}");
        }
        assert_eq!(in_directory("A b").as_deref(), Some("a b"));
        assert_eq!(in_directory("CAFE\u{301}").as_deref(), Some("caf\u{e9}"));
        // RFC 4518 takes these for one, and so do both functions here.
        for (names, one) in [
            (["stra\u{df}e", "STRASSE", "stra\u{1e9e}e"], "strasse"),
            (["\u{3bf}\u{3c2}", "\u{39f}\u{3a3}", "\u{3bf}\u{3c3}"], "\u{3bf}\u{3c3}"),
            (["\u{1f0}", "J\u{30c}", "j\u{30c}"], "\u{1f0}"),
        ] {
            for name in names {
                assert_eq!(in_directory(name).as_deref(), Some(one), "{name:?}");
                assert_eq!(folded(name), one, "{name:?}");
            }
        }
        for name in
            [" a", "a ", "a  b", "", "a\tb", "a\u{2028}b", "a\u{ad}", "\u{200b}a", "a\u{0}", "\u{a8}a"]
        {
            assert_eq!(in_directory(name), None, "{name:?}");
        }
    }
}
