//! `[[events]]` and `[events_queue]`: who is told of what users do, of how much of it, and where it waits for them.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use glob::Pattern;
use serde::Deserialize;
use url::Url;

use super::section::Section;
use super::value::{span, timeout};

/// `[[events]]` and `[events_queue]`.
#[derive(Clone, Debug, Default)]
pub struct EventsConfig {
    /// `[events_queue]`.
    pub queue: QueueConfig,
    /// `[[events]]`; names are unique.
    pub sinks: Vec<SinkConfig>,
}

/// `[events_queue]`: where events wait for webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Where they are kept over a restart; none keeps them in memory.
    pub folder: Option<PathBuf>,
    /// How many of each sink are held in memory; at least one.
    pub memory: usize,
    /// How many bytes of each sink may wait in `folder`.
    pub disk: u64,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { folder: None, memory: 10_000, disk: 1 << 30 }
    }
}

/// One of `[[events]]`.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Its key in the configuration.
    pub key: String,
    /// What logs, metrics and the queue call it: letters, digits, `-` and `_`.
    pub name: String,
    /// What it is told of.
    pub filter: EventFilter,
    /// Whether what users do is refused while its events cannot be kept.
    pub required: bool,
    /// What it is.
    pub kind: SinkKind,
}

/// What a sink is.
#[derive(Clone, Debug)]
pub enum SinkKind {
    /// An HTTP endpoint.
    Webhook(WebhookConfig),
    /// A file with a line for each event.
    File(PathBuf),
    /// Standard output, with a line for each event.
    Stdout,
}

/// An HTTP endpoint that takes events.
#[derive(Clone)]
pub struct WebhookConfig {
    /// Where they are posted to; it may hold a secret in its query.
    pub url: Url,
    /// The file with the key that they are signed with.
    pub secret_file: Option<PathBuf>,
    /// The file with the token that is shown.
    pub bearer_token_file: Option<PathBuf>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many are on their way at once; at least one.
    pub concurrency: usize,
    /// How old an event becomes before it is given up.
    pub max_age: Duration,
    /// How often one is tried before it is given up; none for as often as it takes.
    pub max_attempts: Option<u32>,
}

impl fmt::Debug for WebhookConfig {
    /// Without the URL's path and query, which may be what opens it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// Which events a sink is told of. An empty part lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of these types.
    pub types: BTreeSet<EventType>,
    /// Of these users.
    pub users: BTreeSet<String>,
    /// About these paths, as users see them.
    pub paths: Vec<Pattern>,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// The store has confirmed a file.
    Upload,
    /// A client has taken all of a file.
    Download,
    /// A file was deleted.
    Delete,
    /// A file or directory has another name.
    Rename,
    /// A directory was made.
    Mkdir,
    /// A directory was removed.
    Rmdir,
    /// A user has logged in.
    Login,
    /// Somebody has not.
    LoginFailed,
    /// A session of a user has ended.
    SessionClosed,
}

impl EventType {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Delete => "delete",
            Self::Rename => "rename",
            Self::Mkdir => "mkdir",
            Self::Rmdir => "rmdir",
            Self::Login => "login",
            Self::LoginFailed => "login_failed",
            Self::SessionClosed => "session_closed",
        }
    }
}

/// Which of the values of `type` it is.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Webhook,
    File,
    Stdout,
}

impl EventsConfig {
    pub(super) fn read(queue: Section<'_>, sinks: Vec<Section<'_>>) -> Self {
        let mut names = BTreeSet::new();
        let queue = QueueConfig::read(queue);
        let sinks = sinks.into_iter().filter_map(|section| SinkConfig::read(section, &mut names)).collect();
        Self { queue, sinks }
    }

    /// What deserves a second look.
    pub(super) fn warnings(&self) -> Vec<String> {
        let open = |sink: &&SinkConfig| matches!(&sink.kind, SinkKind::Webhook(hook) if hook.url.scheme() == "http" && hook.bearer_token_file.is_some());
        let shown = self.sinks.iter().filter(open);
        shown.map(|sink| format!("events `{}` shows its bearer token without TLS", sink.name)).collect()
    }
}

impl QueueConfig {
    fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let config = Self {
            folder: file(&mut section, "folder"),
            memory: section.checked("memory", default.memory, |&memory| within(memory, 1_000_000)),
            disk: section
                .checked("disk", ByteSize(default.disk), |size| {
                    if *size < ByteSize::mib(1) { Err("must be at least 1MiB".to_owned()) } else { Ok(()) }
                })
                .as_u64(),
        };
        section.finish();
        config
    }
}

impl SinkConfig {
    fn read(mut section: Section<'_>, names: &mut BTreeSet<String>) -> Option<Self> {
        let name = section.required::<String>("name");
        if let Some(name) = &name {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
                section.error("name", "must be 1 to 63 letters, digits, `-` and `_`");
            } else if !names.insert(name.clone()) {
                section.error("name", format!("`{name}` is already the name of another"));
            }
        }
        let filter = EventFilter {
            types: section.field("types", BTreeSet::new()),
            users: section.field("users", BTreeSet::new()),
            paths: read_paths(&mut section),
        };
        let required = section.field("required", false);
        let kind = match section.required::<Kind>("type") {
            Some(Kind::Webhook) => WebhookConfig::read(&mut section).map(SinkKind::Webhook),
            Some(Kind::File) => section.required::<PathBuf>("path").map(SinkKind::File),
            Some(Kind::Stdout) => Some(SinkKind::Stdout),
            // What else it has depends on it, so no key of it is unknown.
            None => return None,
        };
        let key = section.path().to_owned();
        section.finish();
        Some(Self { key, name: name?, filter, required, kind: kind? })
    }
}

impl WebhookConfig {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let url = read_url(section);
        let secret_file = readable(section, "secret_file");
        let bearer_token_file = readable(section, "bearer_token_file");
        let max_attempts = section.field("max_attempts", 0);
        let config = Self {
            url: url?,
            secret_file,
            bearer_token_file,
            timeout: timeout(section, "timeout", Duration::from_secs(10)),
            concurrency: section.checked("concurrency", 8, |&count| within(count, 1000)),
            max_age: span(section, "max_age", Duration::from_hours(24)),
            max_attempts: Some(max_attempts).filter(|&most| most > 0),
        };
        Some(config)
    }
}

fn within(value: usize, most: usize) -> Result<(), String> {
    if (1..=most).contains(&value) { Ok(()) } else { Err(format!("must be from 1 to {most}")) }
}

/// A path; an empty one is none.
fn file(section: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    section.optional::<PathBuf>(key).filter(|path| !path.as_os_str().is_empty())
}

/// The path of a file with a secret in it.
fn readable(section: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    let path = file(section, key)?;
    if let Err(message) = check_secret(&path) {
        section.error(key, message);
    }
    Some(path)
}

fn check_secret(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    if text.trim().is_empty() { Err(format!("{shown} is empty")) } else { Ok(()) }
}

fn read_paths(section: &mut Section<'_>) -> Vec<Pattern> {
    let mut read = Vec::new();
    for text in section.field("paths", Vec::<String>::new()) {
        match Pattern::new(&text) {
            Ok(pattern) if text.starts_with('/') => read.push(pattern),
            Ok(_) => section.error("paths", format!("`{text}` must begin with a slash")),
            Err(error) => section.error("paths", format!("`{text}` is no pattern: {}", error.msg)),
        }
    }
    read
}

/// The message of a mistake does not repeat the URL, which may hold a secret.
fn read_url(section: &mut Section<'_>) -> Option<Url> {
    let text = section.required::<String>("url")?;
    let wrong = match Url::parse(&text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => "must be http:// or https://".to_owned(),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "must hold no password: use bearer_token_file".to_owned()
        }
        Ok(url) => return Some(url),
        Err(error) => format!("is not a URL: {error}"),
    };
    section.error("url", wrong);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    fn parse(text: &str) -> Result<EventsConfig, Vec<String>> {
        let text = format!("{text}\n[stores.a]\nurl = \"memory:///\"\n");
        let config = Config::parse(&text, &Environment::new());
        config
            .map(|config| config.events)
            .map_err(|errors| errors.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nobody_is_told_by_default() {
        let config = parse("").expect("valid");
        assert!(config.sinks.is_empty());
        assert_eq!(config.queue, QueueConfig { folder: None, memory: 10_000, disk: 1 << 30 });
    }

    #[test]
    fn a_webhook_and_its_defaults() {
        let config = parse(
            "[[events]]\nname = 'landed'\ntype = 'webhook'\nurl = 'https://example.org/hook?key=hunter2'\n\
             types = ['upload', 'login_failed']\nusers = ['acme']\npaths = ['/in/**']\nrequired = true",
        );
        let config = config.expect("valid");
        let [sink] = &config.sinks[..] else { panic!("one sink") };
        assert_eq!((sink.name.as_str(), sink.required), ("landed", true));
        assert_eq!(sink.filter.types, BTreeSet::from([EventType::Upload, EventType::LoginFailed]));
        let SinkKind::Webhook(hook) = &sink.kind else { panic!("a webhook") };
        assert_eq!((hook.timeout, hook.max_age), (Duration::from_secs(10), Duration::from_hours(24)));
        assert_eq!((hook.concurrency, hook.max_attempts), (8, None));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn every_mistake_has_its_key() {
        let mistakes = parse(
            "[events_queue]\nmemory = 0\ndisk = '1KiB'\n\
             [[events]]\nname = 'a b'\ntype = 'stdout'\nurl = 'x'\n\
             [[events]]\nname = 'x'\ntype = 'pigeon'\n\
             [[events]]\nname = 'y'\ntype = 'webhook'\nurl = 'https://me:hunter2@example.org'\nsecret_file = '/nowhere/key'\n\
             [[events]]\nname = 'y'\ntype = 'file'\ntypes = ['fly']\npaths = ['in/*', '/a***']\n",
        )
        .expect_err("mistakes");
        let expected = [
            "events_queue.memory: must be from 1 to 1000000",
            "events_queue.disk: must be at least 1MiB",
            "events[0].name: must be 1 to 63 letters",
            "events[0].url: unknown key",
            "events[1].type: unknown variant `pigeon`",
            "events[2].url: must hold no password",
            "events[2].secret_file: cannot read /nowhere/key",
            "events[3].name: `y` is already",
            "events[3].types: unknown variant `fly`",
            "events[3].paths: `in/*` must begin with a slash",
            "events[3].paths: `/a***` is no pattern",
            "events[3].path: is required",
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
        for (line, start) in mistakes.iter().zip(expected) {
            assert!(line.starts_with(start), "{line} is not {start}");
        }
    }

    #[test]
    fn the_environment_can_name_one() {
        let pair = |(name, value): (&str, &str)| (format!("BUCKETPORT_EVENTS__0__{name}"), value.to_owned());
        let environment: Environment = [("NAME", "x"), ("TYPE", "stdout")].map(pair).into();
        let config = Config::parse("[stores.a]\nurl = \"memory:///\"\n", &environment).expect("valid");
        assert!(matches!(&config.events.sinks[..], [SinkConfig { kind: SinkKind::Stdout, .. }]));
    }

    #[test]
    fn a_token_without_tls_is_warned_of() {
        let token = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(token.path(), "t\n").expect("writable");
        let hook = |url: &str| {
            format!(
                "[[events]]\nname = 'x'\ntype = 'webhook'\nurl = '{url}'\nbearer_token_file = '{}'",
                token.path().display()
            )
        };
        assert_eq!(parse(&hook("http://example.org")).expect("valid").warnings().len(), 1);
        assert_eq!(parse(&hook("https://example.org")).expect("valid").warnings().len(), 0);
    }
}
