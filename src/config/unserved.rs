//! Keys of `[ftp]` whose features this version does not serve.
//!
//! They are read and checked, and a value that would turn a feature on is a mistake: nobody shall believe that
//! something is on when it is not.

use super::section::Section;

/// Takes the keys of the features that are not served out of `[ftp]`.
pub(super) fn read(ftp: &mut Section<'_>) {
    let encoding = ftp.field("filename_encoding", "utf-8".to_owned());
    if !["utf-8", "utf8"].contains(&encoding.to_ascii_lowercase().as_str()) {
        refuse(ftp, "filename_encoding", "an encoding other than utf-8");
    }
}

fn refuse(section: &Section<'_>, key: &str, feature: &str) {
    section.error(key, format!("{feature} is not supported by this version"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::error::Report;

    fn mistakes(text: &str) -> Vec<String> {
        let report = Report::default();
        let mut section = Section::root(text.parse().expect("TOML"), &report);
        read(&mut section);
        section.finish();
        report.into_errors().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_would_turn_a_feature_on_is_refused() {
        let found = mistakes("filename_encoding = \"gbk\"");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("filename_encoding")
                && found[0].ends_with("is not supported by this version"),
            "{found:?}"
        );
    }

    #[test]
    fn values_that_turn_nothing_on_are_accepted_and_their_types_checked() {
        assert_eq!(mistakes("filename_encoding = \"UTF-8\""), [""; 0]);
        assert_eq!(mistakes("filename_encoding = 8").len(), 1);
    }
}
