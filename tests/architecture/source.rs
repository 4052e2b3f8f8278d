//! The source as text.

use std::path::{Path, PathBuf};

pub(crate) struct Source {
    /// Below `src`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        collect(&root, &mut files);
        files.sort();
        let sources: Vec<_> = files
            .into_iter()
            .map(|file| Self {
                path: file.strip_prefix(&root).expect("found below it").display().to_string(),
                text: std::fs::read_to_string(&file).expect("a text file"),
            })
            .collect();
        assert!(sources.len() > 20, "the source is elsewhere");
        sources
    }

    /// The top-level module that the file belongs to; none for `lib.rs`.
    pub(crate) fn module(&self) -> Option<&str> {
        let top = self.path.split('/').next().expect("a path");
        Some(top.strip_suffix(".rs").unwrap_or(top)).filter(|module| *module != "lib")
    }

    /// What stands before its unit tests.
    pub(crate) fn without_tests(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default()
    }

    /// Its lines with their numbers, without comments and what is in quotes.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, String)> {
        let unquoted = |line: &str| line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
        self.text.lines().enumerate().map(move |(index, line)| {
            let code = unquoted(line);
            (index + 1, code.split("//").next().unwrap_or_default().to_owned())
        })
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
