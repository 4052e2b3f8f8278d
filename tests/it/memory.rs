//! `transfer.memory` bounds what all transfers hold together.

use std::io::Read;
use std::time::Duration;

use crate::support::{S3Server, Setup, assert_same, bytes};

const UPLOADS: usize = 30;
const SIZE: usize = 16 * 1024 * 1024;

/// All uploads at once hold 480 MiB; the gateway may hold 32 MiB of it, one part more, and its own.
#[test]
fn many_large_uploads_stay_within_the_budget() {
    let server = S3Server::start();
    let gateway = Setup::default()
        .ports(60)
        .s3(&server)
        .transfer("memory = \"32MiB\"")
        .transfer("part_size = \"8MiB\"")
        .log("level = \"info\"")
        .start();
    let content = bytes(SIZE + UPLOADS, 1);
    std::thread::scope(|scope| {
        for number in 0..UPLOADS {
            let (gateway, content) = (&gateway, &content);
            scope.spawn(move || gateway.login().stor(&format!("f{number}"), &content[number..number + SIZE]));
        }
    });
    for number in 0..UPLOADS {
        let stored = std::fs::read(server.bucket().join(format!("f{number}"))).expect("stored");
        assert_same(&stored, &content[number..number + SIZE]);
    }
    assert_eq!(server.open_uploads(), [""; 0]);
    let most = gateway.memory("VmHWM");
    assert!(most < 120 * 1024, "{most} KiB");
    let buffered = gateway.metric("bucketport_buffer_bytes");
    assert!(buffered < 0.5, "{buffered}");
}

/// Each reads as fast as it can, so that every buffer on the way is full; some read nothing for a while.
#[test]
fn many_large_downloads_stay_within_the_budget() {
    const DOWNLOADS: usize = 100;
    let server = S3Server::start();
    let content = bytes(SIZE + SIZE / 4, 2);
    std::fs::write(server.bucket().join("large"), &content).expect("a writable folder");
    let gateway = Setup::default()
        .ports(120)
        .s3(&server)
        .transfer("memory = \"32MiB\"")
        .transfer("part_size = \"8MiB\"")
        .log("level = \"info\"")
        .start();
    let idle = gateway.memory("VmRSS");
    std::thread::scope(|scope| {
        for number in 0..DOWNLOADS {
            let (gateway, content) = (&gateway, &content);
            scope.spawn(move || {
                let mut session = gateway.login();
                let mut data = session.begin("RETR large");
                if number % 10 == 0 {
                    std::thread::sleep(Duration::from_secs(1));
                }
                let mut buffer = vec![0; 64 * 1024];
                let mut taken = 0;
                loop {
                    let read = data.read(&mut buffer).expect("the gateway sends it all");
                    if read == 0 {
                        break;
                    }
                    assert!(content[taken..].starts_with(&buffer[..read]), "other bytes at {taken}");
                    taken += read;
                }
                assert_eq!(taken, content.len());
                session.reply_is(226);
            });
        }
    });
    let most = gateway.memory("VmHWM");
    assert!(most < idle + (32 + 64) * 1024, "{most} KiB after {idle} KiB");
    assert!(gateway.metric("bucketport_buffer_bytes") < 0.5);
}
