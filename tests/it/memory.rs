//! `transfer.memory` bounds what all transfers hold together.

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

#[test]
fn many_large_downloads_stay_within_the_budget() {
    let server = S3Server::start();
    let content = bytes(SIZE, 2);
    std::fs::write(server.bucket().join("large"), &content).expect("a writable folder");
    let gateway = Setup::default()
        .ports(60)
        .s3(&server)
        .transfer("memory = \"32MiB\"")
        .transfer("part_size = \"8MiB\"")
        .log("level = \"info\"")
        .start();
    std::thread::scope(|scope| {
        for _ in 0..10 {
            let (gateway, content) = (&gateway, &content);
            scope.spawn(move || assert_same(&gateway.login().retr("large"), content));
        }
    });
    let most = gateway.memory("VmHWM");
    assert!(most < 120 * 1024, "{most} KiB");
}
