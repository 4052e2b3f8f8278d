//! `bucketport status`: asks a running gateway over HTTP and shows what it says, once or again and again.

mod table;

use std::io::{IsTerminal, Write, stderr, stdout};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::config::{HttpConfig, read_admin_token};
use crate::http::Report;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often a page that stays is made anew.
const PERIOD: Duration = Duration::from_secs(2);
/// Clears the terminal and goes to its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Where the gateway is, and what shows that one may see more.
#[derive(Debug)]
pub(crate) struct Gateway {
    url: Url,
    token: Option<SecretString>,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As tables.
    Tables,
    /// As it comes.
    Json,
}

impl Form {
    fn of(self, text: String) -> anyhow::Result<String> {
        Ok(match self {
            Self::Json => text,
            Self::Tables => {
                table::render(&serde_json::from_str::<Report>(&text).context("not a gateway's status")?)
            }
        })
    }
}

/// How often it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Once,
    /// Until the program is ended.
    Again,
}

impl Gateway {
    /// The gateway at `url`, else that of `config`; with the token in `token_file`, else that of `config`.
    pub(crate) fn find(
        url: Option<Url>,
        token_file: Option<PathBuf>,
        config: Option<&HttpConfig>,
    ) -> anyhow::Result<Self> {
        let url = match (url, config) {
            (Some(url), _) => url,
            (None, Some(config)) => local(config.listen).parse()?,
            (None, None) => local(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))).parse()?,
        };
        let file = token_file.or_else(|| config?.admin_token_file.clone());
        let token = file.map(|file| read_admin_token(&file).map_err(anyhow::Error::msg)).transpose()?;
        Ok(Self { url, token })
    }

    /// Writes its status to `out`. That `out` takes no more is an [`std::io::Error`] in itself.
    pub(crate) fn show(&self, form: Form, times: Times, out: &mut impl Write) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            // Programs read what is not on a terminal.
            let clear = if form == Form::Tables && stdout().is_terminal() { CLEAR } else { "" };
            let mut was_there = false;
            loop {
                let shown = self.ask().await.and_then(|text| form.of(text));
                match (times, shown) {
                    (Times::Once, shown) => {
                        write!(out, "{}", shown?)?;
                        return Ok(out.flush()?);
                    }
                    (Times::Again, Ok(shown)) => {
                        was_there = true;
                        writeln!(out, "{clear}{}", shown.trim_end())?;
                    }
                    (Times::Again, Err(error)) if !was_there => return Err(error),
                    // One that starts again is there again in a moment. Nothing can be done about a closed terminal.
                    (Times::Again, Err(error)) => drop(writeln!(stderr(), "{error:#}")),
                }
                out.flush()?;
                tokio::time::sleep(PERIOD).await;
            }
        })
    }

    async fn ask(&self) -> anyhow::Result<String> {
        let url = self.url.join("status.json")?;
        let client = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build()?;
        let mut request = client.get(url.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = request
            .send()
            .await
            .map_err(|error| anyhow::anyhow!("cannot reach {url}: {}", root_cause(&error)))?;
        let status = answer.status();
        let text = answer.text().await.with_context(|| format!("cannot read from {url}"))?;
        match status.as_u16() {
            200 => Ok(text),
            401 => anyhow::bail!("{url} says that this is not its admin token"),
            _ => anyhow::bail!("{url} answers {status}"),
        }
    }
}

/// The sentence that tells most, without those that repeat the address.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The URL of a gateway that listens there, for this machine.
fn local(listen: SocketAddr) -> String {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    format!("http://{}/", SocketAddr::new(address, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_here() {
        for (listen, url) in [
            ("0.0.0.0:8080", "http://127.0.0.1:8080/"),
            ("[::]:80", "http://[::1]:80/"),
            ("10.1.2.3:9", "http://10.1.2.3:9/"),
        ] {
            assert_eq!(local(listen.parse().expect("an address")), url);
        }
    }
}
