//! What the tests share: the gateway under test, a raw FTP client, real FTP clients, and an S3 server.

mod clients;
mod cluster;
mod dialogue;
mod gateway;
mod hanging;
mod http;
mod killed;
mod namespaces;
mod place;
mod raw;
mod receiver;
mod s3;
mod tls;

use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use clients::{client, curl, installed, lftp, python, source};
pub(crate) use cluster::Cluster;
pub(crate) use dialogue::Home;
pub(crate) use gateway::{Gateway, Setup, passive_ports, program};
pub(crate) use hanging::{Trouble, TroubledS3};
pub(crate) use http::{Answer, Events, TOKEN, bearer, connect, connect_from, request, request_on};
pub(crate) use killed::{Killed, killed};
pub(crate) use namespaces::Namespace;
pub(crate) use place::{Place, on_each_store, on_each_store_and_in_memory};
pub(crate) use raw::{Raw, accepted, eprt_command, may_use_port_20, port_command, reset};
pub(crate) use receiver::{Delivery, Manner, Receiver};
pub(crate) use s3::S3Server;
pub(crate) use tls::{Authority, Certificate, Pair, python_with_tls, setup};

/// `size` bytes that differ from those of every other `seed` and repeat nowhere.
pub(crate) fn bytes(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        // Marsaglia's xorshift64: fast, and no two blocks are alike.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(size);
    out
}

/// Waits until `done` says so, and fails when that takes longer than `limit`.
pub(crate) fn eventually(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Compares two files' contents without printing megabytes when they differ.
#[track_caller]
pub(crate) fn assert_same(got: &[u8], expected: &[u8]) {
    if got == expected {
        return;
    }
    let differs = got.iter().zip(expected).position(|(a, b)| a != b);
    panic!("{} bytes instead of {}, first difference at {differs:?}", got.len(), expected.len());
}

/// Every file below `folder` as a relative path, sorted.
pub(crate) fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(folder).expect("below the folder");
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
