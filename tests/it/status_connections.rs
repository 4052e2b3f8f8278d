//! The connections of the HTTP server: how many there may be, whose, for how long, and who gives way to whom.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{
    Events, Gateway, Setup, bearer, connect, connect_from, eventually, request, request_on,
};

const LIMIT: Duration = Duration::from_secs(20);
/// Before what says nothing is closed for that.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn only_so_many_pages_are_kept_up_to_date() {
    let gateway = Gateway::start();
    let mut open: Vec<_> = (0..32).map(|_| Events::open(gateway.http, &[]).expect("a place")).collect();
    assert!(Events::open(gateway.http, &[]).is_none());
    assert_eq!(request(gateway.http, "GET /status", &[], "").status, 200);
    open.pop();
    eventually("a place", LIMIT, || Events::open(gateway.http, &[]).is_some());
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.ended(LIMIT).code(), Some(0));
}

#[test]
fn who_takes_no_answer_is_dropped() {
    let gateway = Gateway::start();
    let mut greedy = connect(gateway.http);
    // Far more answers than fit in all buffers on the way.
    let requests = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    greedy.write_all(requests.as_bytes()).expect("it takes bytes");
    // To a connection that is gone nothing can be written.
    eventually("the end", Duration::from_mins(1), || greedy.write_all(b"\r\n").is_err());
}

#[test]
fn without_the_token_nobody_takes_the_places_of_those_who_have_it() {
    let gateway = Setup::default().admin().start();
    let open = |headers: &[&str]| Events::open(gateway.http, headers);
    let anybody: Vec<_> = (0..16).map(|_| open(&[]).expect("a place")).collect();
    assert!(open(&[]).is_none());
    let holders: Vec<_> = (0..16).map(|_| open(&[&bearer()]).expect("a place")).collect();
    assert!(open(&[&bearer()]).is_none());
    drop(anybody);
    // Holders may have the places of the others as well.
    eventually("a place", LIMIT, || open(&[&bearer()]).is_some());
    drop(holders);
}

/// Connections that are no use to anybody: some say nothing, some never end their head, some never send their body.
fn slow(gateway: &Gateway, count: usize) -> Vec<TcpStream> {
    let begin = |number: usize| {
        let mut stream = connect(gateway.http);
        let text = [
            "",
            "GET /metrics HTTP/1.1\r\nHost: x\r\n",
            "POST /status/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
        ][number % 3];
        stream.write_all(text.as_bytes()).expect("it takes bytes");
        stream
    };
    (0..count).map(begin).collect()
}

/// Whether the other end ends it within `limit`.
fn is_over(stream: &mut TcpStream, limit: Duration) -> bool {
    stream.set_read_timeout(Some(limit)).expect("a live socket");
    match stream.read(&mut [0; 1]) {
        Ok(read) => read == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[test]
fn who_fills_all_places_of_an_address_gives_way_to_who_comes_from_there() {
    let gateway = Setup::default().admin().start();
    let mut watched = Events::open(gateway.http, &[]).expect("a place");
    let mut slow = slow(&gateway, 63);
    // Taken, and waiting for their heads.
    let livez = |stream| request_on(stream, "GET /livez", &[], "").status;
    assert_eq!(livez(connect(gateway.http)), 200);
    // The oldest, which is no stream, has lost its place; the last ones have theirs, so none has ended for its silence.
    assert!(is_over(&mut slow[0], SOON));
    assert_eq!(livez(slow.remove(60)), 200);
    assert!(watched.next().is_some() && watched.next().is_some());
}

#[test]
fn one_address_cannot_take_the_places_of_others() {
    let gateway = Gateway::start();
    // Node and monitoring ask from addresses of their own.
    let others = [2, 3].map(|last| connect_from(gateway.http, Ipv4Addr::new(127, 0, 0, last).into()));
    let _slow = slow(&gateway, 200);
    assert_eq!(request(gateway.http, "GET /readyz", &[], "").status, 200);
    for other in others {
        assert_eq!(request_on(other, "GET /livez", &[], "").status, 200);
    }
}

#[test]
fn who_comes_gets_a_place_although_all_are_taken() {
    let gateway = Gateway::start();
    let from = |last| connect_from(gateway.http, Ipv4Addr::new(127, 0, 0, last).into());
    let mut first: Vec<_> = (0..64).map(|_| from(2)).collect();
    let rest: Vec<_> = (0..63).map(|_| from(3)).collect();
    let alone = from(4);
    assert_eq!(request_on(from(5), "GET /livez", &[], "").status, 200);
    assert!(is_over(&mut first[0], SOON));
    for kept in [alone, first.remove(63)] {
        assert_eq!(request_on(kept, "GET /livez", &[], "").status, 200);
    }
    drop(rest);
}

#[test]
fn heads_are_bounded_and_have_a_deadline() {
    let gateway = Gateway::start();
    let large = format!("X: {}", "x".repeat(100_000));
    assert_eq!(request(gateway.http, "GET /livez", &[&large[..20_000]], "").status, 200);
    let mut endless = connect(gateway.http);
    // It is closed before all of it is read.
    let _ = endless.write_all(format!("GET /livez HTTP/1.1\r\n{large}").as_bytes());
    let _ = endless.set_read_timeout(Some(SOON));
    let mut answer = Vec::new();
    let end = endless.read_to_end(&mut answer).err().map(|error| error.kind());
    assert!(matches!(end, None | Some(ErrorKind::ConnectionReset)), "{end:?}");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"));
    assert_eq!(request(gateway.http, "GET /livez", &["X: 1"; 100], "").status, 431);
    for stream in &mut slow(&gateway, 2) {
        assert!(is_over(stream, LIMIT));
    }
}

#[test]
fn a_form_that_does_not_come_has_a_deadline() {
    let gateway = Setup::default().admin().start();
    let mut stream = connect(gateway.http);
    let head = "POST /status/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it takes bytes");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer within the deadline of this socket");
    assert_eq!(&answer, b"HTTP/1.1 408");
}
