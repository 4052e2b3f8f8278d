//! `[cluster]`: several replicas behind one address, of which any takes any data connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use toml::Value;

use super::passive::{PassivePorts, is_dns_name};
use super::section::Section;
use super::value::{Listen, SecretText};

/// What stands for a replica's number in `peers`.
const ORDINAL: &str = "{ordinal}";
/// Whoever connects is shown a proof of it, on which shorter ones could be tried.
const SHORTEST_SECRET: usize = 16;

/// `[cluster]`, when there is more than one replica.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Who announces which passive ports.
    pub slices: Slices,
    /// Which replica this is; one of the slices is its own.
    pub ordinal: u16,
    /// Where each replica takes connections that the others hand on, by its ordinal.
    pub peers: Vec<Peer>,
    /// Where this one does.
    pub listen: SocketAddr,
    /// What the replicas know each other by.
    pub secret: SecretString,
}

/// The passive range in one piece for each replica, none of them empty. They depend on nothing but the range and the most
/// replicas that there will ever be, so no port changes its owner when replicas come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slices {
    ports: PassivePorts,
    replicas: u16,
}

impl Slices {
    /// None if there are fewer ports than replicas, or no replica.
    pub fn new(ports: PassivePorts, replicas: u16) -> Option<Self> {
        let slices = Self { ports, replicas };
        (replicas > 0 && slices.count() >= u32::from(replicas)).then_some(slices)
    }

    /// The ports of one replica.
    pub fn of(&self, ordinal: u16) -> RangeInclusive<u16> {
        let end = |ordinal: u32| {
            let offset = self.count() * ordinal / u32::from(self.replicas);
            u16::try_from(u32::from(self.first()) + offset - 1).expect("in a range of ports")
        };
        let before = u32::from(ordinal);
        let first = if ordinal == 0 { self.first() } else { end(before) + 1 };
        first..=end(before + 1)
    }

    /// Whose slice holds a port of the range.
    pub fn owner(&self, port: u16) -> u16 {
        let index = u32::from(port.saturating_sub(self.first()));
        let owner = ((index + 1) * u32::from(self.replicas) - 1) / self.count();
        u16::try_from(owner).expect("less than there are replicas")
    }

    /// The same for replicas that agree on whose each port is, and for no others.
    pub fn to_bytes(&self) -> Vec<u8> {
        let range = self.ports.range();
        [*range.start(), *range.end(), self.replicas].map(u16::to_be_bytes).concat()
    }

    fn first(&self) -> u16 {
        *self.ports.range().start()
    }

    fn count(&self) -> u32 {
        let range = self.ports.range();
        u32::from(*range.end()) - u32::from(*range.start()) + 1
    }
}

/// Where a replica is: an address or a DNS name, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// An address without brackets, or a name.
    pub host: String,
    /// Not 0.
    pub port: u16,
}

impl Peer {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a host and a port such as \"bucketport-0.bucketport-peers:7021\"");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let legal = match bracketed {
            Some(host) => matches!(host.parse(), Ok(IpAddr::V6(_))),
            None => host.parse::<Ipv4Addr>().is_ok() || is_dns_name(host),
        };
        let port = port.parse().ok().filter(|&port| port != 0 && legal).ok_or_else(wrong)?;
        Ok(Self { host: bracketed.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// `peers` as it is written.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Value")]
enum Peers {
    /// With `{ordinal}` in it.
    Pattern(String),
    /// One for each replica.
    Each(Vec<String>),
}

impl TryFrom<Value> for Peers {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let wrong =
            || format!("expected a text with {ORDINAL} in it, or a list with a text for each replica");
        match value {
            Value::String(pattern) if pattern.contains(ORDINAL) => Ok(Self::Pattern(pattern)),
            each @ Value::Array(_) => each.try_into().map(Self::Each).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

impl Peers {
    fn of(self, replicas: u16) -> Result<Vec<Peer>, String> {
        match self {
            Self::Pattern(pattern) => {
                (0..replicas).map(|each| Peer::parse(&pattern.replace(ORDINAL, &each.to_string()))).collect()
            }
            Self::Each(each) if each.len() != usize::from(replicas) => {
                Err(format!("needs one for each of {replicas} replicas and has {}", each.len()))
            }
            Self::Each(each) => each.iter().map(|peer| Peer::parse(peer)).collect(),
        }
    }
}

/// A replica's number: a whole number, or the name of a pod of a `StatefulSet`, which ends in it.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "Value")]
struct Ordinal(u16);

impl TryFrom<Value> for Ordinal {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let number = match &value {
            Value::Integer(number) => u16::try_from(*number).ok(),
            Value::String(name) => name.rsplit('-').next().and_then(|number| number.parse().ok()),
            _ => None,
        };
        let wrong = || format!("{value} is no whole number from 0, and no name of a pod that ends in one");
        number.map(Self).ok_or_else(wrong)
    }
}

impl ClusterConfig {
    /// None with one replica, which is the default.
    pub(super) fn read(mut section: Section<'_>, ports: &PassivePorts) -> Option<Self> {
        let some = |replicas: &u16| if *replicas > 0 { Ok(()) } else { Err("must be at least 1".to_owned()) };
        let replicas = section.checked("replicas", 1, some);
        let slices = Slices::new(ports.clone(), replicas);
        if slices.is_none() {
            section.error("replicas", "must not be more than ftp.passive_ports has ports");
        }
        if replicas > 1 {
            for key in ["ordinal", "peers"] {
                if !section.has(key) {
                    section.error(key, "is required with more than one replica");
                }
            }
        }
        let ordinal = section.optional("ordinal").map(|Ordinal(ordinal)| ordinal);
        if let Some(ordinal) = ordinal.filter(|ordinal| *ordinal >= replicas) {
            section.error(
                "ordinal",
                format!("is {ordinal}, but must be less than replicas, which is {replicas}"),
            );
        }
        // A pattern can stand there before there is a second replica.
        let peers =
            section.optional::<Peers>("peers").filter(|_| replicas > 1).map(|peers| peers.of(replicas));
        let peers = peers.transpose().unwrap_or_else(|message| {
            section.error("peers", message);
            None
        });
        let listen = section.field("listen", Listen((Ipv4Addr::UNSPECIFIED, 7021).into())).0;
        let secret = read_secret(&mut section, replicas);
        section.finish();
        let slices = slices.filter(|_| replicas > 1)?;
        Some(Self { slices, ordinal: ordinal?, peers: peers?, listen, secret: secret? })
    }
}

/// `secret` or what is in `secret_file`, of which an empty one is none.
fn read_secret(section: &mut Section<'_>, replicas: u16) -> Option<SecretString> {
    let given = section.optional::<SecretText>("secret").map(|text| text.0);
    let given = given.filter(|secret| !secret.expose_secret().is_empty());
    let file = section.field("secret_file", PathBuf::new());
    let (key, secret) = match (given, file.as_os_str().is_empty()) {
        (None, true) if replicas > 1 => {
            section.error("secret", "is required with more than one replica, or secret_file");
            return None;
        }
        (None, true) => return None,
        (Some(_), false) => {
            section.error("secret_file", "must not be there beside secret");
            return None;
        }
        (Some(secret), true) => ("secret", secret),
        (None, false) => match std::fs::read_to_string(&file) {
            Ok(text) => ("secret_file", SecretString::from(text.trim_end_matches(['\r', '\n']))),
            Err(error) => {
                section.error("secret_file", format!("cannot read {}: {error}", file.display()));
                return None;
            }
        },
    };
    if secret.expose_secret().len() < SHORTEST_SECRET {
        section.error(key, format!("needs at least {SHORTEST_SECRET} characters"));
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::error::Report;

    const SECRET: &str = "secret = \"0123456789abcdef\"\n";

    fn read(text: &str, ports: RangeInclusive<u16>) -> (Option<ClusterConfig>, Vec<String>) {
        let report = Report::default();
        let section = Section::root(text.parse().expect("TOML"), &report);
        let config = ClusterConfig::read(section, &PassivePorts::new(ports).expect("a range"));
        (config, report.into_errors().iter().map(ToString::to_string).collect())
    }

    fn valid(text: &str) -> ClusterConfig {
        let (config, mistakes) = read(&format!("{SECRET}{text}"), 50000..=50099);
        assert_eq!(mistakes, [""; 0]);
        config.expect("a cluster")
    }

    #[test]
    fn one_replica_is_no_cluster() {
        for text in ["", "replicas = 1\nordinal = 0\npeers = \"a-{ordinal}:7021\"\nsecret = \"\"\n"] {
            let (config, mistakes) = read(text, 50000..=50000);
            assert!(config.is_none() && mistakes.is_empty(), "{mistakes:?}");
        }
    }

    #[test]
    fn peers_are_a_pattern_or_a_list() {
        let shown = |config: ClusterConfig| config.peers.iter().map(ToString::to_string).collect::<Vec<_>>();
        let pattern = valid("replicas = 2\nordinal = 1\npeers = \"b-{ordinal}.b-{ordinal}:70\"\n");
        assert_eq!(pattern.listen, ([0, 0, 0, 0], 7021).into());
        assert_eq!(shown(pattern), ["b-0.b-0:70", "b-1.b-1:70"]);
        let list =
            valid("replicas = 2\nordinal = \"bucketport-1\"\npeers = [\"127.0.0.2:70\", \"[::1]:71\"]\n");
        assert_eq!((list.ordinal, &list.peers[1].host, list.peers[1].port), (1, &"::1".to_owned(), 71));
        assert_eq!(shown(list), ["127.0.0.2:70", "::1:71"]);
    }

    #[test]
    fn a_secret_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "fedcba9876543210\n").expect("a writable file");
        let text = |rest: &str| {
            let path = file.path().display();
            format!(
                "replicas = 2\nordinal = 0\npeers = \"{{ordinal}}.b:7\"\nsecret_file = \"{path}\"\n{rest}"
            )
        };
        let (config, mistakes) = read(&text(""), 1..=2);
        assert_eq!(config.expect("a cluster").secret.expose_secret(), "fedcba9876543210", "{mistakes:?}");
        assert_eq!(read(&text(SECRET), 1..=2).1, ["secret_file: must not be there beside secret"]);
        std::fs::write(file.path(), "short\n").expect("a writable file");
        assert_eq!(read(&text(""), 1..=2).1, ["secret_file: needs at least 16 characters"]);
    }

    #[test]
    fn every_mistake_has_its_key() {
        let peers = "peers = \"b-{ordinal}:7021\"\n";
        for (text, expected) in [
            ("replicas = 0", &["replicas: must be at least 1"][..]),
            (
                "replicas = 3",
                &[
                    "ordinal: is required with more than one replica",
                    "peers: is required with more than one replica",
                    "secret: is required with more than one replica, or secret_file",
                ],
            ),
            (
                &format!("{SECRET}{peers}replicas = 3\nordinal = 3"),
                &["ordinal: is 3, but must be less than replicas, which is 3"],
            ),
            (
                &format!("{SECRET}{peers}replicas = 5\nordinal = \"pod\""),
                &[
                    "replicas: must not be more than ftp.passive_ports has ports",
                    "ordinal: \"pod\" is no whole number from 0, and no name of a pod that ends in one",
                ],
            ),
            (
                &format!("{SECRET}replicas = 2\nordinal = 0\npeers = \"b:7021\""),
                &["peers: expected a text with {ordinal} in it, or a list with a text for each replica"],
            ),
            (
                &format!("{SECRET}replicas = 2\nordinal = 0\npeers = [\"b:7021\"]"),
                &["peers: needs one for each of 2 replicas and has 1"],
            ),
            (
                &format!("{SECRET}replicas = 2\nordinal = 0\npeers = \"b-{{ordinal}}\""),
                &["peers: `b-0` is not a host and a port such as \"bucketport-0.bucketport-peers:7021\""],
            ),
            (
                &format!("secret = \"short\"\nreplicas = 2\nordinal = 0\n{peers}"),
                &["secret: needs at least 16 characters"],
            ),
        ] {
            let (_, mistakes) = read(text, 50000..=50003);
            assert_eq!(mistakes, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn slices_are_all_of_the_range_and_near_one_size(first in 1u16.., more in 0u16.., replicas in 1u16..) {
            let ports = PassivePorts::new(first..=first.saturating_add(more)).expect("a range");
            let count = u32::from(*ports.range().end()) - u32::from(first) + 1;
            let replicas = u16::try_from(u32::from(replicas).min(count)).expect("as many as before");
            let slices = Slices::new(ports.clone(), replicas).expect("a port for each");
            let mut next = u32::from(first);
            for ordinal in [0, replicas / 3, replicas - 1] {
                let slice = slices.of(ordinal);
                let length = u32::from(*slice.end()) - u32::from(*slice.start()) + 1;
                prop_assert!(length - count / u32::from(replicas) <= 1);
                prop_assert_eq!((slices.owner(*slice.start()), slices.owner(*slice.end())), (ordinal, ordinal));
            }
            for ordinal in 0..replicas {
                let slice = slices.of(ordinal);
                prop_assert_eq!(u32::from(*slice.start()), next);
                next = u32::from(*slice.end()) + 1;
            }
            prop_assert_eq!(next, u32::from(*ports.range().end()) + 1);
        }
    }
}
