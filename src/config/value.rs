//! The small value types of the file that several sections share: durations, networks, secret text.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::de::{Deserialize, Deserializer, Error};
use toml::Value;

use super::section::Section;

/// A length of time such as `"30s"` or `"1h 30m"`.
#[derive(Clone, Copy)]
struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Value::String(text) = Value::deserialize(deserializer)? else {
            return Err(D::Error::custom("expected a duration in quotes, such as \"30s\""));
        };
        let span = humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format!("`{text}` is not a duration such as \"30s\": {error}"))
        })?;
        Ok(Self(span))
    }
}

/// Reads a timeout; zero is a mistake, because it would end everything at once instead of never.
pub(super) fn timeout(section: &mut Section<'_>, key: &'static str, default: Duration) -> Duration {
    let nonzero = |span: &Span| {
        if span.0.is_zero() { Err("must be longer than zero".to_owned()) } else { Ok(()) }
    };
    section.checked(key, Span(default), nonzero).0
}

/// How long a login may wait for somebody else.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Reads a timeout of something that a login waits for.
pub(super) fn short_timeout(section: &mut Section<'_>, key: &'static str, default: Duration) -> Duration {
    let given = timeout(section, key, default);
    if given > LONGEST_WAIT {
        section.error(key, format!("must not be longer than {LONGEST_WAIT:?}"));
    }
    given
}

/// The same for what has no default.
pub(super) fn optional_timeout(section: &mut Section<'_>, key: &'static str) -> Option<Duration> {
    section.has(key).then(|| timeout(section, key, Duration::MAX))
}

/// Reads a length of time that may be zero.
pub(super) fn span(section: &mut Section<'_>, key: &'static str, default: Duration) -> Duration {
    section.field(key, Span(default)).0
}

/// Reads a path, where the empty one is none.
pub(super) fn path(section: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    Some(section.field(key, PathBuf::new())).filter(|path| !path.as_os_str().is_empty())
}

/// An address to listen on, such as `0.0.0.0:2121` or `[::]:2121`.
#[derive(Clone, Copy)]
pub(super) struct Listen(pub(super) SocketAddr);

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address = text.parse().map_err(|_| {
            D::Error::custom(format!("`{text}` is not an address and a port, such as \"0.0.0.0:2121\""))
        })?;
        Ok(Self(address))
    }
}

/// A network in CIDR form, or a single address.
#[derive(Clone, Copy)]
pub(super) struct Network(pub(super) IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network
            .map(|network| Self(network.trunc()))
            .map_err(|_| D::Error::custom(format!("`{text}` is not a network such as \"10.0.0.0/8\"")))
    }
}

/// Text that must not be repeated, not even in the message that says that it is wrong.
#[derive(Clone)]
pub(super) struct SecretText(pub(super) SecretString);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text.into())),
            other => Err(D::Error::custom(format!("expected a string, found {}", other.type_str()))),
        }
    }
}

/// A store option: text, a number or a truth value, kept as secret text because it may be a key.
pub(super) struct OptionText(pub(super) SecretString);

impl<'de> Deserialize<'de> for OptionText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text.into())),
            Value::Integer(number) => Ok(Self(number.to_string().into())),
            Value::Boolean(truth) => Ok(Self(truth.to_string().into())),
            other => Err(D::Error::custom(format!(
                "expected a string, an integer or a boolean, found {}",
                other.type_str()
            ))),
        }
    }
}
