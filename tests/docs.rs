//! The documentation against the program: configurations are accepted, links lead somewhere, tests that are named
//! exist, and the metrics table is that of the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A page for readers: its path from the root, and its text.
struct Page {
    path: String,
    text: String,
}

/// `README.md`, its neighbours and everything in `docs`.
fn pages() -> Vec<Page> {
    let root = Path::new(ROOT);
    let files = [root.to_owned(), root.join("docs")]
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).expect("a folder of the project"))
        .map(|entry| entry.expect("an entry").path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let page = |path: PathBuf| Page {
        text: fs::read_to_string(&path).expect("a readable page"),
        path: path.strip_prefix(root).expect("below the root").display().to_string(),
    };
    let mut pages: Vec<Page> = files.filter(is_page).map(page).collect();
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(pages.iter().any(|page| page.path == "README.md") && pages.len() >= 7, "pages are missing");
    pages
}

/// The contents of fenced blocks marked with `language`.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}");
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let content: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            if line == opening {
                found.push(content.join("\n"));
            }
        }
    }
    found
}

/// The text without fenced blocks.
fn prose(text: &str) -> String {
    let mut inside = false;
    let mut keep = |line: &&str| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    };
    text.lines().filter(|line| keep(line)).collect::<Vec<_>>().join("\n")
}

/// What stands in `code` in the prose.
fn inline_code(text: &str) -> Vec<String> {
    prose(text).split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// `bucketport check` on a file, without this machine's variables: its exit code and what it said. What the file names is
/// beside it in a folder of its own name, if there is one.
fn check(file: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bucketport"));
    command.args(["check", "--config"]).arg(file).env_clear();
    if file.with_extension("").is_dir() {
        command.current_dir(file.with_extension(""));
    }
    let output = command.output().expect("the program runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn configurations_in_the_pages_are_accepted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut checked = 0;
    for page in pages() {
        for block in blocks(&page.text, "toml") {
            let table: Table =
                block.parse().unwrap_or_else(|error| panic!("{}: {error}\n{block}", page.path));
            // Without a store it is a fragment. Users are not needed: their absence is a warning only.
            if !table.contains_key("stores") {
                continue;
            }
            let file = folder.path().join("page.toml");
            fs::write(&file, &block).expect("a writable folder");
            let (code, said) = check(&file);
            assert_eq!(code, Some(0), "{}: {said}\n{block}", page.path);
            checked += 1;
        }
    }
    assert!(checked >= 5, "only {checked} configurations were found");
}

#[test]
fn sample_files_are_accepted() {
    let samples = fs::read_dir(Path::new(ROOT).join("deploy/config")).expect("the samples");
    let mut checked = 0;
    for sample in samples {
        let path = sample.expect("an entry").path();
        if path.is_dir() {
            continue;
        }
        let (code, said) = check(&path);
        assert_eq!(code, Some(0), "{said}");
        checked += 1;
    }
    assert!(checked >= 5, "only {checked} samples were found");
}

/// Every key of a configuration, as its path; what is below `options` is the store's own.
fn keys(table: &Table) -> BTreeSet<String> {
    fn walk(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Table(table) if !path.ends_with(".options") => {
                table.iter().for_each(|(key, value)| walk(&format!("{path}.{key}"), value, found));
            }
            Value::Array(items) if items.iter().any(Value::is_table) => {
                for item in items {
                    walk(path, item, found);
                }
            }
            _ => {
                found.insert(path.trim_start_matches('.').to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk("", &Value::Table(table.clone()), &mut found);
    found
}

#[test]
fn every_key_is_explained() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/configuration.md")).expect("the page");
    let complete = blocks(&page, "toml").into_iter().map(|block| block.parse::<Table>().expect("TOML"));
    let complete = complete.max_by_key(|table| keys(table).len()).expect("the complete sample");
    let demo = fs::read_to_string(Path::new(ROOT).join("deploy/config/demo.toml")).expect("the sample");
    assert_eq!(keys(&complete), keys(&demo.parse().expect("TOML")), "the page and deploy/config/demo.toml");
    let explained: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|row| row.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    for key in keys(&complete) {
        let last = key.rsplit('.').next().expect("a key");
        assert!(explained.contains(&key) || explained.contains(last), "{key} has no row in a table");
    }
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let letter = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    heading.trim_start_matches('#').trim().chars().filter_map(letter).collect()
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        let here = Path::new(ROOT).join(&page.path);
        for link in links(&page.text) {
            if link.starts_with("http://") || link.starts_with("https://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { here.clone() } else { here.with_file_name("").join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", page.path);
            if !fragment.is_empty() {
                let text = prose(&fs::read_to_string(&target).expect("a readable page"));
                let found = text.lines().any(|line| line.starts_with('#') && anchor(line) == fragment);
                assert!(found, "{}: {link} has no such heading", page.path);
            }
        }
    }
}

#[test]
fn named_tests_exist() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/semantics.md")).expect("the page");
    let mut named = 0;
    for code in inline_code(&page) {
        let Some((file, name)) = code.split_once(".rs::") else { continue };
        let text = fs::read_to_string(Path::new(ROOT).join(file).with_extension("rs"));
        let text = text.unwrap_or_else(|error| panic!("{file}.rs: {error}"));
        assert!(text.contains(&format!("fn {name}(")), "there is no test {name} in {file}.rs");
        named += 1;
    }
    assert!(named >= 50, "only {named} tests are named");
}

/// The array of texts at `path` in one of the project's files.
fn texts(file: &str, path: &[&str]) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(ROOT).join(file)).expect("the file");
    let table: Table = text.parse().expect("TOML");
    let found = path.iter().fold(&Value::Table(table), |value, key| &value[key]).clone();
    let items = found.as_array().expect("an array");
    items.iter().map(|item| item.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn the_licences_in_the_image_are_those_that_are_allowed() {
    assert_eq!(texts("about.toml", &["accepted"]), texts("deny.toml", &["licenses", "allow"]));
}

#[test]
fn the_metrics_table_is_that_of_the_code() {
    let code = fs::read_to_string(Path::new(ROOT).join("src/metrics/mod.rs")).expect("the code");
    let code = code.split("#[cfg(test)]").next().expect("the code before its tests");
    let declared: Vec<&str> =
        code.split('"').skip(1).step_by(2).filter(|text| text.starts_with("bucketport_")).collect();
    let page = fs::read_to_string(Path::new(ROOT).join("docs/metrics.md")).expect("the page");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `bucketport_"));
    let documented: Vec<String> =
        rows.filter_map(|row| Some(format!("bucketport_{}", row.split_once('`')?.0))).collect();
    assert_eq!(documented, declared);
    for query in blocks(&page, "promql") {
        for word in query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let name = ["_bucket", "_count", "_sum"].iter().find_map(|ending| word.strip_suffix(ending));
            let known = declared.contains(&word) || name.is_some_and(|name| declared.contains(&name));
            assert!(known || !word.starts_with("bucketport_"), "a query names {word}");
        }
    }
}
