//! PORT and EPRT: where the client listens (RFC 959 section 4.1.2, RFC 2428 section 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::passive::protocol;
use super::state::Client;
use crate::edge::data::{Route, Target};
use crate::edge::host_port::{self, Unusable};
use crate::reply::Reply;

/// Well-known services listen below this port, at the client's own address as well (RFC 2577 section 3).
const LOWEST_PORT: u16 = 1024;

impl Client {
    pub(super) fn port(&mut self, argument: &str) -> Reply {
        match host_port::of_port(argument) {
            Some(address) => self.listens_at(address, "PORT"),
            None => Reply::new(501, "Syntax: PORT h1,h2,h3,h4,p1,p2"),
        }
    }

    pub(super) fn eprt(&mut self, argument: &str) -> Reply {
        let ours = self.session.peer.ip();
        match host_port::of_eprt(argument) {
            Ok(address) if address.is_ipv4() == ours.is_ipv4() => self.listens_at(address, "EPRT"),
            Ok(_) | Err(Unusable::Protocol) => {
                Reply::new(522, format!("Network protocol not supported, use ({})", protocol(ours)))
            }
            Err(Unusable::Syntax) => Reply::new(501, "Syntax: EPRT |1 or 2|address|port|"),
        }
    }

    fn listens_at(&mut self, address: SocketAddr, verb: &str) -> Reply {
        if self.settings.extended_passive_only {
            return Reply::new(503, "EPSV ALL was sent");
        }
        // Semantics decision: to no other address, be it that of a third party that asked for it (RFC 2577 section 3).
        if address.ip() != self.session.peer.ip() {
            tracing::info!(%address, "refused to connect to another address than the client's");
            return Reply::new(504, "Data connections go to your own address only");
        }
        if address.port() < LOWEST_PORT {
            return Reply::new(504, "Data connections go to ports of 1024 and above only");
        }
        let target = Target::new(address, self.source_for(address), self.edge.config.active_source_port);
        self.route = Some(Route::Active(target));
        Reply::new(200, format!("{verb} Command successful."))
    }

    /// The address that `client` is connected to from.
    fn source_for(&self, client: SocketAddr) -> IpAddr {
        if self.session.dialled == self.session.local {
            return self.session.local.ip();
        }
        // What a balancer reaches us at need not lead to its clients, so the kernel chooses.
        if client.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
    }
}
