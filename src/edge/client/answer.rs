//! What the edge answers at once, without control and without waiting.

use super::files::no_restart;
use super::site;
use super::state::{Client, DataType, Login, log_in_first};
use crate::edge::data::LineEnds;
use crate::edge::verb::{self, FEATURES, Local, Service, VERBS, Verb};
use crate::encoding::NameEncoding;
use crate::facts::{Fact, Facts};
use crate::reply::Reply;

impl Client {
    /// What needs neither control nor waiting. None where the answer comes from elsewhere.
    pub(super) fn immediate(&mut self, local: Local, argument: &str) -> Option<Reply> {
        Some(match local {
            Local::Pwd => {
                Reply::new(257, format!("{} is current directory.", self.settings.directory.quoted()))
            }
            Local::Noop => Reply::new(200, "OK"),
            // RFC 959 section 4.1.3. Clients take this as the sign that LIST looks like `ls -l`.
            Local::Syst => Reply::new(215, "UNIX Type: L8"),
            // A 202 makes some cameras loop. No space is reserved: object stores need none.
            Local::Allo => {
                // How much will come is worth knowing all the same: see `Terms::announced`.
                let announced = argument.split_whitespace().next().and_then(|bytes| bytes.parse().ok());
                // Devices that know no size say 0, and 0 bytes are there before the first one has come.
                self.settings.next.announced = announced.filter(|&bytes| bytes > 0);
                Reply::new(200, "No storage allocation necessary")
            }
            Local::Clnt => Reply::new(200, "Noted"),
            // RFC 959 section 4.1.1: superfluous after a login that needed none, and nothing to begin with.
            Local::Acct if self.login == Login::Done => Reply::new(202, "No account needed"),
            Local::Acct => Reply::new(503, "USER and PASS come first"),
            Local::Rang => self.range(argument),
            Local::Type => self.set_type(argument),
            Local::Stru => match argument.to_ascii_uppercase().as_str() {
                "F" => Reply::new(200, "Structure is file"),
                "R" | "P" => Reply::new(504, "Only STRU F is supported"),
                _ => Reply::new(501, "Syntax: STRU F"),
            },
            Local::Mode => match argument.to_ascii_uppercase().as_str() {
                "S" => Reply::new(200, "Mode is stream"),
                _ => Reply::new(504, "Only MODE S is supported"),
            },
            Local::Rest => match argument.parse() {
                Ok(1..) if self.line_ends() == LineEnds::Converted => no_restart(),
                Ok(offset) => {
                    self.settings.next.restart = offset;
                    Reply::new(350, format!("Restarting at {offset}"))
                }
                Err(_) => Reply::new(501, "Syntax: REST <bytes>"),
            },
            Local::Abor => {
                self.route = None;
                Reply::new(226, "No transfer to abort")
            }
            Local::Feat => self.features(),
            Local::Help => self.help(argument),
            Local::Opts => self.options(argument),
            Local::Stat if argument.is_empty() => self.status(),
            Local::Stat => log_in_first(),
            Local::Epsv => self.epsv(argument),
            Local::Port => self.port(argument),
            Local::Eprt => self.eprt(argument),
            Local::Pbsz => self.pbsz(argument),
            Local::Prot => self.prot(argument),
            Local::User
            | Local::Pass
            | Local::Auth
            | Local::Cdup
            | Local::Rein
            | Local::Quit
            | Local::Stou
            | Local::Hash
            | Local::Checksum(_)
            | Local::Mdtm
            | Local::Mfmt
            | Local::Site
            | Local::Pasv => return None,
        })
    }

    fn set_type(&mut self, argument: &str) -> Reply {
        let unsupported = || Reply::new(504, "Only TYPE A, I and L 8 are supported");
        let upper = argument.to_ascii_uppercase();
        // RFC 959 section 3.1.1: "A" and "L" may be followed by a format and a byte size.
        match upper.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["A"] | ["A", "N"] => self.settings.data_type = DataType::Ascii,
            // Some libraries leave the space out.
            ["I" | "L8"] | ["L", "8"] => self.settings.data_type = DataType::Image,
            ["A", "T" | "C"] | ["AN" | "AT" | "AC"] | ["E", ..] | ["L", _] => return unsupported(),
            [size] if size.strip_prefix('L').is_some_and(|size| size.parse::<u8>().is_ok()) => {
                return unsupported();
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
                self.settings.directory.quoted()
            )),
            None => lines.push(" Not logged in".to_owned()),
        }
        lines.push(" No transfer in progress".to_owned());
        lines.push("End of status".to_owned());
        Reply::of_lines(211, lines)
    }

    /// RFC 2389 section 3.2.
    fn features(&self) -> Reply {
        let (facts, hash) = (self.session.facts(), self.settings.hash);
        let served = VERBS
            .iter()
            .filter(|verb| self.serves(verb))
            .filter_map(|verb| verb.feature)
            .map(|feature| feature.line(facts, hash));
        let features = served.chain(FEATURES.iter().map(|&feature| feature.to_owned()));
        let mut lines = vec!["Features:".to_owned()];
        lines.extend(features.map(|feature| format!(" {feature}")));
        lines.push("End".to_owned());
        Reply::of_lines(211, lines)
    }

    /// OPTS (RFC 2389 section 4).
    fn options(&mut self, argument: &str) -> Reply {
        let (command, value) = argument.split_once(' ').unwrap_or((argument, ""));
        match command.to_ascii_uppercase().as_str() {
            "UTF8" | "UTF-8" => self.select_encoding(value.trim()),
            "HASH" => self.select_hash(value.trim()),
            "MLST" => {
                let facts = Facts::named_in(value);
                self.session.select_facts(facts);
                // RFC 3659 section 7.9: the reply names the facts that will be sent.
                let shown = Fact::ALL.into_iter().filter(|&fact| facts.shows(fact));
                let names: Vec<_> = shown.map(|fact| format!("{};", fact.name())).collect();
                Reply::new(200, format!("MLST OPTS {}", names.concat()).trim_end())
            }
            _ => Reply::new(501, "Option not understood"),
        }
    }

    /// OPTS UTF8, which many clients send: UTF-8 (RFC 2640) or what the configuration says.
    fn select_encoding(&mut self, value: &str) -> Reply {
        let configured = self.edge.config.filename_encoding;
        let encoding = match value.to_ascii_uppercase().as_str() {
            "" | "ON" | "NLST" => NameEncoding::UTF_8,
            "OFF" if configured == NameEncoding::UTF_8 => {
                return Reply::new(504, "Names are always in UTF-8");
            }
            "OFF" => configured,
            _ => return Reply::new(501, "Option not understood"),
        };
        self.session.write_names_in(encoding);
        Reply::new(200, format!("Names are in {}", encoding.name()))
    }

    fn help(&self, argument: &str) -> Reply {
        if argument.is_empty() {
            let served = VERBS.iter().filter(|verb| self.serves(verb));
            let names: Vec<_> = served.map(|verb| verb.name).collect();
            let mut lines = vec!["Commands:".to_owned()];
            lines.extend(names.chunks(10).map(|names| format!(" {}", names.join(" "))));
            lines.push("End".to_owned());
            return Reply::of_lines(214, lines);
        }
        match verb::find(argument) {
            Some(Verb { service: Service::Own(Local::Site), .. }) => site::help(),
            Some(verb) => match self.service(verb) {
                Service::Refused(_, why) => Reply::new(214, format!("{}: {why}", verb.name)),
                Service::Own(_) | Service::Forward(_) | Service::Transfer(_) => {
                    Reply::new(214, format!("Syntax: {}", verb.syntax()))
                }
            },
            None => Reply::new(502, "Unknown command"),
        }
    }

    fn serves(&self, verb: &Verb) -> bool {
        !matches!(self.service(verb), Service::Refused(..))
    }
}
