//! Keys of `[ftp]` whose features this version does not serve.
//!
//! They are read and checked, and a value that would turn a feature on is a mistake: nobody shall believe that
//! something is on when it is not.

use serde::Deserialize;

use super::section::Section;
use super::value::Network;

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProxyProtocol {
    Off,
    Required,
}

/// Takes the keys of the features that are not served out of `[ftp]`.
pub(super) fn read(ftp: &mut Section<'_>) {
    if ftp.field("proxy_protocol", ProxyProtocol::Off) != ProxyProtocol::Off {
        refuse(ftp, "proxy_protocol", "the PROXY protocol");
    }
    ftp.field("proxy_trusted", Vec::<Network>::new());
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
        let expected = ["proxy_protocol: the PROXY protocol is not supported by this version"];
        assert_eq!(mistakes("proxy_protocol = \"required\""), expected);
    }

    #[test]
    fn values_that_turn_nothing_on_are_accepted_and_their_types_checked() {
        let off = r#"
            proxy_protocol = "off"
            proxy_trusted = ["10.0.0.0/8", "192.0.2.1"]
        "#;
        assert_eq!(mistakes(off), [""; 0]);
        assert_eq!(mistakes("proxy_trusted = [\"x\"]\nproxy_protocol = \"on\"").len(), 2);
    }
}
