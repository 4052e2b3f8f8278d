//! What must not depend on what, read from the source as text: see the map in `src/lib.rs` and `ARCHITECTURE.md`.

mod circles;
mod source;

use std::collections::BTreeMap;

use source::Source;

/// The modules in reading order. A module may use those in the lines above its own, and nothing else.
const LAYERS: &[&[&str]] = &[
    &["encoding", "hashes"],
    &["config"],
    &["seldom", "spans"],
    &["logging", "metrics", "net", "shutdown", "workers"],
    &["limits"],
    &["data", "digest", "facts", "path", "reply", "tls", "user"],
    &["session"],
    &["sessions"],
    &["events", "recent"],
    &["auth"],
    &["storage"],
    &["files"],
    &["control"],
    &["edge"],
    &["http"],
    &["terminal"],
    &["reload"],
    &["app"],
    &["cli"],
    &["main"],
];

/// Modules that may use less than what stands above them.
const NARROWER: &[(&str, &[&str])] = &[
    // A store moves bytes for whoever asks: it knows no session and no user.
    ("storage", &["config", "data", "metrics", "shutdown", "spans"]),
    // Whoever is told of something knows only what it is told.
    ("events", &["config", "metrics", "seldom", "shutdown"]),
    // Whoever watches the gateway sees what is told of sessions and can end them. Of users and files it knows nothing.
    ("http", &["config", "events", "metrics", "net", "recent", "session", "sessions", "shutdown", "storage"]),
    // Another process's status, over HTTP.
    ("terminal", &["config", "http"]),
    ("logging", &["config", "seldom", "spans"]),
    ("main", &["cli"]),
];

/// Crates, and parts of crates, that only these modules may name, so that one module can follow or replace them. No
/// owner: not used yet.
const OWNERS: &[(&str, &[&str])] = &[
    ("aws_lc_rs", &["auth", "digest", "edge", "events", "http", "storage"]),
    ("axum", &["http"]),
    ("backon", &["events"]),
    ("bcrypt", &["hashes"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("comfy_table", &["terminal"]),
    ("crc_fast", &["digest"]),
    ("encoding_rs", &["encoding"]),
    ("governor", &["limits"]),
    ("hyper", &["http"]),
    ("hyper_util", &["http"]),
    ("icu_normalizer", &["auth"]),
    ("ldap3", &["auth"]),
    ("libunftp", &["control"]),
    ("maud", &["http"]),
    ("mime_guess", &["storage"]),
    ("moka", &["auth"]),
    ("object_store", &["storage"]),
    ("opentelemetry", &["logging"]),
    ("opentelemetry_otlp", &["logging"]),
    ("opentelemetry_sdk", &["logging"]),
    ("password_auth", &["hashes"]),
    ("prometheus", &["metrics"]),
    ("proxy_header", &["edge"]),
    ("rcgen", &["tls"]),
    ("redb", &["events"]),
    ("reqwest", &["auth", "events", "terminal"]),
    ("rustls", &["tls"]),
    ("serde_saphyr", &["config"]),
    ("tokio::net", &["net", "control", "edge", "http", "app"]),
    ("tokio_rustls", &["tls"]),
    ("toml", &["config"]),
    ("toml_edit", &["config"]),
    ("tracing_opentelemetry", &["logging"]),
    ("tracing_subscriber", &["logging"]),
    ("unftp_core", &["control", "storage"]),
    ("unftp_sbe_gcs", &["storage"]),
    ("uuid", &["events"]),
    ("x509_parser", &["tls"]),
];

/// A file has one idea; a longer one has two.
const LONGEST: usize = 420;

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| panic!("`{module}` has no place in LAYERS"))
}

/// What follows `root::` in a line, wherever that is the beginning of a path; each name of `root::{a, b}`.
fn used<'a>(line: &'a str, root: &str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (at, _) in line.match_indices(&format!("{root}::")) {
        if line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':') {
            continue;
        }
        let rest = &line[at + root.len() + 2..];
        let list = rest.strip_prefix('{').map(|list| list.split('}').next().unwrap_or_default());
        let paths = list.map_or_else(|| vec![rest], |list| list.split(',').collect());
        names.extend(paths.into_iter().map(|path| {
            let path = path.trim_start();
            let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
            &path[..end]
        }));
    }
    names
}

/// Whether the line names the crate: in a path, or in a `use` of its own.
fn names_crate(line: &str, name: &str) -> bool {
    let first = line.trim_start().trim_start_matches("pub ").trim_start_matches("use ");
    !used(line, name).is_empty()
        || (line.contains("use ")
            && first.strip_prefix(name).is_some_and(|rest| rest.starts_with([';', ' '])))
}

fn assert_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

#[test]
fn imports_run_one_way() {
    let mut wrong = Vec::new();
    for source in Source::all() {
        let Some(module) = source.module() else { continue };
        let narrower = NARROWER.iter().find(|(name, _)| *name == module);
        for (number, line) in source.code() {
            let root = if module == "main" { "bucketport" } else { "crate" };
            for used in used(&line, root) {
                let allowed = match narrower {
                    _ if used == module => true,
                    Some((_, allowed)) => allowed.contains(&used),
                    None => layer(used) < layer(module),
                };
                if !allowed {
                    wrong.push(format!("src/{}:{number}: {module} uses {used}", source.path));
                }
            }
            // From a file of a module's own folder this would climb out of it unseen.
            if line.contains("super::super::") {
                wrong.push(format!("src/{}:{number}: write crate:: for what is further up", source.path));
            }
        }
    }
    assert_none("modules may use only those above them in LAYERS", &wrong);
}

#[test]
fn crates_have_their_owners() {
    let mut wrong = Vec::new();
    for source in Source::all() {
        let module = source.module().unwrap_or_default();
        for (number, line) in source.code() {
            for (name, owners) in OWNERS {
                let named = match name.split_once("::") {
                    Some((root, part)) => used(&line, root).contains(&part),
                    None => names_crate(&line, name),
                };
                if named && !owners.contains(&module) {
                    wrong.push(format!("src/{}:{number}: {name} belongs to {owners:?}", source.path));
                }
            }
        }
    }
    assert_none("crates that only their owners may name", &wrong);
}

#[test]
fn no_circles_among_files() {
    assert_none("files that import each other", &circles::find(&Source::all()));
}

#[test]
fn the_map_is_in_reading_order() {
    let sources = Source::all();
    let map = sources.iter().find(|source| source.path == "lib.rs").expect("the library's root");
    let modules = map
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';'));
    let listed: Vec<_> = modules.collect();
    assert!(
        listed.is_sorted_by_key(|module| layer(module)),
        "src/lib.rs lists a module above what it uses: {listed:?}"
    );
    let mut count = BTreeMap::<&str, usize>::new();
    for module in LAYERS.iter().copied().flatten().copied().filter(|module| *module != "main").chain(listed) {
        *count.entry(module).or_default() += 1;
    }
    count.retain(|_, count| *count != 2);
    assert!(count.is_empty(), "in LAYERS or in src/lib.rs, but not in both: {:?}", count.keys());
}

#[test]
fn every_file_begins_with_its_idea() {
    let sources = Source::all();
    let wrong: Vec<_> = sources
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("src/{}", source.path))
        .collect();
    assert_none("files whose first line is no `//!` line", &wrong);
}

#[test]
fn no_file_has_two_ideas() {
    let sources = Source::all();
    let lengths = sources.iter().map(|source| (source.text.lines().count(), &source.path));
    let wrong: Vec<_> = lengths
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, path)| format!("src/{path}: {lines} lines"))
        .collect();
    assert_none("files with more than 420 lines", &wrong);
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    assert_eq!(used("use crate::edge::Edge;", "crate"), ["edge"]);
    assert_eq!(used("use crate::{auth, storage::Store};", "crate"), ["auth", "storage"]);
    assert_eq!(used("    let x: crate::user::User = y(crate::config::A);", "crate"), ["user", "config"]);
    assert_eq!(used("pub(crate) fn f(a: my_crate::edge::B)", "crate"), [""; 0]);
    assert!(names_crate("use toml;", "toml"));
    assert!(names_crate("    x: toml::Value,", "toml"));
    assert!(!names_crate("use super::toml::Value;", "toml"));
    assert!(!names_crate("let toml = 1;", "toml"));
}
