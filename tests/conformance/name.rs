//! Names are kept byte for byte, or refused; never changed.

use bucketport::storage::{EntryKind, Existing, StorePath, UploadMode};

use crate::data::body;
use crate::fixture::{Fixture, PlansUploads};

const NAMES: [&str; 28] = [
    " leading space",
    "trailing space ",
    " ",
    "#",
    "a#b",
    "x#1y",
    "%41",
    "100%.csv",
    "%2e%2e",
    "what?",
    "*.txt",
    "[a-z]",
    "é",
    "e\u{301}",
    "日本語.txt",
    "🐟",
    "back\\slash",
    "a+b",
    "a b+c d",
    "a&b=c;d",
    "<x>",
    "'\"`",
    "-rf",
    "~home",
    "12:30",
    "a:b",
    "|",
    "...",
];

pub(crate) async fn stay_as_they_are(fixture: &Fixture) {
    let (names, others): (Vec<_>, Vec<_>) = NAMES.into_iter().partition(|name| fixture.keeps_name(name));
    refuses(fixture, &others).await;
    for (seed, &name) in names.iter().enumerate() {
        let path = format!("{name}/in it");
        fixture.put(&path, &body(seed + 1, seed as u64)).await;
        fixture.assert_holds(&path, &body(seed + 1, seed as u64)).await;
        fixture.store().delete(&fixture.path(&path)).await.expect(name);
        fixture.store().remove_directory(&fixture.path(name)).await.expect(name);
    }
    for (seed, &name) in names.iter().enumerate() {
        let path = format!("files/{name}");
        fixture.put(&path, &body(seed + 1, seed as u64)).await;
        fixture.assert_holds(&path, &body(seed + 1, seed as u64)).await;
        let entry = fixture.store().stat(&fixture.path(&path)).await.expect("just made");
        assert_eq!(entry.name, name);
    }
    let listed = fixture.entries("files").await.expect("a directory");
    let expected = names.iter().enumerate().map(|(seed, &name)| (name.to_owned(), Some(seed as u64 + 1)));
    assert_eq!(listed, expected.collect());

    for name in &names {
        fixture.store().make_directory(&fixture.path(&format!("made/{name}"))).await.expect(name);
        assert!(fixture.store().is_directory(&fixture.path(&format!("made/{name}"))).await.expect(name));
    }
    let listed = fixture.entries("made").await.expect("a directory");
    assert_eq!(listed, names.iter().map(|&name| (name.to_owned(), None)).collect());

    for (seed, &name) in names.iter().enumerate() {
        let (from, to) = (fixture.path(&format!("files/{name}")), fixture.path(&format!("moved/{name}")));
        fixture.store().rename(&from, &to, Existing::Refuse).await.expect(name);
        fixture.assert_holds(&format!("moved/{name}"), &body(seed + 1, seed as u64)).await;
        fixture.store().delete(&to).await.expect(name);
        fixture.store().remove_directory(&fixture.path(&format!("made/{name}"))).await.expect(name);
    }
    for emptied in ["files", "moved", "made"] {
        fixture.store().remove_directory(&fixture.path(emptied)).await.expect("empty");
        fixture.assert_missing(emptied).await;
    }
}

pub(crate) async fn long_ones(fixture: &Fixture) {
    // s3s-fs puts the whole key into one file name, as base64.
    let longest = if fixture.keeps_files() && fixture.folder().is_none() { 120 } else { 200 };
    let name = "n".repeat(longest);
    fixture.put(&name, &body(5, 1)).await;
    fixture.assert_holds(&name, &body(5, 1)).await;
    assert_eq!(fixture.entries("").await.expect("a directory").into_keys().collect::<Vec<_>>(), [name]);
    if fixture.keeps_files() {
        return;
    }
    let room = 1024 - fixture.path("").as_str().len() - 1;
    let of_one = format!("{}/{}", "d".repeat(200), "n".repeat(room - 201));
    let longest = match fixture.longest_name() {
        None => of_one,
        Some(limit) => {
            refuses(fixture, &[&of_one, &"n".repeat(limit + 1)]).await;
            let directories = format!("{}/", "d".repeat(limit)).repeat((room - 1) / (limit + 1));
            let left = limit.min(room - directories.len());
            format!("{directories}{}", "n".repeat(left))
        }
    };
    fixture.put(&longest, &body(5, 2)).await;
    fixture.assert_holds(&longest, &body(5, 2)).await;
}

/// Fails unless no file and no directory can have any of these `names`, and nothing else is made of them.
async fn refuses(fixture: &Fixture, names: &[&str]) {
    for name in names {
        let path = fixture.path(name);
        let uploaded = fixture.upload(name, UploadMode::Replace, &body(1, 1)).await;
        assert_err!(uploaded, NameNotAllowed(_));
        assert_err!(fixture.store().make_directory(&path).await, NameNotAllowed(_));
        fixture.put("plain", &body(1, 1)).await;
        let renamed = fixture.store().rename(&fixture.path("plain"), &path, Existing::Refuse).await;
        assert_err!(renamed, NameNotAllowed(_));
        fixture.assert_holds("plain", &body(1, 1)).await;
        fixture.store().delete(&fixture.path("plain")).await.expect("it is there");
    }
}

pub(crate) async fn too_long_ones(fixture: &Fixture) {
    let home = fixture.path("");
    assert_err!(home.join(&"n".repeat(1025)), NameNotAllowed(_));
    assert_err!(home.join(&"é".repeat(513)), NameNotAllowed(_));
    assert_err!(home.join(&format!("{}{}", "d/".repeat(500), "n".repeat(100))), NameNotAllowed(_));
    // What the store's own limit refuses is an error of the name too.
    if fixture.folder().is_some() {
        let name = "n".repeat(256);
        assert_err!(fixture.upload(&name, UploadMode::Replace, &body(1, 1)).await, NameNotAllowed(_));
        assert_err!(fixture.store().make_directory(&fixture.path(&name)).await, NameNotAllowed(_));
        // Before the 150, also where nothing above it is there yet.
        let below = fixture.path(&format!("missing/{name}/file"));
        assert_err!(fixture.store().plan_upload(&below, UploadMode::Replace).await, NameNotAllowed(_));
        fixture.put("file", &body(1, 1)).await;
        let renamed = fixture.store().rename(&fixture.path("file"), &below, Existing::Replace).await;
        assert_err!(renamed, NameNotAllowed(_));
    }
}

pub(crate) async fn what_no_store_holds(fixture: &Fixture) {
    for name in ["a//b", "/a", "a/", ".", "..", "a/../b", "a/./b", "line\nfeed", "nul\0"] {
        assert_err!(StorePath::root().join(name), NameNotAllowed(_));
    }
    for name in ["x#1", "#1", "x#123", "x#1/below", "note:", "C|", "c:/below"] {
        if fixture.folder().is_some() {
            // object_store stages its uploads under such names, or makes others of them.
            assert_err!(fixture.upload(name, UploadMode::Replace, &body(1, 1)).await, NameNotAllowed(_));
            assert_err!(fixture.store().make_directory(&fixture.path(name)).await, NameNotAllowed(_));
            fixture.put("plain", &body(1, 1)).await;
            let (from, to) = (fixture.path("plain"), fixture.path(name));
            assert_err!(fixture.store().rename(&from, &to, Existing::Refuse).await, NameNotAllowed(_));
            assert_eq!(fixture.entries("").await.expect("a directory").len(), 1);
        } else if !name.contains('/') {
            fixture.put(name, &body(1, 1)).await;
            let entry = fixture.store().stat(&fixture.path(name)).await.expect("just made");
            assert_eq!(entry.kind, EntryKind::File { size: 1 });
        }
    }
}
