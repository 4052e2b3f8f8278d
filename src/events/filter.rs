//! Which events a sink is told of.

use glob::MatchOptions;

use crate::config::{EventFilter, EventType};

/// What is known of an event before it happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) kind: EventType,
    pub(super) user: Option<&'a str>,
    pub(super) paths: &'a [&'a str],
}

/// A star stays within a name, two go through folders.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Whether all parts of `filter` let it pass. What has no path does not pass one that names paths.
pub(super) fn passes(filter: &EventFilter, about: &About<'_>) -> bool {
    let matches = |path: &&str| filter.paths.iter().any(|pattern| pattern.matches_with(path, OPTIONS));
    (filter.types.is_empty() || filter.types.contains(&about.kind))
        && (filter.users.is_empty() || about.user.is_some_and(|user| filter.users.contains(user)))
        && (filter.paths.is_empty() || about.paths.iter().any(matches))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(types: &[EventType], users: &[&str], paths: &[&str]) -> EventFilter {
        EventFilter {
            types: types.iter().copied().collect(),
            users: users.iter().map(|&user| user.to_owned()).collect(),
            paths: paths.iter().map(|path| path.parse().expect("a pattern")).collect(),
        }
    }

    #[test]
    fn every_part_has_to_let_it_pass() {
        let about = About { kind: EventType::Upload, user: Some("acme"), paths: &["/in/a/b.csv"] };
        let login = About { kind: EventType::Login, user: Some("acme"), paths: &[] };
        assert!(passes(&filter(&[], &[], &[]), &about) && passes(&filter(&[], &[], &[]), &login));
        assert!(passes(&filter(&[EventType::Upload], &["acme"], &["/in/**"]), &about));
        assert!(!passes(&filter(&[EventType::Download], &[], &[]), &about));
        assert!(!passes(&filter(&[], &["other"], &[]), &about));
        assert!(!passes(&filter(&[], &[], &["/**"]), &login));
        assert!(!passes(&filter(&[], &["acme"], &[]), &About { user: None, ..login }));
    }

    #[test]
    fn paths_are_matched_by_pattern() {
        let matches = |pattern, paths: &[&str]| {
            passes(&filter(&[], &[], &[pattern]), &About { kind: EventType::Rename, user: None, paths })
        };
        assert!(matches("/in/*.csv", &["/in/a.csv"]) && !matches("/in/*.csv", &["/in/x/a.csv"]));
        assert!(matches("/in/**/*.csv", &["/in/a.csv"]) && matches("/in/**/*.csv", &["/in/x/y/a.csv"]));
        assert!(matches("/in/**", &["/in/.hidden/é"]) && !matches("/in/**", &["/other/a"]));
        assert!(matches("/in/*", &["/out/a", "/in/a"]), "a rename by its old path or its new one");
    }
}
