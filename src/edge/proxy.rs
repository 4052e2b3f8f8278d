//! The PROXY protocol, versions 1 and 2: a balancer says whom it connects for. Its header stands before everything else
//! on a connection, TLS included.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::metrics::{Metrics, Rejection};
use crate::net::{Ends, canonical};
use crate::seldom::Seldom;

/// Balancers send the header with their first packet.
const DEADLINE: Duration = Duration::from_secs(5);
/// A header of version 2 needs 232 bytes at most for itself and its addresses; the rest is extensions, which balancers
/// fill with some hundred bytes and which are not looked at here.
const LONGEST: usize = 2048;
/// The same for version 1, which says so itself.
const LONGEST_TEXT: usize = 107;
/// How version 2 begins. Its length stands in the two bytes before the addresses.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const BEFORE_ADDRESSES: usize = 16;
/// How version 1 begins. It ends with its line.
const TEXT: &[u8] = b"PROXY ";

/// Why a connection is closed before anything is said on it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it comes from outside ftp.proxy_trusted")]
    Untrusted,
    #[error("it begins with no valid PROXY header")]
    Malformed,
    #[error("its PROXY header is longer than {LONGEST} bytes")]
    TooLong,
    #[error("its PROXY header did not come in time")]
    Late,
    #[error("it ended before its PROXY header did")]
    Gone(#[from] io::Error),
}

/// The balancers that may say whom they connect for, on listeners where each connection begins so.
#[derive(Debug)]
pub(super) struct Proxies {
    trusted: Vec<IpNet>,
    metrics: Arc<Metrics>,
    /// A balancer that is not set up for it fails on every connection, and its health checks never end.
    told: Seldom,
}

/// Whom a balancer has connected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stated {
    client: SocketAddr,
    dialled: SocketAddr,
}

impl Proxies {
    pub(super) fn new(trusted: Vec<IpNet>, metrics: Arc<Metrics>) -> Self {
        Self { trusted, metrics, told: Seldom::default() }
    }

    /// Whether `peer` may send a header. If not, its connection is counted and logged as refused, and is to be closed.
    pub(super) fn trusts(&self, peer: SocketAddr) -> bool {
        let trusted = self.trusted.iter().any(|network| network.contains(&peer.ip()));
        if !trusted {
            self.refuse(peer, &Refusal::Untrusted);
        }
        trusted
    }

    /// The ends of the connection as its header states them, or its own where that states none. Nothing is taken from
    /// `stream` that follows the header. None if there is no header within five seconds: then the connection is counted
    /// and logged as refused, and is to be closed.
    pub(super) async fn ends(&self, stream: &mut TcpStream, peer: SocketAddr) -> Option<Ends> {
        let ends = timeout(DEADLINE, read(stream, peer)).await.unwrap_or(Err(Refusal::Late));
        ends.inspect_err(|refusal| self.refuse(peer, refusal)).ok()
    }

    fn refuse(&self, peer: SocketAddr, refusal: &Refusal) {
        tracing::debug!(%peer, %refusal, "connection refused");
        match refusal {
            Refusal::Untrusted => self.metrics.rejected(Rejection::UntrustedProxy),
            Refusal::Malformed | Refusal::TooLong | Refusal::Late => {
                self.metrics.rejected(Rejection::ProxyHeader);
            }
            // Many health checks connect and say nothing.
            Refusal::Gone(_) => return,
        }
        if let Some(others) = self.told.tell() {
            tracing::warn!(%peer, %refusal, others, "connection refused, look at ftp.proxy_protocol");
        }
    }
}

async fn read(stream: &mut TcpStream, peer: SocketAddr) -> Result<Ends, Refusal> {
    let own = Ends::direct(peer, canonical(stream.local_addr()?));
    Ok(match parse(&take(stream).await?)? {
        Some(Stated { client, dialled }) => {
            tracing::debug!(%peer, %client, %dialled, "a balancer has connected for a client");
            Ends { client, dialled, ..own }
        }
        // Semantics decision: for LOCAL and UNKNOWN, which balancers say of themselves, its own address counts.
        None => own,
    })
}

/// Takes a header from `stream`, however many pieces it comes in, and nothing else. The caller bounds the wait.
pub(super) async fn take(stream: &mut TcpStream) -> Result<Vec<u8>, Refusal> {
    let mut buffer = vec![0; LONGEST];
    let mut filled = 0;
    loop {
        // What follows the header may have come along, so it is looked at before it is taken.
        let peeked = stream.peek(&mut buffer[filled..]).await?;
        if peeked == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let seen = filled + peeked;
        let end = end_of(&buffer[..seen])?;
        let taken = end.map_or(seen, |end| end.min(seen));
        stream.read_exact(&mut buffer[filled..taken]).await?;
        filled = taken;
        if end == Some(filled) {
            buffer.truncate(filled);
            return Ok(buffer);
        }
    }
}

/// Where the header ends that begins with `seen`. None while that cannot be known: then all of `seen` belongs to it.
fn end_of(seen: &[u8]) -> Result<Option<usize>, Refusal> {
    let begins_as = |start: &[u8]| seen.iter().zip(start).all(|(a, b)| a == b);
    if begins_as(SIGNATURE) {
        let Some(&[high, low]) = seen.get(BEFORE_ADDRESSES - 2..BEFORE_ADDRESSES) else { return Ok(None) };
        let end = BEFORE_ADDRESSES + usize::from(u16::from_be_bytes([high, low]));
        return if end <= LONGEST { Ok(Some(end)) } else { Err(Refusal::TooLong) };
    }
    if !begins_as(TEXT) {
        return Err(Refusal::Malformed);
    }
    match seen.iter().take(LONGEST_TEXT).position(|&byte| byte == b'\n') {
        Some(end) => Ok(Some(end + 1)),
        None if seen.len() < LONGEST_TEXT => Ok(None),
        None => Err(Refusal::Malformed),
    }
}

/// What a header states, which `bytes` holds and nothing else; none if it states nothing.
fn parse(bytes: &[u8]) -> Result<Option<Stated>, Refusal> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(bytes, config) {
        Ok((header, length)) if length == bytes.len() => Ok(header.proxied_address().map(|address| Stated {
            client: canonical(address.source),
            dialled: canonical(address.destination),
        })),
        _ => Err(Refusal::Malformed),
    }
}

/// What holds for all bytes.
#[cfg(any(test, fuzzing))]
pub(super) mod properties {
    use proxy_header::ProxiedAddress;

    use super::*;

    /// More bytes move no end that was found, which is not far, and what a header states it states when it is written again.
    pub(in crate::edge) fn the_end_never_moves(bytes: &[u8]) {
        let mut known = None;
        for seen in 1..=bytes.len() {
            match (known, end_of(&bytes[..seen])) {
                (None, Ok(end)) => known = end,
                (Some(before), Ok(end)) => assert_eq!(end, Some(before)),
                (None, Err(_)) => break,
                (Some(_), Err(refusal)) => panic!("{refusal}"),
            }
            assert!(known.is_none_or(|end| end <= LONGEST));
        }
        // Nobody parses less or more than a header; here anything may be one.
        let _ = parse(bytes);
        let header = known.and_then(|end| bytes.get(..end));
        if let Some(Ok(Some(stated))) = header.map(parse) {
            for bytes in written(stated) {
                assert_eq!(end_of(&bytes).expect("a header"), Some(bytes.len()));
                assert_eq!(parse(&bytes).expect("a header"), Some(stated));
            }
        }
    }

    /// In both versions; in none where they have no way to say it.
    fn written(stated: Stated) -> impl Iterator<Item = Vec<u8>> {
        let header = ProxyHeader::with_address(ProxiedAddress::stream(stated.client, stated.dialled));
        let (mut text, mut binary) = (Vec::new(), Vec::new());
        let written = [header.encode_v1(&mut text).is_ok(), header.encode_v2(&mut binary).is_ok()];
        assert_eq!(written, [stated.client.is_ipv4() == stated.dialled.is_ipv4(); 2]);
        [text, binary].into_iter().zip(written).filter_map(|(bytes, written)| written.then_some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proxy_header::ProxiedAddress;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::runtime::Builder;

    use super::*;

    /// What comes of a connection on which `pieces` arrive one by one, and what is left on it.
    fn taken(pieces: &[&[u8]]) -> (Result<Option<Stated>, Refusal>, Vec<u8>) {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let mut client =
                TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connect");
            client.set_nodelay(true).expect("a live socket");
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let sending = async {
                for piece in pieces {
                    client.write_all(piece).await.expect("loopback takes it");
                    tokio::task::yield_now().await;
                }
                client.shutdown().await.expect("a live socket");
            };
            let (taken, ()) = tokio::join!(take(&mut stream), sending);
            let stated = taken.and_then(|header| parse(&header));
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.expect("an orderly end");
            (stated, rest)
        })
    }

    fn version_2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).expect("short").to_be_bytes();
        [SIGNATURE, &[command, family], &length, addresses].concat()
    }

    #[test]
    fn what_states_no_address_is_a_header_as_well() {
        for header in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(),
            version_2(0x20, 0x00, b""),
            version_2(0x20, 0x11, &[0; 12]),
            version_2(0x21, 0x00, b"extensions"),
            version_2(0x21, 0x31, &[1; 216]),
        ] {
            let (stated, rest) = taken(&[&header, b"rest"]);
            assert!(matches!(stated, Ok(None)), "{header:?} {stated:?}");
            assert_eq!(rest, b"rest");
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_an_ipv4_address() {
        let (stated, _) = taken(&[b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 1025 21\r\n"]);
        let (client, dialled) = (([192, 0, 2, 7], 1025).into(), ([192, 0, 2, 1], 21).into());
        assert_eq!(stated.expect("a header"), Some(Stated { client, dialled }));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for wrong in [
            &b"USER demo\r\n"[..],
            b"\r\n\r\nUSER demo\r\n",
            b"PROXYTCP4 192.0.2.7 192.0.2.1 1025 21\r\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 1025 21\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 1025\r\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 1025 65536\r\n",
            b"PROXY TCP4 192.0.2.256 192.0.2.1 1025 21\r\n",
            b"PROXY TCP4 ::1 ::1 1025 21\r\n",
            b"PROXY \r\n",
            b"PROXY \n",
            &[b"PROXY UNKNOWN ", &[b'x'; 200][..], b"\r\n"].concat(),
            &version_2(0x11, 0x11, &[0; 12]),
            &version_2(0x22, 0x11, &[0; 12]),
            &version_2(0x21, 0x11, &[0; 11]),
            &version_2(0x21, 0x21, &[0; 35]),
            &version_2(0x21, 0x41, &[0; 36]),
        ] {
            let (stated, _) = taken(&[wrong]);
            assert!(matches!(stated, Err(Refusal::Malformed)), "{} {stated:?}", wrong.escape_ascii());
        }
        let most = version_2(0x20, 0x00, &[0; LONGEST - BEFORE_ADDRESSES]);
        assert!(matches!(taken(&[&most]).0, Ok(None)));
        let more = version_2(0x20, 0x00, &[0; LONGEST - BEFORE_ADDRESSES + 1]);
        assert!(matches!(taken(&[&more]).0, Err(Refusal::TooLong)));
        assert!(matches!(taken(&[&most[..most.len() - 1]]).0, Err(Refusal::Gone(_))));
        assert!(matches!(taken(&[]).0, Err(Refusal::Gone(_))));
    }

    /// Noise that begins as headers do more often than not.
    fn noise() -> impl Strategy<Value = Vec<u8>> {
        let start = prop::sample::select(vec![
            Vec::new(),
            TEXT.to_vec(),
            b"PROXY TCP4 ".to_vec(),
            b"PROXY TCP6 ::1 ".to_vec(),
            b"PROXY UNKNOWN".to_vec(),
            SIGNATURE.to_vec(),
            version_2(0x21, 0x11, b""),
            [SIGNATURE, b"\x21\x21\0"].concat(),
        ]);
        let bytes = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            prop::collection::vec(prop::sample::select(b"0123. :f\r\n".to_vec()), 0..120),
        ];
        (start, bytes).prop_map(|(start, bytes)| [start, bytes].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn no_bytes_panic_and_more_of_them_change_no_end(bytes in noise()) {
            properties::the_end_never_moves(&bytes);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn a_header_in_any_pieces_is_taken_whole_and_alone(
            (client, dialled) in prop_oneof![
                any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (a.into(), b.into())),
                any::<([u16; 8], [u16; 8])>().prop_map(|(a, b)| (a.into(), b.into())),
            ],
            ports in any::<(u16, u16)>(),
            version in 1..=2,
            extensions in prop::collection::vec(any::<u8>(), 0..300),
            rest in prop::collection::vec(any::<u8>(), 0..300),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let (client, dialled) = (SocketAddr::new(client, ports.0), SocketAddr::new(dialled, ports.1));
            let header = ProxyHeader::with_address(ProxiedAddress::stream(client, dialled));
            let mut bytes = Vec::new();
            if version == 1 {
                header.encode_v1(&mut bytes).expect("two addresses of one family");
            } else {
                header.encode_v2(&mut bytes).expect("two addresses of one family");
                bytes.extend(&extensions);
                let length = u16::try_from(bytes.len() - BEFORE_ADDRESSES).expect("short");
                bytes[BEFORE_ADDRESSES - 2..BEFORE_ADDRESSES].copy_from_slice(&length.to_be_bytes());
            }
            bytes.extend(&rest);
            let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let pieces: Vec<_> = at.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let (stated, left) = taken(&pieces);
            let expected = Stated { client: canonical(client), dialled: canonical(dialled) };
            prop_assert_eq!(stated.expect("a header"), Some(expected));
            prop_assert_eq!(left, rest);
        }
    }
}
