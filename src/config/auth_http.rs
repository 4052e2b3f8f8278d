//! `[auth.http]`: a service that is asked whether a user may log in.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::schema::Schema;
use super::section::Section;
use super::users::Offered;
use super::value::{path, short_timeout, span};

/// `[auth.http]`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpAuth {
    /// Where the question is posted: `http` or `https`, without a name and a password in it.
    pub url: Url,
    /// How long the answer may take.
    pub timeout: Duration,
    /// How long a positive answer holds; zero asks each time.
    pub cache: Duration,
    /// A file with a token that the service knows the gateway by; read each time.
    pub bearer_token_file: Option<PathBuf>,
    /// How its users are read.
    pub schema: Schema,
}

impl HttpAuth {
    /// None where there is no URL, or a wrong one, which is reported.
    pub(super) fn read(mut section: Section<'_>, offered: Offered<'_>) -> Option<Self> {
        let text = section.field("url", String::new());
        let timeout = short_timeout(&mut section, "timeout", Duration::from_secs(5));
        let cache = span(&mut section, "cache", Duration::ZERO);
        let bearer_token_file = path(&mut section, "bearer_token_file");
        let url = match (text.as_str(), parse(&text)) {
            ("", _) => None,
            (_, Ok(url)) => Some(url),
            (_, Err(message)) => {
                section.error("url", message);
                None
            }
        };
        section.finish();
        Some(Self { url: url?, timeout, cache, bearer_token_file, schema: Schema::new(offered) })
    }
}

/// The message does not repeat the text, in which a password may be.
fn parse(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL such as \"https://accounts.example/login\"")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a name or a password, a token belongs in bearer_token_file");
    }
    Ok(url)
}
