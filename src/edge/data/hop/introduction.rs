//! How two replicas get to know each other on a hop: the owner sends a challenge, and the forwarder answers with a PROXY
//! header that names the client. Each proves with it that it knows the cluster's secret, and the owner which replica it is: the
//! address of a pod that is gone may be anybody's.
//!
//! The challenge makes each answer good for one connection, without clocks and without anything to remember. It costs the
//! time that the owner's first bytes take.

use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use proxy_header::{ParseConfig, ProxiedAddress, ProxyHeader, Tlv};
use secrecy::{ExposeSecret, SecretString};

use crate::config::Slices;
use crate::net::canonical;

/// As many bytes each challenge has, and each proof.
const CHALLENGE: usize = 32;
const PROOF: usize = 32;
/// As many bytes the owner begins with.
pub(super) const GREETING: usize = CHALLENGE + PROOF;

/// What proofs are made of besides what they prove. None is the beginning of another.
const OWNER: &[u8] = b"bucketport hop 1, from its owner";
const FORWARDER: &[u8] = b"bucketport hop 1, from its forwarder";

/// The extensions of the PROXY header, from those that are left to applications: for how many microseconds the forwarder has
/// had the connection, and its proof, which is the end of the header.
const AGE: u8 = 0xE0;
const FORWARDERS_PROOF: u8 = 0xE1;

/// A forwarder's connection, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Introduced {
    pub(super) client: SocketAddr,
    /// What the client has dialled, with the port that it reached.
    pub(super) dialled: SocketAddr,
    /// For how long the forwarder has known it.
    pub(super) age: Duration,
}

/// What the owner of one hop wants to see answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    bytes: [u8; CHALLENGE],
    owner: u16,
}

/// What the replicas know each other by, and have to agree on.
#[derive(Debug)]
pub(super) struct Secret {
    key: Key,
    slices: Vec<u8>,
}

impl Secret {
    pub(super) fn new(secret: &SecretString, slices: &Slices) -> Self {
        Self { key: Key::new(HMAC_SHA256, secret.expose_secret().as_bytes()), slices: slices.to_bytes() }
    }

    /// What the replica `owner` says first on a hop, and the challenge in it.
    pub(super) fn greet(&self, owner: u16) -> ([u8; GREETING], Challenge) {
        let challenge = Challenge { bytes: rand::random(), owner };
        let mut greeting = [0; GREETING];
        let (bytes, proof) = greeting.split_at_mut(CHALLENGE);
        bytes.copy_from_slice(&challenge.bytes);
        proof.copy_from_slice(self.sign(&self.begin(OWNER, &challenge)).as_ref());
        (greeting, challenge)
    }

    /// The challenge in a greeting; none if that is not from the replica `owner`.
    pub(super) fn challenge(&self, owner: u16, greeting: &[u8; GREETING]) -> Option<Challenge> {
        let (bytes, proof) = greeting.split_first_chunk::<CHALLENGE>()?;
        let challenge = Challenge { bytes: *bytes, owner };
        // In constant time, as is the other one.
        hmac::verify(&self.key, &self.begin(OWNER, &challenge), proof).is_ok().then_some(challenge)
    }

    /// The header that answers `challenge`; none if no header can name these addresses, one of IPv4 and one of IPv6.
    pub(super) fn answer(&self, challenge: &Challenge, introduced: &Introduced) -> Option<Vec<u8>> {
        let Introduced { client, dialled, age } = *introduced;
        let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX).to_be_bytes();
        let extensions = [
            Tlv::Custom(AGE, age.as_slice().into()),
            Tlv::Custom(FORWARDERS_PROOF, [0; PROOF].as_slice().into()),
        ];
        let mut header = Vec::new();
        let address = ProxiedAddress::stream(client, dialled);
        ProxyHeader::with_tlvs(Some(address), extensions).encode_v2(&mut header).ok()?;
        let (stated, proof) = header.split_last_chunk_mut::<PROOF>()?;
        proof.copy_from_slice(self.sign(&self.answer_to(challenge, stated)).as_ref());
        Some(header)
    }

    /// What `header` says; none if it is no answer to `challenge` from somebody who knows the secret.
    pub(super) fn introduced(&self, challenge: &Challenge, header: &[u8]) -> Option<Introduced> {
        // All that is said is what was proven: nothing is read before.
        let (stated, proof) = header.split_last_chunk::<PROOF>()?;
        hmac::verify(&self.key, &self.answer_to(challenge, stated), proof).ok()?;
        let (parsed, _) = ProxyHeader::parse(header, ParseConfig::default()).ok()?;
        let address = parsed.proxied_address()?;
        let age = parsed.tlvs().find_map(|extension| match extension {
            Ok(Tlv::Custom(AGE, micros)) => Some(u64::from_be_bytes(micros.as_ref().try_into().ok()?)),
            _ => None,
        })?;
        Some(Introduced {
            client: canonical(address.source),
            dialled: canonical(address.destination),
            age: Duration::from_micros(age),
        })
    }

    fn sign(&self, proven: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, proven)
    }

    /// What a proof is made of, up to what is particular to it.
    fn begin(&self, whose: &[u8], challenge: &Challenge) -> Vec<u8> {
        [whose, &self.slices, &challenge.owner.to_be_bytes(), &challenge.bytes].concat()
    }

    fn answer_to(&self, challenge: &Challenge, stated: &[u8]) -> Vec<u8> {
        [&self.begin(FORWARDER, challenge), stated].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PassivePorts;

    fn secret(text: &str) -> Secret {
        of_replicas(text, 3)
    }

    fn of_replicas(text: &str, replicas: u16) -> Secret {
        let ports = PassivePorts::new(50_000..=50_099).expect("a range");
        Secret::new(&text.into(), &Slices::new(ports, replicas).expect("a port for each"))
    }

    fn somebody() -> Introduced {
        Introduced {
            client: ([192, 0, 2, 7], 40_001).into(),
            dialled: ([203, 0, 113, 5], 50_040).into(),
            age: Duration::from_micros(1_234),
        }
    }

    #[test]
    fn replicas_that_know_the_secret_know_each_other() {
        let secret = secret("0123456789abcdef");
        for (client, dialled) in
            [("192.0.2.7:40001", "203.0.113.5:50040"), ("[2001:db8::7]:1", "[2001:db8::5]:2")]
        {
            let address = |text: &str| text.parse().expect("an address");
            let said = Introduced { client: address(client), dialled: address(dialled), ..somebody() };
            let (greeting, expected) = secret.greet(2);
            let challenge = secret.challenge(2, &greeting).expect("of that replica");
            assert_eq!(challenge, expected);
            let header = secret.answer(&challenge, &said).expect("one family");
            assert_eq!(secret.introduced(&expected, &header), Some(said));
        }
    }

    #[test]
    fn a_greeting_is_of_one_replica_that_knows_the_secret() {
        let (greeting, _) = secret("0123456789abcdef").greet(2);
        assert_eq!(secret("0123456789abcdef").challenge(1, &greeting), None);
        assert_eq!(secret("0123456789abcdeg").challenge(2, &greeting), None);
        // Others divide the ports in another way.
        assert_eq!(of_replicas("0123456789abcdef", 4).challenge(2, &greeting), None);
        let mut other = greeting;
        other[0] ^= 1;
        assert_eq!(secret("0123456789abcdef").challenge(2, &other), None);
    }

    #[test]
    fn an_answer_is_good_for_one_challenge_and_as_it_was_given() {
        let secret = secret("0123456789abcdef");
        let ((_, challenge), (_, next)) = (secret.greet(2), secret.greet(2));
        let header = secret.answer(&challenge, &somebody()).expect("one family");
        assert!(secret.introduced(&challenge, &header).is_some());
        assert_eq!(secret.introduced(&next, &header), None);
        assert_eq!(secret.introduced(&Challenge { owner: 1, ..challenge }, &header), None);
        for at in 0..header.len() {
            let mut changed = header.clone();
            changed[at] ^= 1;
            assert_eq!(secret.introduced(&challenge, &changed), None, "{at}");
        }
        assert_eq!(secret.introduced(&challenge, &header[..header.len() - 1]), None);
        assert_eq!(secret.introduced(&challenge, b"PROXY UNKNOWN\r\n"), None);
    }

    #[test]
    fn addresses_of_two_families_are_in_no_header() {
        let secret = secret("0123456789abcdef");
        let mixed = Introduced { dialled: "[::1]:1".parse().expect("an address"), ..somebody() };
        assert_eq!(secret.answer(&secret.greet(0).1, &mixed), None);
    }
}
