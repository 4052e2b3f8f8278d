//! Which address PASV tells to whom.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::timeout;

use crate::config::{FtpConfig, PassiveHost};

/// How long a DNS name may take to resolve.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);

/// The addresses for clients in certain networks, and the one for all others.
#[derive(Debug)]
pub(super) struct Hosts {
    overrides: Vec<(Vec<IpNet>, Host)>,
    host: Host,
}

#[derive(Debug)]
struct Host {
    host: PassiveHost,
    /// What its name last resolved to, for when it does not resolve.
    resolved: Mutex<Option<Ipv4Addr>>,
}

impl Hosts {
    pub(super) fn new(config: &FtpConfig) -> Self {
        let host = |host: &PassiveHost| Host { host: host.clone(), resolved: Mutex::default() };
        let overrides = config.passive_host_overrides.iter();
        Self {
            overrides: overrides.map(|own| (own.networks.clone(), host(&own.host))).collect(),
            host: host(&config.passive_host),
        }
    }

    /// The IPv4 address that `client`, which dialled `local`, is told (RFC 959 section 4.1.2). None if `local` is to be
    /// told and is an IPv6 address, and if a name has never resolved.
    pub(super) async fn told(&self, client: IpAddr, local: IpAddr) -> Option<Ipv4Addr> {
        let holds = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        let own = self.overrides.iter().find(|(networks, _)| holds(networks));
        let host = own.map_or(&self.host, |(_, host)| host);
        match (&host.host, local) {
            (PassiveHost::Auto, IpAddr::V4(address)) => Some(address),
            (PassiveHost::Auto, IpAddr::V6(_)) => None,
            (PassiveHost::Address(address), _) => Some(*address),
            (PassiveHost::Name(name), _) => host.resolve(name).await,
        }
    }
}

impl Host {
    async fn resolve(&self, name: &str) -> Option<Ipv4Addr> {
        let found = match timeout(RESOLVE_DEADLINE, tokio::net::lookup_host((name, 0))).await {
            Ok(Ok(mut addresses)) => addresses.find_map(|address| match address.ip() {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            }),
            Ok(Err(error)) => {
                tracing::warn!(name, %error, "ftp.passive_host does not resolve");
                None
            }
            Err(_) => {
                tracing::warn!(name, "ftp.passive_host does not resolve in time");
                None
            }
        };
        let mut last = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_some() {
            *last = found;
        }
        *last
    }
}
