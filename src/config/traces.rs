//! `[traces]`: where spans are sent.

use url::Url;

use super::section::Section;

/// `[traces]`, where there is an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct TracesConfig {
    /// Where OTLP over HTTP takes spans.
    pub endpoint: Url,
    /// The share of sessions that are traced; 0 to 1.
    pub sample_ratio: f64,
}

/// What OTLP over HTTP puts after a collector's own URL.
const SPANS: &str = "v1/traces";

impl TracesConfig {
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let endpoint = section.checked("otlp_endpoint", String::new(), |text| match spans_of(text) {
            _ if text.is_empty() => Ok(()),
            Some(_) => Ok(()),
            None => Err(format!("`{text}` is not a URL such as \"http://collector:4318\"")),
        });
        let sample_ratio = section.checked("sample_ratio", 1.0, |ratio: &f64| {
            if (0.0..=1.0).contains(ratio) { Ok(()) } else { Err("must be between 0.0 and 1.0".to_owned()) }
        });
        section.finish();
        Some(Self { endpoint: spans_of(&endpoint)?, sample_ratio })
    }
}

/// Where the collector at this URL takes spans.
fn spans_of(text: &str) -> Option<Url> {
    let text = format!("{}/{SPANS}", text.strip_suffix('/').unwrap_or(text));
    Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::error::Report;

    fn read(text: &str) -> (Option<TracesConfig>, Vec<String>) {
        let report = Report::default();
        let config = TracesConfig::read(Section::root(text.parse().expect("TOML"), &report));
        (config, report.into_errors().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn no_endpoint_is_no_traces() {
        assert_eq!(read(""), (None, Vec::new()));
        assert_eq!(read("sample_ratio = 0.5"), (None, Vec::new()));
    }

    #[test]
    fn spans_have_a_path_of_their_own() {
        for given in ["http://collector:4318", "http://collector:4318/"] {
            let (config, mistakes) = read(&format!("otlp_endpoint = \"{given}\"\nsample_ratio = 0.1"));
            assert_eq!(mistakes, [""; 0]);
            let config = config.expect("an endpoint");
            assert_eq!(
                (config.endpoint.as_str(), config.sample_ratio),
                ("http://collector:4318/v1/traces", 0.1)
            );
        }
    }

    #[test]
    fn mistakes() {
        for (text, message) in [
            ("otlp_endpoint = \"collector:4317\"", "otlp_endpoint: `collector:4317` is not a URL"),
            ("otlp_endpoint = \"grpc://collector\"", "otlp_endpoint: `grpc://collector` is not a URL"),
            ("sample_ratio = 1.5", "sample_ratio: must be between"),
        ] {
            let mistakes = read(text).1;
            assert!(mistakes.len() == 1 && mistakes[0].starts_with(message), "{mistakes:?}");
        }
    }
}
