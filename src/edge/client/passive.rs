//! PASV and EPSV: where the client is to connect (RFC 959 section 4.1.2, RFC 2428).

use std::net::IpAddr;

use super::state::Client;
use crate::edge::data::{Route, Slot};
use crate::reply::Reply;

impl Client {
    pub(super) async fn pasv(&mut self) -> Reply {
        if self.settings.extended_passive_only {
            return Reply::new(503, "EPSV ALL was sent");
        }
        // First, since all ports may be taken but the client's own.
        self.route = None;
        let Some(address) =
            self.edge.passive.address_for(self.session.peer.ip(), self.session.dialled.ip()).await
        else {
            return Reply::new(425, "No IPv4 address to offer, use EPSV");
        };
        let Some(slot) = self.wait_for_data() else {
            return Reply::new(425, "No passive port free, try again later");
        };
        let ([a, b, c, d], [high, low]) = (address.octets(), slot.port().to_be_bytes());
        self.route = Some(Route::Passive(slot));
        Reply::new(227, format!("Entering Passive Mode ({a},{b},{c},{d},{high},{low})"))
    }

    /// EPSV (RFC 2428 section 3).
    pub(super) fn epsv(&mut self, argument: &str) -> Reply {
        let ours = protocol(self.session.peer.ip());
        match argument {
            "" => {}
            protocol if protocol == ours => {}
            other if other.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Reply::new(522, format!("Network protocol not supported, use ({ours})"));
            }
            all if all.eq_ignore_ascii_case("ALL") => {
                self.settings.extended_passive_only = true;
                return Reply::new(200, "EPSV only from now on");
            }
            _ => return Reply::new(501, "Syntax: EPSV [1|2|ALL]"),
        }
        self.route = None;
        match self.wait_for_data() {
            Some(slot) => {
                let reply = Reply::new(229, format!("Entering Extended Passive Mode (|||{}|)", slot.port()));
                self.route = Some(Route::Passive(slot));
                reply
            }
            None => Reply::new(425, "No passive port free, try again later"),
        }
    }

    fn wait_for_data(&self) -> Option<Slot> {
        self.edge.passive.wait_for(self.session.peer.ip(), self.worker)
    }
}

/// The number of the network protocol (RFC 2428 section 2).
pub(super) fn protocol(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "1" } else { "2" }
}
