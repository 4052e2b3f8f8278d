//! Keys of `[ftp]` whose features this version does not serve.
//!
//! They are read and checked, and a value that would turn a feature on is a mistake: nobody shall believe that
//! TLS is on when it is not.

use std::path::PathBuf;

use serde::Deserialize;

use super::section::Section;
use super::value::{Listen, Network};

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProxyProtocol {
    Off,
    Required,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TlsMode {
    Off,
    Optional,
    Required,
}

#[derive(Clone, Copy, Deserialize)]
enum TlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// Takes the keys of the features that are not served out of `[ftp]`, `[ftp.tls]` included.
pub(super) fn read(ftp: &mut Section<'_>) {
    if !ftp.field("implicit_tls_listen", Vec::<Listen>::new()).is_empty() {
        refuse(ftp, "implicit_tls_listen", "implicit TLS");
    }
    if ftp.field("proxy_protocol", ProxyProtocol::Off) != ProxyProtocol::Off {
        refuse(ftp, "proxy_protocol", "the PROXY protocol");
    }
    ftp.field("proxy_trusted", Vec::<Network>::new());
    let encoding = ftp.field("filename_encoding", "utf-8".to_owned());
    if !["utf-8", "utf8"].contains(&encoding.to_ascii_lowercase().as_str()) {
        refuse(ftp, "filename_encoding", "an encoding other than utf-8");
    }
    read_tls(ftp.section("tls"));
}

fn read_tls(mut tls: Section<'_>) {
    if tls.field("mode", TlsMode::Off) != TlsMode::Off {
        refuse(&tls, "mode", "TLS");
    }
    tls.field("certificate", PathBuf::new());
    tls.field("private_key", PathBuf::new());
    tls.field("min_version", TlsVersion::Tls12);
    if !tls.field("client_ca", String::new()).is_empty() {
        refuse(&tls, "client_ca", "accepting client certificates");
    }
    if tls.field("require_session_reuse", false) {
        refuse(&tls, "require_session_reuse", "requiring TLS session reuse");
    }
    tls.finish();
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
        for (text, key) in [
            ("implicit_tls_listen = [\"0.0.0.0:990\"]", "implicit_tls_listen"),
            ("proxy_protocol = \"required\"", "proxy_protocol"),
            ("filename_encoding = \"gbk\"", "filename_encoding"),
            ("tls.mode = \"optional\"", "tls.mode"),
            ("tls.mode = \"required\"", "tls.mode"),
            ("tls.client_ca = \"/ca.pem\"", "tls.client_ca"),
            ("tls.require_session_reuse = true", "tls.require_session_reuse"),
        ] {
            let found = mistakes(text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].starts_with(key) && found[0].ends_with("is not supported by this version"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn values_that_turn_nothing_on_are_accepted_and_their_types_checked() {
        let off = r#"
            implicit_tls_listen = []
            proxy_protocol = "off"
            proxy_trusted = ["10.0.0.0/8", "192.0.2.1"]
            filename_encoding = "UTF-8"
            [tls]
            mode = "off"
            certificate = "/tls/tls.crt"
            private_key = "/tls/tls.key"
            min_version = "1.3"
            client_ca = ""
            require_session_reuse = false
        "#;
        assert_eq!(mistakes(off), [""; 0]);
        assert_eq!(mistakes("proxy_trusted = [\"x\"]\ntls.min_version = \"1.1\"").len(), 2);
        assert_eq!(
            mistakes("tls.certificat = \"x\""),
            ["tls.certificat: unknown key, did you mean `certificate`?"]
        );
    }
}
