//! A folder in a store that can depend on who logs in and when.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// A folder in a store: segments joined by `/`, none of them `.` or `..`, without a slash at either end; empty for the
/// store's root. It can have placeholders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Home(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    User,
    Time(&'static Part),
}

/// A placeholder for a part of the time at login, in UTC.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    name: &'static str,
    format: &'static str,
}

const USER: &str = "user";
static PARTS: [Part; 4] = [
    Part { name: "year", format: "%Y" },
    Part { name: "month", format: "%m" },
    Part { name: "day", format: "%d" },
    Part { name: "hour", format: "%H" },
];

/// Why a user has no such folder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of the user makes no folder of `{0}`")]
pub struct NoFolder(Home);

impl Home {
    /// The folder of the user named `name` who logs in at `now`. Fails if the name would lead elsewhere: names of users can
    /// be others' choice.
    pub fn of(&self, name: &str, now: DateTime<Utc>) -> Result<String, NoFolder> {
        let mut folder = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => folder.push_str(text),
                Piece::User
                    if name.is_empty() || name.contains('/') || name.chars().any(char::is_control) =>
                {
                    return Err(NoFolder(self.clone()));
                }
                Piece::User => folder.push_str(name),
                Piece::Time(part) => folder.push_str(&now.format(part.format).to_string()),
            }
        }
        // The text around a placeholder can make one of these of a name.
        if folder.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(NoFolder(self.clone()));
        }
        Ok(folder)
    }

    /// Whether the one lies in the other, or is it, whoever logs in.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let (one, other) = (self.to_string(), other.to_string());
        one.is_empty()
            || other.is_empty()
            || format!("{one}/").starts_with(&format!("{other}/"))
            || format!("{other}/").starts_with(&format!("{one}/"))
    }
}

impl TryFrom<String> for Home {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = folder(&text)?;
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let Some((name, after)) = rest.split_once('}').filter(|_| brace == "{") else {
                return Err(format!("`{brace}` stands alone, `{brace}{brace}` is one in a name"));
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::named(name)?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }
}

impl Piece {
    fn named(name: &str) -> Result<Self, String> {
        if name == USER {
            return Ok(Self::User);
        }
        PARTS.iter().find(|part| part.name == name).map(Self::Time).ok_or_else(|| {
            let known: Vec<String> = PARTS.iter().map(|part| format!("{{{}}}", part.name)).collect();
            format!("`{{{name}}}` is not known; {{{USER}}}, {} are", known.join(", "))
        })
    }
}

impl fmt::Display for Home {
    /// As the configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Piece::User => write!(f, "{{{USER}}}")?,
                Piece::Time(part) => write!(f, "{{{}}}", part.name)?,
            }
        }
        Ok(())
    }
}

/// A path of folders, made normal: without a slash at either end, empty segments left out.
pub(super) fn folder(text: &str) -> Result<String, String> {
    let segments: Vec<&str> = text.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
        return Err("must not hold `.` or `..`".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    Ok(segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(text: &str) -> Home {
        Home::try_from(text.to_owned()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    fn of(text: &str, user: &str) -> Option<String> {
        let now = "2026-03-04T05:59:00Z".parse().expect("a time");
        home(text).of(user, now).ok()
    }

    #[test]
    fn homes_stay_inside_the_store() {
        for wrong in ["..", "a/../b", "./a", "a/.", "a\tb"] {
            assert!(Home::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
        }
        assert_eq!(of("/a//..b/c.d/", "x").as_deref(), Some("a/..b/c.d"));
        assert_eq!(of("/", "x").as_deref(), Some(""));
    }

    #[test]
    fn placeholders_are_the_user_and_the_time_in_utc() {
        for (text, expected) in [
            ("in/{user}", "in/acme"),
            ("{user}/{year}/{month}/{day}/{hour}", "acme/2026/03/04/05"),
            ("{year}-{month}-{day}.{user}", "2026-03-04.acme"),
            ("{{user}}/{{{user}}}", "{user}/{acme}"),
            ("a}}b{{", "a}b{"),
        ] {
            assert_eq!(of(text, "acme").as_deref(), Some(expected), "{text}");
            assert_eq!(home(&home(text).to_string()), home(text), "{text} is shown as it is read");
        }
        for (wrong, why) in [
            ("{users}", "`{users}` is not known; {user}, {year}, {month}, {day}, {hour} are"),
            ("{}", "`{}` is not known; {user}, {year}, {month}, {day}, {hour} are"),
            ("a{user", "`{` stands alone, `{{` is one in a name"),
            ("user}", "`}` stands alone, `}}` is one in a name"),
        ] {
            assert_eq!(Home::try_from(wrong.to_owned()), Err(why.to_owned()), "{wrong}");
        }
    }

    #[test]
    fn a_name_that_would_lead_elsewhere_makes_no_folder() {
        for name in ["..", ".", "a/b", "/", "../other", "", "a\0", "a\nb"] {
            assert_eq!(of("in/{user}", name), None, "{name:?}");
            assert!(of("in", name).is_some(), "{name:?}");
        }
        for name in ["...", "a..b", "..a", "%2e%2e", "é", " a", "{year}", "\\..\\"] {
            assert_eq!(of("in/{user}", name), Some(format!("in/{name}")), "{name:?}");
        }
        assert_eq!(of("in/.{user}", "."), None);
        assert_eq!(of("in/.{user}", "a").as_deref(), Some("in/.a"));
    }

    #[test]
    fn homes_overlap_if_one_is_in_the_other() {
        for (one, other, expected) in [
            ("a", "a", true),
            ("a", "a/b", true),
            ("", "b", true),
            ("a", "ab", false),
            ("a/b", "a/c", false),
            ("in", "in/{user}", true),
            ("in/{user}", "in/{year}", false),
        ] {
            assert_eq!(home(one).overlaps(&home(other)), expected, "{one} {other}");
            assert_eq!(home(other).overlaps(&home(one)), expected, "{other} {one}");
        }
    }
}
