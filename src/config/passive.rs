//! Where data connections arrive: the passive port range and the address that PASV tells.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::Deserialize;

use super::section::Section;
use super::value::Network;

/// The ports that passive data connections use; never empty, never port 0.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PassivePorts(RangeInclusive<u16>);

impl PassivePorts {
    /// The range, first and last included; `None` when it is empty or begins at 0.
    pub fn new(range: RangeInclusive<u16>) -> Option<Self> {
        (!range.is_empty() && *range.start() != 0).then_some(Self(range))
    }

    /// The ports, first and last included.
    pub fn range(&self) -> RangeInclusive<u16> {
        self.0.clone()
    }
}

impl Default for PassivePorts {
    fn default() -> Self {
        Self(50000..=50099)
    }
}

impl TryFrom<String> for PassivePorts {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let range = first.trim().parse().ok().zip(last.trim().parse().ok());
        range
            .and_then(|(first, last)| Self::new(first..=last))
            .ok_or_else(|| format!("`{text}` is not a range of ports such as \"50000-50099\""))
    }
}

/// The address that PASV replies tell the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PassiveHost {
    /// The address that the client dialled.
    #[default]
    Auto,
    /// This address.
    Address(Ipv4Addr),
    /// What this DNS name resolves to at the time.
    Name(String),
}

impl TryFrom<String> for PassiveHost {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match text.parse() {
            Ok(IpAddr::V4(address)) if address.is_unspecified() => {
                Err(format!("`{text}` is no address that a client can connect to"))
            }
            Ok(IpAddr::V4(address)) => Ok(Self::Address(address)),
            // RFC 959 section 4.1.2: a PASV reply holds four address bytes.
            Ok(IpAddr::V6(_)) => Err(format!("`{text}` is an IPv6 address, PASV can tell only IPv4 ones")),
            Err(_) if is_dns_name(&text) => Ok(Self::Name(text)),
            Err(_) => Err(format!("`{text}` is not \"auto\", an IPv4 address or a DNS name")),
        }
    }
}

/// One of `[[ftp.passive_host_overrides]]`: the address that PASV replies tell clients in these networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassiveHostOverride {
    /// Where the clients are; not empty.
    pub networks: Vec<IpNet>,
    /// What they are told.
    pub host: PassiveHost,
}

impl PassiveHostOverride {
    /// The override, unless it lacks something.
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let networks: Option<Vec<Network>> = section.required("networks");
        let host = section.required("host");
        if networks.as_ref().is_some_and(Vec::is_empty) {
            section.error("networks", "needs at least one network");
        }
        section.finish();
        Some(Self { networks: networks?.into_iter().map(|network| network.0).collect(), host: host? })
    }
}

/// A name of dot-separated labels whose last one is not a number, which would be a mistyped address.
pub(super) fn is_dns_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(legal)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or(name);
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_or_one_port() {
        let range = |text: &str| PassivePorts::try_from(text.to_owned()).map(|ports| ports.range());
        assert_eq!(range("50000-50099"), Ok(50000..=50099));
        assert_eq!(range("1 - 65535"), Ok(1..=65535));
        assert_eq!(range("50000"), Ok(50000..=50000));
        for wrong in ["", "-", "0", "0-5", "6-5", "1-65536", "a-b", "1-2-3", "50000:50099"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn auto_an_ipv4_address_or_a_name() {
        let host = |text: &str| PassiveHost::try_from(text.to_owned());
        assert_eq!(host("auto"), Ok(PassiveHost::Auto));
        assert_eq!(host("203.0.113.7"), Ok(PassiveHost::Address(Ipv4Addr::new(203, 0, 113, 7))));
        for name in ["ftp.example.org", "ftp.example.org.", "localhost", "3com.example", "my_ftp.default.svc"]
        {
            assert_eq!(host(name), Ok(PassiveHost::Name(name.to_owned())));
        }
        for wrong in
            ["", "10.0.0.256", "10.0.0", "0.0.0.0", "::1", "a..b", "-a", "a b", "http://a", "a:21", "é"]
        {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}
