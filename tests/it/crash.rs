//! A gateway that is killed, again and again, while clients upload: every 226 is there and whole, nothing else is, and the
//! next one cleans up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::{Gateway, S3Server, Setup, assert_same, bytes, curl, files_below};

const ROUNDS: u64 = 6;
const CLIENTS: u64 = 4;
/// Below and above a part, so that every way to commit is cut.
const SIZES: [usize; 4] = [3_000, 300_000, 6 * 1024 * 1024, 11 * 1024 * 1024];

/// Uploads until the gateway is gone. What got its 226 is in `confirmed`, what was begun in `begun`.
fn upload(
    gateway: &Gateway,
    (round, client): (u64, u64),
    gone: &AtomicBool,
    files: &[PathBuf],
    known: &Mutex<BTreeMap<String, (usize, bool)>>,
) {
    for number in 0.. {
        if gone.load(Ordering::Relaxed) {
            return;
        }
        let size = usize::try_from(number + client).expect("small") % SIZES.len();
        // Some names are new and some are written again in every round, so that an old file is at stake as well.
        let name =
            if number % 3 == 0 { format!("same-{client}") } else { format!("{round}-{client}-{number}") };
        known.lock().expect("no panic").entry(name.clone()).or_insert((size, false));
        let sent = curl(["-T", files[size].to_str().expect("UTF-8"), &gateway.url(&format!("/{name}"))]);
        if sent.code == Some(0) {
            known.lock().expect("no panic").insert(name, (size, true));
        }
    }
}

/// Fails unless all that was confirmed is there, and all that is there is a whole file.
fn check(gateway: &Gateway, known: &BTreeMap<String, (usize, bool)>, contents: &[Vec<u8>]) {
    let mut raw = gateway.login();
    let listed = raw.list("NLST");
    for (name, (_, confirmed)) in known {
        assert!(!confirmed || listed.contains(name), "{name} got its 226 and is gone");
    }
    for name in listed {
        let held = raw.retr(&name);
        // It may be there without a 226: only the reply was cut off then.
        let (size, _) = known.get(&name).unwrap_or_else(|| panic!("{name} was never uploaded"));
        if name.starts_with("same-") {
            // Any of the uploads of that name may be the last that was confirmed.
            assert!(contents.contains(&held), "{name}: {} bytes of no file", held.len());
        } else {
            assert_same(&held, &contents[*size]);
        }
    }
}

fn killed_again_and_again(start: impl Fn() -> Gateway, root: &Path, left: impl Fn() -> Vec<String>) {
    let folder = TempDir::new().expect("a temporary folder");
    let contents: Vec<_> = (1..).zip(SIZES).map(|(seed, size)| bytes(size, seed)).collect();
    let files: Vec<_> = (0..SIZES.len()).map(|number| folder.path().join(number.to_string())).collect();
    for (file, content) in files.iter().zip(&contents) {
        std::fs::write(file, content).expect("a writable folder");
    }
    let known = Mutex::default();
    for round in 0..ROUNDS {
        let gateway = start();
        check(&gateway, &known.lock().expect("no panic"), &contents);
        let gone = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (gateway, gone, files, known) = (&gateway, &gone, &files, &known);
                scope.spawn(move || upload(gateway, (round, client), gone, files, known));
            }
            std::thread::sleep(Duration::from_millis(700 + 170 * round));
            gone.store(true, Ordering::Relaxed);
            gateway.signal(Signal::SIGKILL);
            gateway.ended(Duration::from_secs(20));
        });
    }
    let known = known.into_inner().expect("no panic");
    assert!(known.values().any(|(_, confirmed)| *confirmed), "nothing was confirmed at all");
    // What was left is a day old.
    let old = SystemTime::now() - Duration::from_hours(25);
    for file in files_below(root) {
        let file = std::fs::File::options().append(true).open(root.join(file)).expect("a file");
        file.set_modified(old).expect("a local file");
    }
    let gateway = start();
    let begun = Instant::now();
    while !left().is_empty() {
        assert!(begun.elapsed() < Duration::from_mins(1), "the janitor leaves {:?}", left());
        std::thread::sleep(Duration::from_millis(100));
    }
    check(&gateway, &known, &contents);
}

/// What `folder` holds of the gateway's own.
fn own_files(folder: &Path) -> Vec<String> {
    files_below(folder).into_iter().filter(|file| file.contains(".bucketport")).collect()
}

#[test]
fn of_a_local_folder_nothing_is_lost() {
    let folder = TempDir::new().expect("a temporary folder");
    let url = format!("file://{}", folder.path().display());
    let start = || Setup::default().ports(40).at(&url, Vec::new()).start();
    killed_again_and_again(start, folder.path(), || own_files(folder.path()));
}

#[test]
fn of_a_bucket_nothing_is_lost() {
    let server = S3Server::start();
    let start = || Setup::default().ports(40).transfer("part_size = \"5MiB\"").s3(&server).start();
    killed_again_and_again(start, &server.bucket(), || own_files(&server.bucket()));
    // Those that were killed before they had a record are left to the bucket's lifecycle rules.
    let parts = server.open_uploads().into_iter().filter(|file| file.contains(".part-")).count();
    assert!(parts <= usize::try_from(CLIENTS * ROUNDS).expect("small"), "{parts} parts stay");
}
