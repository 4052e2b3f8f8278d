//! Circles of imports among files. A `mod.rs` that passes a name on does not count: who imports the name imports the
//! file that declares it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::source::Source;

/// A module's path, such as `["edge", "client"]`.
type Module = Vec<String>;

struct File<'a> {
    name: &'a str,
    module: Module,
    imports: Vec<Import>,
}

struct Import {
    /// Absolute.
    path: Module,
    /// `pub use`: passes names on.
    passes_on: bool,
}

/// Every circle, as the files on it.
pub(crate) fn find(sources: &[Source]) -> Vec<String> {
    let files: Vec<File> = sources.iter().map(File::read).collect();
    let by_module: BTreeMap<&[String], usize> =
        files.iter().enumerate().map(|(index, file)| (file.module.as_slice(), index)).collect();
    let edges: Vec<BTreeSet<usize>> = files
        .iter()
        .enumerate()
        .map(|(index, file)| {
            let counted = file.imports.iter().filter(|import| !import.passes_on);
            let targets = counted.filter_map(|import| declares(&files, &by_module, &import.path, 0));
            targets.filter(|target| *target != index).collect()
        })
        .collect();
    let mut circles = BTreeSet::new();
    for start in 0..files.len() {
        if let Some(circle) = path_back(&edges, start) {
            let mut names: Vec<_> = circle.iter().map(|&index| files[index].name).collect();
            names.sort_unstable();
            circles.insert(names.join(" <-> "));
        }
    }
    circles.into_iter().collect()
}

/// The file in which what `path` names is declared.
fn declares(
    files: &[File],
    by_module: &BTreeMap<&[String], usize>,
    path: &[String],
    depth: usize,
) -> Option<usize> {
    let length = (0..=path.len()).rev().find(|&length| by_module.contains_key(&path[..length]))?;
    let file = by_module[&path[..length]];
    let passed_on = path.get(length).filter(|_| depth < 5).and_then(|name| {
        let passing = files[file].imports.iter().filter(|import| import.passes_on);
        let import = passing.into_iter().find(|import| import.path.last() == Some(name))?;
        declares(files, by_module, &import.path, depth + 1)
    });
    Some(passed_on.unwrap_or(file))
}

/// A shortest way from `start` along the edges back to it.
fn path_back(edges: &[BTreeSet<usize>], start: usize) -> Option<Vec<usize>> {
    let mut came_from = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(here) = queue.pop_front() {
        for &next in &edges[here] {
            if next == start {
                let mut path = vec![here];
                while let Some(&before) = came_from.get(path.last()?) {
                    path.push(before);
                }
                return Some(path);
            }
            if let Entry::Vacant(unseen) = came_from.entry(next) {
                unseen.insert(here);
                queue.push_back(next);
            }
        }
    }
    None
}

impl<'a> File<'a> {
    fn read(source: &'a Source) -> Self {
        let stem = source.path.strip_suffix(".rs").expect("a source file");
        let mut module: Module = stem.split('/').map(str::to_owned).collect();
        module.pop_if(|last| last == "mod" || last == "lib");
        let is_folder = source.path.ends_with("mod.rs") || source.path == "lib.rs";
        let mut imports = Vec::new();
        let mut note = |path: &[String], passes_on| {
            let path = absolute(&module, is_folder, path, &source.text);
            imports.extend(path.map(|path| Import { path, passes_on: passes_on && is_folder }));
        };
        let mut lines =
            source.without_tests().lines().map(|line| line.split("//").next().unwrap_or_default());
        while let Some(line) = lines.next() {
            let Some((before, tree)) = line.split_once("use ").filter(|(before, _)| is_visibility(before))
            else {
                for path in paths_in(line) {
                    note(&path, false);
                }
                continue;
            };
            let mut tree = tree.to_owned();
            while !tree.ends_with(';') {
                let Some(more) = lines.next() else { break };
                tree.push_str(more);
            }
            for path in expand(tree.trim_end_matches(';')) {
                note(&path, !before.trim().is_empty());
            }
        }
        Self { name: &source.path, module, imports }
    }
}

/// Whether this stands before a `use`: nothing, `pub`, `pub(super)` and the like.
fn is_visibility(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || (text.starts_with("pub") && !text.contains("fn"))
}

/// The paths into this crate that stand in a line of code.
fn paths_in(line: &str) -> impl Iterator<Item = Vec<String>> {
    let starts = ["crate::", "super::"].into_iter().flat_map(|root| line.match_indices(root));
    let starts = starts.filter(|(at, _)| {
        !line[..*at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
    });
    starts.map(|(at, _)| {
        let end = line[at..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        let path = &line[at..end.map_or(line.len(), |end| at + end)];
        path.split("::").map(str::to_owned).collect()
    })
}

/// Each path of a `use` tree: `a::{b, c::{d}}` is `a::b` and `a::c::d`. A name given with `as` counts.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.split("::").map(|segment| segment.trim().to_owned()).collect()];
    };
    let head: Vec<String> = head
        .split("::")
        .map(|segment| segment.trim().to_owned())
        .filter(|segment| !segment.is_empty())
        .collect();
    let (mut depth, mut start, mut paths) = (0, 0, Vec::new());
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                for path in expand(&inner[start..at]) {
                    if path != [""] {
                        let own = if path == ["self"] { Vec::new() } else { path };
                        paths.push(head.iter().cloned().chain(own).collect());
                    }
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    paths
}

/// The path from the crate's root; none for paths into other crates.
fn absolute(module: &[String], is_folder: bool, path: &[String], text: &str) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    let parent = &module[..module.len().saturating_sub(1)];
    let base = match first.as_str() {
        "crate" => &[],
        "self" => module,
        "super" => parent,
        // A module that is declared here.
        child if is_folder && text.contains(&format!("mod {child};")) => {
            return Some(module.iter().chain(path).cloned().collect());
        }
        _ => return None,
    };
    Some(base.iter().chain(rest).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn trees_are_expanded() {
        let paths: Vec<_> = expand("crate::{a::{self, B}, c}").iter().map(|path| path.join("::")).collect();
        assert_eq!(paths, ["crate::a", "crate::a::B", "crate::c"]);
    }

    #[test]
    fn circles_are_found_through_names_that_are_passed_on() {
        let sources = [
            source("lib.rs", "mod a;\nmod b;\n"),
            source("a/mod.rs", "mod x;\nmod y;\n\npub use x::X;\n"),
            source("a/x.rs", "use super::y::Y;\n"),
            source("a/y.rs", "//! Idea.\n\nuse std::io;\n\nuse super::X;\n"),
            source("b.rs", "use crate::a::X;\n"),
        ];
        assert_eq!(find(&sources), ["a/x.rs <-> a/y.rs"]);
        assert_eq!(
            find(&[source("a/mod.rs", "mod x;\nuse x::X;\n"), source("a/x.rs", "use super::Y;\n")]),
            ["a/mod.rs <-> a/x.rs"]
        );
        assert_eq!(
            find(&[source("a/mod.rs", "mod x;\nuse x::X;\n"), source("a/x.rs", "use crate::b;\n")]),
            [""; 0]
        );
    }
}
