//! Where somebody may log in from.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::value::Network;

/// Networks in CIDR form, or single addresses. None of them is anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Network>")]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether the address is in one of them. An IPv4 client of an IPv6 socket counts as IPv4.
    pub fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether that is anywhere.
    pub fn are_unlimited(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Network>> for Networks {
    fn from(networks: Vec<Network>) -> Self {
        Self(networks.into_iter().map(|network| network.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(named: &[&str]) -> Networks {
        toml::Value::from(named.to_vec()).try_into().expect("networks")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn anywhere_when_no_network_is_named() {
        assert!(networks(&[]).hold(address("192.0.2.1")) && networks(&[]).are_unlimited());
        assert!(networks(&[]).hold(address("2001:db8::1")));
    }

    #[test]
    fn only_from_the_named_networks() {
        let networks = networks(&["10.1.2.3/8", "2001:db8::/32", "192.0.2.7"]);
        for (text, expected) in [
            ("10.1.2.3", true),
            ("10.200.0.1", true),
            ("2001:db8::1", true),
            ("192.0.2.7", true),
            ("192.0.2.1", false),
            ("2001:db9::1", false),
        ] {
            assert_eq!(networks.hold(address(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        assert!(networks(&["10.0.0.0/8"]).hold(address("::ffff:10.1.2.3")));
        assert!(!networks(&["10.0.0.0/8"]).hold(address("::ffff:192.0.2.1")));
    }
}
