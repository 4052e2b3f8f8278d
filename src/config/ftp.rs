//! `[ftp]`: where clients connect, how data connections reach us, and how long anything may take.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::passive::{PassiveHost, PassiveHostOverride, PassivePorts};
use super::section::Section;
use super::tls::TlsConfig;
use super::value::{Listen, Network, timeout};
use crate::encoding::NameEncoding;

/// `[ftp]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FtpConfig {
    /// Addresses that control connections are accepted on; at least one.
    pub listen: Vec<SocketAddr>,
    /// Addresses that control connections are accepted on which begin with a TLS handshake. Only with `tls`.
    pub implicit_tls_listen: Vec<SocketAddr>,
    /// `[ftp.tls]`; none when it is off.
    pub tls: Option<TlsConfig>,
    /// Ports that passive data connections are accepted on.
    pub passive_ports: PassivePorts,
    /// The address that PASV replies tell.
    pub passive_host: PassiveHost,
    /// What PASV replies tell clients in certain networks instead; the first that holds counts.
    pub passive_host_overrides: Vec<PassiveHostOverride>,
    /// Whether PORT and EPRT are served.
    pub active_mode: bool,
    /// Where active data connections come from if it can be bound; 0 is any port.
    pub active_source_port: u16,
    /// Whether a data connection must come from the control connection's address.
    pub data_peer_check: PeerCheck,
    /// Networks of balancers whose connections all begin with a PROXY header, and nobody else may connect; none where
    /// connections begin without one.
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// How names are written on the wire by clients that have not sent `OPTS UTF8 ON`.
    pub filename_encoding: NameEncoding,
    /// What a backslash in a path is.
    pub backslash: Backslash,
    /// What `TYPE A` does to a file's bytes.
    pub ascii: AsciiMode,
    /// A connection that has not logged in within this time is closed.
    pub login_timeout: Duration,
    /// A session without a command or a transfer for this time is closed.
    pub idle_timeout: Duration,
    /// A transfer without a byte for this time is ended. A data connection is waited for as long, but not over 30 s. A
    /// passive port that no transfer follows for this time is given back.
    pub data_timeout: Duration,
    /// How long running transfers may go on after the signal to stop.
    pub drain_timeout: Duration,
    /// Control connections at one time; more are turned away. At least one.
    pub max_connections: usize,
    /// Control connections at one time from one address. At least one.
    pub max_connections_per_ip: usize,
    /// What becomes of an upload that ended in order although its control connection ended with it; a user may have a
    /// setting of their own.
    pub on_control_lost: OnControlLost,
}

/// What becomes of an upload whose data connection ended in order, although the control connection ended with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnControlLost {
    /// It is thrown away: the client may have been killed in the middle of the file.
    #[default]
    Discard,
    /// It is kept, for devices that hang up without waiting for the reply.
    Keep,
}

/// Who may open a session's data connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerCheck {
    /// Only the address that the control connection came from.
    #[default]
    Strict,
    /// Any address, for balancers that give each connection another source address.
    Off,
}

/// Whether connections begin with a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProxyProtocol {
    #[default]
    Off,
    Required,
}

/// What a backslash in a client's path is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backslash {
    /// A character of a name.
    #[default]
    Keep,
    /// A slash, for clients that were made for servers on Windows.
    Separator,
}

/// What `TYPE A` does to a file's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AsciiMode {
    /// Line ends are CRLF on the wire and LF in the store.
    #[default]
    Convert,
    /// The bytes stay as they are.
    Ignore,
}

impl FtpConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let listen = vec![Listen((Ipv4Addr::UNSPECIFIED, 2121).into())];
        let some_address = |listen: &Vec<Listen>| {
            if listen.is_empty() { Err("needs at least one address".to_owned()) } else { Ok(()) }
        };
        let listen = section.checked("listen", listen, some_address);
        let implicit = section.field("implicit_tls_listen", Vec::<Listen>::new());
        let tls = TlsConfig::read(section.section("tls"));
        if tls.is_none() && !implicit.is_empty() {
            section.error("implicit_tls_listen", "needs tls.mode = \"optional\" or \"required\"");
        }
        let addresses = |listen: Vec<Listen>| listen.into_iter().map(|address| address.0).collect();
        let config = Self {
            listen: addresses(listen),
            implicit_tls_listen: addresses(implicit),
            tls,
            passive_ports: section.field("passive_ports", PassivePorts::default()),
            passive_host: section.field("passive_host", PassiveHost::default()),
            passive_host_overrides: passive_host_overrides(&mut section),
            active_mode: section.field("active_mode", false),
            active_source_port: section.field("active_source_port", 20),
            data_peer_check: section.field("data_peer_check", PeerCheck::default()),
            trusted_proxies: trusted_proxies(&mut section),
            filename_encoding: section.field("filename_encoding", NameEncoding::default()),
            backslash: section.field("backslash", Backslash::default()),
            ascii: section.field("ascii", AsciiMode::default()),
            login_timeout: timeout(&mut section, "login_timeout", Duration::from_secs(30)),
            idle_timeout: timeout(&mut section, "idle_timeout", Duration::from_mins(10)),
            data_timeout: timeout(&mut section, "data_timeout", Duration::from_mins(2)),
            drain_timeout: timeout(&mut section, "drain_timeout", Duration::from_mins(5)),
            max_connections: section.checked("max_connections", 10_000, at_least_one),
            max_connections_per_ip: section.checked("max_connections_per_ip", 100, at_least_one),
            on_control_lost: section.field("on_control_lost", OnControlLost::default()),
        };
        // Behind a balancer that hides the client's address PORT would have us connect to the balancer, or to a node.
        if config.active_mode && config.data_peer_check == PeerCheck::Off {
            section.error(
                "active_mode",
                "needs data_peer_check = \"strict\": it connects to the client's address",
            );
        }
        section.finish();
        config
    }
}

fn passive_host_overrides(section: &mut Section<'_>) -> Vec<PassiveHostOverride> {
    section.sections("passive_host_overrides").into_iter().filter_map(PassiveHostOverride::read).collect()
}

fn trusted_proxies(section: &mut Section<'_>) -> Option<Vec<IpNet>> {
    let protocol = section.field("proxy_protocol", ProxyProtocol::default());
    let trusted = section.field("proxy_trusted", Vec::<Network>::new());
    match protocol {
        ProxyProtocol::Off => None,
        ProxyProtocol::Required if trusted.is_empty() => {
            section.error("proxy_trusted", "needs at least one network for proxy_protocol = \"required\"");
            None
        }
        ProxyProtocol::Required => Some(trusted.into_iter().map(|network| network.0).collect()),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that `Section::checked` asks for")]
fn at_least_one(count: &usize) -> Result<(), String> {
    if *count == 0 { Err("must be at least 1".to_owned()) } else { Ok(()) }
}
