//! A user who has logged in: whose files, where, and what may be done with them.

use std::fmt;
use std::net::IpAddr;

use crate::config::{Profile, UserSource};

/// A known user. Holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name given with USER.
    pub name: String,
    /// Everything else that is configured of the user.
    pub profile: Profile,
    /// Where the user comes from.
    pub source: UserSource,
}

impl User {
    /// Whether the user may log in from this address. An IPv4 client of an IPv6 socket counts as IPv4.
    pub fn allows(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.profile.allow_from.is_empty()
            || self.profile.allow_from.iter().any(|network| network.contains(&peer))
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Home, Permissions, UserLimits, View};

    fn user(allow_from: &[&str]) -> User {
        User {
            name: "acme".to_owned(),
            profile: Profile {
                view: View::of("landing", Home::default(), Permissions::all()),
                allow_from: allow_from.iter().map(|network| network.parse().expect("a network")).collect(),
                on_control_lost: None,
                limits: UserLimits::default(),
            },
            source: UserSource::Inline,
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn anywhere_when_no_network_is_named() {
        assert!(user(&[]).allows(address("192.0.2.1")));
        assert!(user(&[]).allows(address("2001:db8::1")));
    }

    #[test]
    fn only_from_the_named_networks() {
        let user = user(&["10.0.0.0/8", "2001:db8::/32"]);
        assert!(user.allows(address("10.1.2.3")));
        assert!(user.allows(address("2001:db8::1")));
        assert!(!user.allows(address("192.0.2.1")));
        assert!(!user.allows(address("2001:db9::1")));
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        assert!(user(&["10.0.0.0/8"]).allows(address("::ffff:10.1.2.3")));
        assert!(!user(&["10.0.0.0/8"]).allows(address("::ffff:192.0.2.1")));
    }

    #[test]
    fn shown_as_its_name() {
        assert_eq!(user(&[]).to_string(), "acme");
    }
}
