//! What the edge answers itself.

use super::command::Local;
use super::connection::{Client, DataType};
use super::reply::quoted;
use super::verb::{self, FEATURES, Service, VERBS};
use crate::control::Reply;

impl Client {
    pub(super) async fn pasv(&mut self) -> Reply {
        if self.settings.extended_passive_only {
            return Reply::new(503, "EPSV ALL was sent");
        }
        self.passive = None;
        let Some(address) = self.edge.passive.address_for(self.session.local.ip()).await else {
            return Reply::new(425, "No IPv4 address to offer, use EPSV");
        };
        let Some(slot) = self.edge.passive.wait_for(self.session.peer.ip()) else {
            return Reply::new(425, "No passive port free, try again later");
        };
        let ([a, b, c, d], [high, low]) = (address.octets(), slot.port().to_be_bytes());
        self.passive = Some(slot);
        Reply::new(227, format!("Entering Passive Mode ({a},{b},{c},{d},{high},{low})"))
    }

    /// EPSV (RFC 2428 section 3).
    pub(super) fn epsv(&mut self, argument: &str) -> Reply {
        let ours = if self.session.peer.is_ipv4() { "1" } else { "2" };
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
        self.passive = None;
        match self.edge.passive.wait_for(self.session.peer.ip()) {
            Some(slot) => {
                let reply = Reply::new(229, format!("Entering Extended Passive Mode (|||{}|)", slot.port()));
                self.passive = Some(slot);
                reply
            }
            None => Reply::new(425, "No passive port free, try again later"),
        }
    }

    /// What needs neither control nor waiting. None where the answer comes from elsewhere.
    pub(super) fn answer(&mut self, local: Local, argument: &str) -> Option<Reply> {
        Some(match local {
            Local::Pwd => {
                Reply::new(257, format!("{} is current directory.", quoted(&self.settings.directory)))
            }
            Local::Noop => Reply::new(200, "OK"),
            // RFC 959 section 4.1.3. Clients take this as the sign that LIST looks like `ls -l`.
            Local::Syst => Reply::new(215, "UNIX Type: L8"),
            // A 202 makes some cameras loop. No space is reserved: object stores need none.
            Local::Allo => Reply::new(200, "No storage allocation necessary"),
            Local::Clnt => Reply::new(200, "Noted"),
            Local::Type => self.set_type(argument),
            Local::Stru => match argument.to_ascii_uppercase().as_str() {
                "F" => Reply::new(200, "Structure is file"),
                "R" | "P" => Reply::new(504, "Only STRU F is supported"),
                _ => Reply::new(501, "Syntax: STRU F"),
            },
            Local::Mode => match argument.to_ascii_uppercase().as_str() {
                "S" => Reply::new(200, "Mode is stream"),
                "B" | "C" => Reply::new(504, "Only MODE S is supported"),
                _ => Reply::new(501, "Syntax: MODE S"),
            },
            Local::Rest => match argument.parse() {
                Ok(offset) => {
                    self.settings.restart = offset;
                    Reply::new(350, format!("Restarting at {offset}"))
                }
                Err(_) => Reply::new(501, "Syntax: REST <bytes>"),
            },
            Local::Abor => {
                self.passive = None;
                Reply::new(226, "No transfer to abort")
            }
            Local::Feat => features(),
            Local::Help => help(argument),
            Local::Opts => options(argument),
            Local::Stat => self.status(),
            Local::User
            | Local::Pass
            | Local::Cdup
            | Local::Rein
            | Local::Quit
            | Local::Pasv
            | Local::Epsv => return None,
        })
    }

    fn set_type(&mut self, argument: &str) -> Reply {
        let upper = argument.to_ascii_uppercase();
        // RFC 959 section 3.1.1: "A" and "L" may be followed by a format and a byte size.
        match upper.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["A"] | ["A", "N"] => self.settings.data_type = DataType::Ascii,
            ["I"] | ["L", "8"] => self.settings.data_type = DataType::Image,
            ["A", "T" | "C"] | ["E", ..] | ["L", _] => {
                return Reply::new(504, "Only TYPE A, I and L 8 are supported");
            }
            _ => return Reply::new(501, "Syntax: TYPE A|I|L 8"),
        }
        Reply::new(200, format!("Type set to {upper}."))
    }

    fn status(&self) -> Reply {
        let mut lines = vec!["Bucketport status:".to_owned()];
        match self.session.user() {
            Some(user) => lines.push(format!(
                " Logged in as {user}, working directory {}",
                quoted(&self.settings.directory)
            )),
            None => lines.push(" Not logged in".to_owned()),
        }
        lines.push(" No transfer in progress".to_owned());
        lines.push("End of status".to_owned());
        Reply { code: 211, lines }
    }
}

/// RFC 2389 section 3.2.
fn features() -> Reply {
    let mut lines = vec!["Features:".to_owned()];
    let features = VERBS.iter().filter_map(|verb| verb.feature).chain(FEATURES.iter().copied());
    lines.extend(features.map(|feature| format!(" {feature}")));
    lines.push("End".to_owned());
    Reply { code: 211, lines }
}

fn help(argument: &str) -> Reply {
    if argument.is_empty() {
        let served = VERBS.iter().filter(|verb| !matches!(verb.service, Service::Refused(..)));
        let names: Vec<_> = served.map(|verb| verb.name).collect();
        let mut lines = vec!["Commands:".to_owned()];
        lines.extend(names.chunks(10).map(|names| format!(" {}", names.join(" "))));
        lines.push("End".to_owned());
        return Reply { code: 214, lines };
    }
    match verb::find(argument) {
        Some(verb) => match verb.service {
            Service::Refused(_, why) => Reply::new(214, format!("{}: {why}", verb.name)),
            Service::Edge(_) | Service::Forward(_) | Service::Transfer(_) => {
                Reply::new(214, format!("Syntax: {}", verb.syntax()))
            }
        },
        None => Reply::new(502, "Unknown command"),
    }
}

/// OPTS (RFC 2389 section 4).
fn options(argument: &str) -> Reply {
    let upper = argument.to_ascii_uppercase();
    match upper.split_whitespace().collect::<Vec<_>>().as_slice() {
        // Names are UTF-8 whatever the client says (RFC 2640).
        ["UTF8" | "UTF-8"] | ["UTF8" | "UTF-8", "ON" | "NLST"] => Reply::new(200, "Names are in UTF-8"),
        ["UTF8" | "UTF-8", "OFF"] => Reply::new(504, "Names are always in UTF-8"),
        // RFC 3659 section 7.9: the reply names the facts that will be sent.
        ["MLST", ..] => Reply::new(200, "MLST OPTS type;size;modify;"),
        _ => Reply::new(501, "Option not understood"),
    }
}
