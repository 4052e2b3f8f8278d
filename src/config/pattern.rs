//! Patterns for names of files and directories.

use serde::Deserialize;

/// A pattern for one name: `*`, `?`, `[…]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NamePattern(glob::Pattern);

/// Capitals make no difference: what is called `VIRUS.EXE` is meant by `*.exe`. A `*` matches a leading dot as well.
const MATCHING: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: false,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl NamePattern {
    /// Whether it matches all of `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.0.matches_with(name, MATCHING)
    }

    /// As the configuration writes it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for NamePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a pattern is empty".to_owned());
        }
        if text.contains('/') || text.chars().any(char::is_control) {
            return Err(format!("`{}` matches no name", text.escape_debug()));
        }
        let pattern = glob::Pattern::new(&text);
        pattern.map(Self).map_err(|error| format!("`{text}` is no pattern: {}", error.msg))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Result<NamePattern, String> {
        NamePattern::try_from(text.to_owned())
    }

    #[test]
    fn patterns_match_whole_names_in_any_case() {
        for (text, name, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "A.CSV", true),
            ("*.csv", "a.csv.exe", false),
            ("*.CSV", ".csv", true),
            (".*", ".profile", true),
            (".*", "a.b", false),
            ("@eaDir", "@EADIR", true),
            ("img_????.jp*g", "IMG_0001.jpeg", true),
            ("[0-9]*", "7up", true),
            ("[!a-z]*", "x", false),
            ("[[]x]", "[x]", true),
            ("*", "é", true),
        ] {
            assert_eq!(pattern(text).expect(text).matches(name), expected, "{text} {name}");
        }
    }

    #[test]
    fn what_can_match_no_name_is_a_mistake() {
        for wrong in ["", "a/b", "**/x", "a\nb", "[", "a***"] {
            assert!(pattern(wrong).is_err(), "{wrong:?}");
        }
    }
}
