//! The configuration: one TOML file and the environment, read into types that cannot hold bad values.
//!
//! A file per section; each reads itself from a `section::Section`, which reports every mistake with the path
//! of its key instead of stopping at the first.

mod anonymous;
mod auth;
mod auth_http;
mod auth_ldap;
mod certificate;
mod cluster;
mod environment;
mod error;
mod events;
mod file;
mod ftp;
mod home;
mod hours;
mod htpasswd;
mod http;
mod limits;
mod load;
mod log;
mod networks;
mod passive;
mod pattern;
mod permissions;
mod profile;
mod proof;
mod reload;
mod rules;
mod schema;
mod secret;
mod section;
mod source;
mod sources;
mod stores;
mod tls;
mod traces;
mod transfer;
mod users;
mod users_file;
mod value;
mod view;
mod warnings;
mod watched;

use std::collections::BTreeMap;

use toml::Table;

pub use auth::{AuthConfig, Elsewhere};
pub use auth_http::HttpAuth;
pub use auth_ldap::{LdapAuth, LdapEntry, PLACE_OF_USER};
pub use certificate::{CertificateName, CertificateNames};
pub use cluster::{ClusterConfig, Peer, Slices};
pub use environment::Environment;
pub use error::{ConfigError, ConfigErrors};
pub use events::{EventFilter, EventType, EventsConfig, QueueConfig, SinkConfig, SinkKind, WebhookConfig};
pub use ftp::{AsciiMode, Backslash, FtpConfig, OnControlLost, PeerCheck};
pub use home::{Home, NoFolder};
pub use hours::Hours;
pub use htpasswd::Htpasswd;
pub use http::{HttpConfig, OTHER_USERS, read_admin_token};
pub use limits::{Limit, LimitsConfig, TrafficLimits, UserLimits};
pub use load::{Loaded, Origin, load, load_checked};
pub use log::{LogConfig, LogFormat, LogLevel};
pub use networks::Networks;
pub use passive::{PassiveHost, PassiveHostOverride, PassivePorts};
pub use pattern::NamePattern;
pub use permissions::{Permission, Permissions};
pub use profile::Profile;
pub use proof::Proof;
pub use reload::{Attempt, Reload, Reread};
pub use rules::Rules;
pub use schema::{Answered, Schema};
pub use secret::{Credential, PasswordSource};
pub use stores::{StoreConfig, StoreDriver};
pub use tls::{CertificateFiles, CertificateNeed, ClientCa, TlsConfig, TlsNeed, TlsVersion};
pub use traces::TracesConfig;
pub use transfer::TransferConfig;
pub use users::{UserConfig, UserSource};
pub use users_file::{NewUser, NewValue, read_users_file, with_user};
pub use view::{Folder, Mount, View, below};
pub use watched::Watched;

use error::Report;
use section::Section;
use stores::Stores;
use users::Offered;

/// The whole configuration. All of its values are checked, alone and against each other.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[ftp]`.
    pub ftp: FtpConfig,
    /// `[cluster]`; none when this is the only replica.
    pub cluster: Option<ClusterConfig>,
    /// `[http]`.
    pub http: HttpConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// `[traces]`, if they are asked for.
    pub traces: Option<TracesConfig>,
    /// `[transfer]`.
    pub transfer: TransferConfig,
    /// `[limits]`.
    pub limits: LimitsConfig,
    /// `[stores.NAME]` by name; at least one.
    pub stores: BTreeMap<String, StoreConfig>,
    /// `[[events]]` and `[events_queue]`.
    pub events: EventsConfig,
    /// `[auth]`.
    pub auth: AuthConfig,
    /// `[[users]]`, those of all other local sources included.
    pub users: Vec<UserConfig>,
}

impl Config {
    /// Reads a configuration from text, with these variables laid over it.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, ConfigErrors> {
        let table = file::parse_table(text).map_err(|message| ConfigError::new("configuration", message))?;
        Self::read(table, environment)
    }

    fn read(table: Table, environment: &Environment) -> Result<Self, ConfigErrors> {
        Self::read_table(table, environment, |_| Vec::new()).0
    }

    fn read_sections(mut root: Section<'_>, report: &Report) -> Self {
        let ftp = FtpConfig::read(root.section("ftp"));
        let cluster = ClusterConfig::read(root.section("cluster"), &ftp.passive_ports);
        let http = HttpConfig::read(root.section("http"));
        let log = LogConfig::read(root.section("log"));
        let traces = TracesConfig::read(root.section("traces"));
        let transfer = TransferConfig::read(root.section("transfer"));
        let limits = LimitsConfig::read(root.section("limits"));
        let stores = Stores::read(root.section("stores"));
        let events = EventsConfig::read(root.section("events_queue"), root.sections("events"));
        let client_ca = ftp.tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
        let offered = Offered { stores: &stores.names, client_ca };
        let auth = AuthConfig::read(root.section("auth"), offered);
        let users = sources::read(root.sections("users"), &auth, offered, report);
        if ftp.tls.is_none() {
            sources::forbid_tls_required(&limits, &users, report);
        }
        root.finish();
        let stores = stores.read;
        Self { ftp, cluster, http, log, traces, transfer, limits, stores, events, auth, users }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::ExposeSecret;

    use super::*;

    const SMALLEST: &str = "[stores.only]\nurl = \"memory:///\"\n";

    /// The mistakes of a configuration, one `key: message` each.
    fn mistakes(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
        match parse(text, environment) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
        }
    }

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Config::parse(text, &environment.iter().map(pair).collect())
    }

    fn valid(text: &str, environment: &[(&str, &str)]) -> Config {
        parse(text, environment).expect("a valid configuration")
    }

    #[test]
    fn the_defaults() {
        let config = valid(SMALLEST, &[]);
        let addresses: Vec<String> = config.ftp.listen.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["0.0.0.0:2121"]);
        assert_eq!(config.ftp.passive_ports.range(), 50000..=50099);
        assert_eq!(config.ftp.passive_host, PassiveHost::Auto);
        assert_eq!(config.ftp.data_peer_check, PeerCheck::Strict);
        assert_eq!(config.ftp.ascii, AsciiMode::Convert);
        assert_eq!(config.ftp.login_timeout, Duration::from_secs(30));
        assert_eq!(config.ftp.idle_timeout, Duration::from_mins(10));
        assert_eq!(config.ftp.data_timeout, Duration::from_mins(2));
        assert_eq!(config.ftp.drain_timeout, Duration::from_mins(5));
        assert_eq!((config.ftp.max_connections, config.ftp.max_connections_per_ip), (10_000, 100));
        assert!(config.cluster.is_none());
        assert_eq!(config.http.listen.to_string(), "0.0.0.0:8080");
        assert_eq!(config.log, LogConfig { format: LogFormat::Text, level: LogLevel::Info });
        assert_eq!((config.transfer.memory, config.transfer.part_size), (256 << 20, 8 << 20));
        assert_eq!((config.transfer.upload_concurrency, config.transfer.download_concurrency), (4, 4));
        let store = &config.stores["only"];
        assert_eq!((store.directory_marker.as_str(), store.overwrite), (".keep", true));
        assert_eq!(config.auth, AuthConfig::default());
        assert_eq!(config.warnings(), ["there are no users, so nobody can log in"]);
    }

    #[test]
    fn every_mistake_is_shown_with_its_key() {
        let text = r#"
            colour = "red"
            [ftp]
            listen = ["localhost"]
            pasive_ports = "1-2"
            idle_timeout = 30
            max_connections = 0
            [log]
            level = "loud"
            [stores.landing]
            url = "ftp://example.org"
            [stores.landing.options]
            foo = 1.5
            [[users]]
            name = "acme"
            password = "x"
            permissions = ["fly"]
            [[users]]
            name = "acme"
            password = "x"
            shoe_size = 45
        "#;
        let shown = mistakes(text, &[]);
        let expected = [
            ("ftp.listen", "`localhost` is not an address and a port"),
            ("ftp.idle_timeout", "expected a duration in quotes"),
            ("ftp.max_connections", "must be at least 1"),
            ("ftp.pasive_ports", "unknown key, did you mean `passive_ports`?"),
            ("log.level", "unknown variant `loud`"),
            ("stores.landing.url", "`ftp` is not a known scheme"),
            ("stores.landing.options.foo", "expected a string, an integer or a boolean, found float"),
            ("users[0].permissions", "unknown variant `fly`"),
            ("users[1].name", "`acme` is already the name of users[0]"),
            ("users[1].shoe_size", "unknown key"),
            ("colour", "unknown key"),
        ];
        assert_eq!(shown.len(), expected.len(), "{shown:#?}");
        for (line, (key, message)) in shown.iter().zip(expected) {
            assert!(line.starts_with(&format!("{key}: {message}")), "{line}");
        }
    }

    #[test]
    fn a_mistake_in_the_syntax_has_its_line_and_not_its_text() {
        let shown = mistakes("[ftp]\n\npassword = hunter2\n", &[]).join("\n");
        assert!(shown.starts_with("configuration: line 3: "), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn the_environment_overrides() {
        let text = format!("{SMALLEST}[[users]]\nname = \"acme\"\npassword = \"x\"\n");
        let config = valid(
            &text,
            &[
                ("BUCKETPORT_FTP__LISTEN", "[\"127.0.0.1:0\", \"[::1]:0\"]"),
                ("BUCKETPORT_FTP__MAX_CONNECTIONS", "50"),
                ("BUCKETPORT_FTP__PASSIVE_HOST", "ftp.example.org"),
                ("BUCKETPORT_LOG__FORMAT", "json"),
                ("BUCKETPORT_TRANSFER__MEMORY", "1GiB"),
                ("BUCKETPORT_STORES__ONLY__OVERWRITE", "false"),
                ("BUCKETPORT_STORES__ONLY__OPTIONS__AWS_SECRET_ACCESS_KEY", "123"),
                ("BUCKETPORT_STORES__SECOND", "{ url = \"s3://bucket\" }"),
                ("BUCKETPORT_USERS__0__PASSWORD", "5678"),
                ("BUCKETPORT_USERS__0__STORE", "second"),
            ],
        );
        assert_eq!(config.ftp.listen.len(), 2);
        assert_eq!(config.ftp.max_connections, 50);
        assert_eq!(config.ftp.passive_host, PassiveHost::Name("ftp.example.org".to_owned()));
        assert_eq!(config.log.format, LogFormat::Json);
        assert_eq!(config.transfer.memory, 1 << 30);
        assert!(!config.stores["only"].overwrite);
        assert_eq!(config.stores["only"].options["aws_secret_access_key"].expose_secret(), "123");
        assert_eq!(config.stores["second"].url.as_str(), "s3://bucket");
        let password = config.users[0].proof.password();
        assert!(matches!(password, Some(PasswordSource::Plain(p)) if p.expose_secret() == "5678"));
        let stores: Vec<&str> = config.users[0].profile.view.stores().collect();
        assert_eq!(stores, ["second"]);
    }

    #[test]
    fn variables_without_a_double_underscore_are_not_ours() {
        let kubernetes = [
            ("BUCKETPORT_SERVICE_HOST", "10.0.0.1"),
            ("BUCKETPORT_PORT_2121_TCP_ADDR", "10.0.0.1"),
            ("BUCKETPORT_PASSWORD", "x"),
            ("OTHER__KEY", "x"),
        ];
        assert_eq!(mistakes(SMALLEST, &kubernetes), [""; 0]);
    }

    #[test]
    fn overrides_of_the_passive_host_are_whole() {
        let text = |overrides: &str| format!("[ftp]\npassive_host_overrides = [{overrides}]\n{SMALLEST}");
        let config = valid(&text("{ networks = ['10.0.0.0/8', '192.0.2.1'], host = 'auto' }"), &[]);
        let [own] = &config.ftp.passive_host_overrides[..] else { panic!("one override") };
        assert_eq!((own.networks.len(), &own.host), (2, &PassiveHost::Auto));
        let wrong = "{ networks = [], host = '::1' }, { hosts = 'auto' }, { networks = 'x', host = 'auto' }";
        let expected = [
            "ftp.passive_host_overrides[0].host: `::1` is an IPv6 address, PASV can tell only IPv4 ones",
            "ftp.passive_host_overrides[0].networks: needs at least one network",
            "ftp.passive_host_overrides[1].networks: is required",
            "ftp.passive_host_overrides[1].host: is required",
            "ftp.passive_host_overrides[1].hosts: unknown key, did you mean `host`?",
            "ftp.passive_host_overrides[2].networks: invalid type: string \"x\", expected a list",
        ];
        assert_eq!(mistakes(&text(wrong), &[]), expected);
    }

    #[test]
    fn a_header_is_required_of_balancers_that_are_named() {
        let ftp = |lines: &str| format!("[ftp]\n{lines}\n{SMALLEST}");
        let trusted = "proxy_trusted = [\"10.0.0.0/8\", \"2001:db8::1\"]";
        assert_eq!(valid(&ftp(trusted), &[]).ftp.trusted_proxies, None);
        let required = valid(&ftp(&format!("proxy_protocol = \"required\"\n{trusted}")), &[]);
        let networks = required.ftp.trusted_proxies.expect("required");
        assert_eq!(
            networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.0/8", "2001:db8::1/128"]
        );
        for (lines, key) in [
            ("proxy_protocol = \"required\"", "ftp.proxy_trusted: needs at least one network"),
            ("proxy_protocol = \"on\"", "ftp.proxy_protocol: unknown variant `on`"),
            ("proxy_trusted = [\"x\"]", "ftp.proxy_trusted: `x` is not a network"),
        ] {
            let found = mistakes(&ftp(lines), &[]);
            assert!(found.len() == 1 && found[0].starts_with(key), "{found:?}");
        }
    }

    #[test]
    fn names_have_an_encoding_with_ascii_in_it() {
        let text = |label: &str| format!("[ftp]\nfilename_encoding = '{label}'\n{SMALLEST}");
        assert_eq!(valid(SMALLEST, &[]).ftp.filename_encoding.name(), "UTF-8");
        assert_eq!(valid(&text("sjis"), &[]).ftp.filename_encoding.name(), "Shift_JIS");
        assert_eq!(
            mistakes(&text("ascii-8"), &[]),
            ["ftp.filename_encoding: `ascii-8` is no encoding such as \"utf-8\" or \"gbk\""]
        );
        let [mistake] = &mistakes(&text("utf-16"), &[])[..] else { panic!("one mistake") };
        assert!(mistake.ends_with("ASCII is not ASCII in it"), "{mistake}");
    }

    #[test]
    fn active_mode_needs_clients_addresses() {
        let text =
            |check: &str| format!("[ftp]\nactive_mode = true\ndata_peer_check = '{check}'\n{SMALLEST}");
        let expected =
            "ftp.active_mode: needs data_peer_check = \"strict\": it connects to the client's address";
        assert_eq!(mistakes(&text("off"), &[]), [expected]);
        assert_eq!(mistakes(&text("strict"), &[]), [""; 0]);
    }

    #[test]
    fn a_mistake_in_the_environment_names_its_variable() {
        let environment = [
            ("BUCKETPORT_FTP__MAX_CONNECTIONS", "many"),
            ("BUCKETPORT_FTP__ACTIVE_MODE", "perhaps"),
            ("BUCKETPORT_SHOE__SIZE", "45"),
            ("BUCKETPORT_USERS__7__NAME", "x"),
            ("BUCKETPORT_FTP____X", "x"),
        ];
        let expected = [
            "BUCKETPORT_FTP____X: the name has an empty part",
            "BUCKETPORT_USERS__7__NAME: `users` has no element `7`",
            "ftp.active_mode: invalid type: string \"perhaps\", expected a boolean (set by BUCKETPORT_FTP__ACTIVE_MODE)",
            "ftp.max_connections: invalid type: string \"many\", expected a whole number (set by BUCKETPORT_FTP__MAX_CONNECTIONS)",
            "shoe: unknown key (set by BUCKETPORT_SHOE__SIZE)",
        ];
        assert_eq!(mistakes(SMALLEST, &environment), expected);
    }

    #[test]
    fn warnings_and_debug_output_hold_no_secret() {
        let text = "[stores.only]\nurl = \"memory:///\"\noptions.key = \"s3cr3t\"\n\
                    [[users]]\nname = \"acme\"\npassword = \"hunter2\"\n";
        let config = valid(text, &[]);
        assert_eq!(config.warnings().len(), 1);
        let shown = format!("{:?} {config:?}", config.warnings());
        assert!(shown.contains("acme") && !shown.contains("s3cr3t") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_wrong_secret_is_not_repeated() {
        let text = "[stores.only]\nurl = \"memory:///\"\noptions.key = [1234]\n[[users]]\nname = \"a\"\n\
                    password = 1234\n[[users]]\nname = \"b\"\npassword_hash = \"$6$salt$1234\"\n";
        let shown = mistakes(text, &[]);
        assert_eq!(shown.len(), 3, "{shown:#?}");
        assert!(!shown.join("\n").contains("1234"), "{shown:#?}");
    }
}
