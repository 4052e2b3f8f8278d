//! Where a client listens, as the arguments of PORT and EPRT say it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why the argument of EPRT names no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    Syntax,
    /// A network protocol that has no name here (RFC 2428 section 2).
    Protocol,
}

/// `h1,h2,h3,h4,p1,p2` (RFC 959 section 4.1.2).
pub(super) fn of_port(argument: &str) -> Option<SocketAddr> {
    let mut bytes = [0; 6];
    let mut numbers = argument.split(',');
    for byte in &mut bytes {
        *byte = number(numbers.next()?.trim())?;
    }
    let [a, b, c, d, high, low] = bytes;
    numbers.next().is_none().then(|| ([a, b, c, d], u16::from_be_bytes([high, low])).into())
}

/// `|1|192.0.2.1|1025|` or `|2|2001:db8::1|1025|`, with any visible delimiter (RFC 2428 section 2).
pub(super) fn of_eprt(argument: &str) -> Result<SocketAddr, Unusable> {
    let delimiter = argument.chars().next().filter(char::is_ascii_graphic).ok_or(Unusable::Syntax)?;
    let parts: Vec<_> = argument.splitn(6, delimiter).collect();
    let ["", protocol, host, port, ""] = parts[..] else { return Err(Unusable::Syntax) };
    let host = match number::<u16>(protocol) {
        Some(1) => host.parse::<Ipv4Addr>().map(IpAddr::V4),
        Some(2) => host.parse::<Ipv6Addr>().map(IpAddr::V6),
        Some(_) => return Err(Unusable::Protocol),
        None => return Err(Unusable::Syntax),
    };
    let port = number(port).ok_or(Unusable::Syntax)?;
    Ok((host.map_err(|_| Unusable::Syntax)?, port).into())
}

/// Digits and nothing else; the standard library takes a plus sign as well.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// What holds for all text.
#[cfg(any(test, fuzzing))]
pub(super) mod properties {
    use super::*;

    /// What is accepted is what is printed, but for spaces, zeros before a number, and the delimiter.
    pub(in crate::edge) fn what_is_accepted_prints_back(argument: &str) {
        if let Some(address) = of_port(argument) {
            let SocketAddr::V4(address) = address else { panic!("{address} is no IPv4 address") };
            let (host, [high, low]) =
                (address.ip().to_string().replace('.', ","), address.port().to_be_bytes());
            let numbers: Vec<_> = argument.split(',').map(without_zeros).collect();
            assert_eq!(numbers.join(","), format!("{host},{high},{low}"));
        }
        if let Ok(address) = of_eprt(argument) {
            let protocol = if address.is_ipv4() { 1 } else { 2 };
            let printed = format!("|{protocol}|{}|{}|", address.ip(), address.port());
            assert_eq!(of_eprt(&printed), Ok(address));
            let delimiter = &argument[..1];
            let [_, given, host, port, _] = argument.split(delimiter).collect::<Vec<_>>()[..] else {
                panic!("{argument} has other parts")
            };
            let numbers = (without_zeros(given), without_zeros(port));
            assert_eq!(numbers, (&*protocol.to_string(), &*address.port().to_string()));
            assert_eq!(host.parse(), Ok(address.ip()));
        }
    }

    fn without_zeros(number: &str) -> &str {
        let number = number.trim();
        let significant = number.trim_start_matches('0');
        if significant.is_empty() { &number[number.len() - 1..] } else { significant }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_of_port() {
        let address = |text: &str| of_port(text).map(|address| address.to_string());
        assert_eq!(address("127,0,0,1,4,1").as_deref(), Some("127.0.0.1:1025"));
        assert_eq!(address("192, 0, 2, 255, 255, 255").as_deref(), Some("192.0.2.255:65535"));
        assert_eq!(address("010,000,000,001,000,021").as_deref(), Some("10.0.0.1:21"));
        for wrong in [
            "",
            "1,2,3,4,5",
            "1,2,3,4,5,6,7",
            "1,2,3,4,5,256",
            "1,2,3,4,5,-1",
            "+1,2,3,4,5,6",
            "1,2,3,4,5,6,",
        ] {
            assert_eq!(of_port(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_of_eprt() {
        let address = |text: &str| of_eprt(text).map(|address| address.to_string());
        assert_eq!(address("|1|127.0.0.1|1025|"), Ok("127.0.0.1:1025".to_owned()));
        assert_eq!(address("|2|2001:db8::1|65535|"), Ok("[2001:db8::1]:65535".to_owned()));
        assert_eq!(address("!1!10.0.0.1!21!"), Ok("10.0.0.1:21".to_owned()));
        for unknown in ["|3|127.0.0.1|1025|", "|0|x|y|"] {
            assert_eq!(of_eprt(unknown), Err(Unusable::Protocol), "{unknown}");
        }
        for wrong in [
            "",
            "|",
            "|1|127.0.0.1|1025",
            "|1|127.0.0.1|1025||",
            "|1|127.0.0.1|65536|",
            "|1|127.0.0.1||",
            "|1|127.0.0.1|+21|",
            "|1|::1|1025|",
            "|2|127.0.0.1|1025|",
            "|2|fe80::1%lo|1025|",
            "||127.0.0.1|1025|",
            "|x|127.0.0.1|1025|",
            " 1 127.0.0.1 1025 ",
            "é1é127.0.0.1é1025é",
        ] {
            assert_eq!(of_eprt(wrong), Err(Unusable::Syntax), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_argument_panics_and_each_address_comes_through(
            noise in "[0-9,|:.a-f +é-]{0,40}",
            ip in any::<IpAddr>(),
            port in any::<u16>(),
        ) {
            properties::what_is_accepted_prints_back(&noise);
            let expected = SocketAddr::new(ip, port);
            let protocol = if ip.is_ipv4() { 1 } else { 2 };
            prop_assert_eq!(of_eprt(&format!("|{protocol}|{ip}|{port}|")), Ok(expected));
            if let IpAddr::V4(ip) = ip {
                let host = ip.to_string().replace('.', ",");
                prop_assert_eq!(of_port(&format!("{host},{},{}", port >> 8, port & 255)), Some(expected));
            }
        }

        #[test]
        fn what_is_accepted_prints_back(
            argument in prop_oneof![
                "( ?0{0,2}[0-9]{1,3} ?,){5}0{0,2}[0-9]{1,3}",
                "[|!1]0?[12][|!1](([0-9]{1,3}\\.){3}[0-9]{1,3}|[0-9a-f:.]{2,12})[|!1]0?[0-9]{1,5}[|!1]",
            ],
        ) {
            properties::what_is_accepted_prints_back(&argument);
        }
    }
}
