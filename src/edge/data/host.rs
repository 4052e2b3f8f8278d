//! Which address PASV tells to whom. A DNS name is looked up in the background, so that no PASV waits for a resolver, nor
//! fails with it.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::config::{FtpConfig, PassiveHost};
use crate::shutdown::Shutdown;

/// How old an answer gets.
const AGAIN: Duration = Duration::from_secs(30);
/// The same where there was none.
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);
/// A look-up that takes longer counts as failed until it ends.
const SLOW: Duration = Duration::from_secs(5);

/// The addresses for clients in certain networks, and the one for all others.
#[derive(Debug)]
pub(super) struct Hosts {
    overrides: Vec<(Vec<IpNet>, Host)>,
    host: Host,
}

#[derive(Debug)]
enum Host {
    Auto,
    Address(Ipv4Addr),
    Name(watch::Receiver<Known>),
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Nothing yet: its first look-up runs.
    Nothing,
    Address(Ipv4Addr),
    /// That it does not resolve now, and which address it had before, if it had one.
    Unresolved(Option<Ipv4Addr>),
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
enum Unresolved {
    #[error("{0}")]
    Failed(#[from] io::Error),
    #[error("it has no IPv4 address")]
    NoIpv4,
    #[error("no answer within {SLOW:?}")]
    Slow,
}

impl Hosts {
    /// Looks names up until the process stops.
    pub(super) fn new(config: &FtpConfig, shutdown: &Shutdown) -> Self {
        let host = |host: &PassiveHost| Host::new(host, shutdown);
        let overrides = config.passive_host_overrides.iter();
        Self {
            overrides: overrides.map(|own| (own.networks.clone(), host(&own.host))).collect(),
            host: host(&config.passive_host),
        }
    }

    /// The IPv4 address that `client`, which dialled `local`, is told (RFC 959 section 4.1.2). None if `local` is to be
    /// told and is an IPv6 address, and if a name has never resolved.
    pub(super) async fn told(&self, client: IpAddr, local: IpAddr) -> Option<Ipv4Addr> {
        let holds = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        let own = self.overrides.iter().find(|(networks, _)| holds(networks));
        let host = own.map_or(&self.host, |(_, host)| host);
        match (host, local) {
            (Host::Auto, IpAddr::V4(address)) => Some(address),
            (Host::Auto, IpAddr::V6(_)) => None,
            (Host::Address(address), _) => Some(*address),
            (Host::Name(known), _) => address(known.clone()).await,
        }
    }
}

impl Host {
    fn new(host: &PassiveHost, shutdown: &Shutdown) -> Self {
        match host {
            PassiveHost::Auto => Self::Auto,
            PassiveHost::Address(address) => Self::Address(*address),
            PassiveHost::Name(name) => {
                let (tell, known) = watch::channel(Known::Nothing);
                let (name, stage) = (name.clone(), shutdown.clone());
                shutdown.spawn_service("passive host", async move {
                    tokio::select! {
                        () = stage.stopping() => {}
                        () = follow(&name, || look_up(&name), &tell) => {}
                    }
                });
                Self::Name(known)
            }
        }
    }
}

/// The address that a name has, or had.
async fn address(mut known: watch::Receiver<Known>) -> Option<Ipv4Addr> {
    // Only right after the start there is something to wait for.
    let known = timeout(SLOW, known.wait_for(|known| *known != Known::Nothing)).await.ok()?.ok()?;
    match *known {
        Known::Nothing => None,
        Known::Address(address) => Some(address),
        Known::Unresolved(last) => last,
    }
}

/// Looks `name` up again and again, one look-up at a time, and tells what comes of it.
async fn follow<F: Future<Output = Result<Ipv4Addr, Unresolved>>>(
    name: &str,
    look_up: impl Fn() -> F,
    tell: &watch::Sender<Known>,
) {
    loop {
        let mut looking = pin!(look_up());
        let mut found = timeout(SLOW, &mut looking).await.unwrap_or(Err(Unresolved::Slow));
        heard(name, &found, tell);
        if let Err(Unresolved::Slow) = found {
            // The system goes on with a look-up that nobody waits for: a second one beside it would be no faster.
            found = looking.await;
            heard(name, &found, tell);
        }
        sleep(if found.is_ok() { AGAIN } else { AFTER_A_FAILURE }).await;
    }
}

/// Takes note of what was found, and logs it if it is something new.
fn heard(name: &str, found: &Result<Ipv4Addr, Unresolved>, tell: &watch::Sender<Known>) {
    let before = *tell.borrow();
    let last = match before {
        Known::Nothing => None,
        Known::Address(address) => Some(address),
        Known::Unresolved(last) => last,
    };
    let now = match found {
        Ok(address) => Known::Address(*address),
        Err(_) => Known::Unresolved(last),
    };
    if now == before {
        return;
    }
    match found {
        Ok(address) => tracing::info!(name, %address, "ftp.passive_host resolves"),
        Err(error) => tracing::warn!(name, %error, ?last, "ftp.passive_host does not resolve"),
    }
    tell.send_replace(now);
}

async fn look_up(name: &str) -> Result<Ipv4Addr, Unresolved> {
    let mut addresses = tokio::net::lookup_host((name, 0)).await?;
    let address = addresses.find_map(|address| match address.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    address.ok_or(Unresolved::NoIpv4)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    const FIRST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    const HOUR: Duration = Duration::from_hours(1);

    /// Follows a name while `check` runs. `answer` is told how many look-ups there were before.
    async fn following(
        answer: impl AsyncFn(usize) -> Result<Ipv4Addr, Unresolved>,
        check: impl AsyncFnOnce(watch::Receiver<Known>),
    ) {
        let (tell, known) = watch::channel(Known::Nothing);
        let (asked, running) = (Cell::new(0), Cell::new(false));
        let look_up = || async {
            assert!(!running.replace(true), "two at a time");
            let answered = answer(asked.replace(asked.get() + 1)).await;
            running.set(false);
            answered
        };
        tokio::select! {
            () = follow("ftp.example.org", look_up, &tell) => unreachable!("it never ends"),
            () = check(known) => {}
        }
    }

    /// What PASV tells without having waited.
    async fn at_once(known: &watch::Receiver<Known>) -> Option<Ipv4Addr> {
        let begun = Instant::now();
        let address = address(known.clone()).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        address
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_twice_a_minute_however_often_it_is_told() {
        let asked = Cell::new(0);
        let answer = async |before: usize| {
            asked.set(before + 1);
            Ok(if before == 0 { FIRST } else { SECOND })
        };
        following(answer, async |known| {
            assert_eq!(address(known.clone()).await, Some(FIRST));
            sleep(AGAIN.saturating_sub(Duration::from_secs(1))).await;
            for _ in 0..1000 {
                assert_eq!(at_once(&known).await, Some(FIRST));
            }
            assert_eq!(asked.get(), 1);
            sleep(Duration::from_secs(2)).await;
            assert_eq!(at_once(&known).await, Some(SECOND));
            sleep(HOUR).await;
            assert!((120..=122).contains(&asked.get()), "{}", asked.get());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_answer_outlives_an_outage_which_is_told_once() {
        let answer = async |before| match before {
            0 => Ok(FIRST),
            1..=1000 => Err(Unresolved::NoIpv4),
            _ => Ok(SECOND),
        };
        following(answer, async |mut known| {
            sleep(AGAIN + Duration::from_secs(1)).await;
            assert_eq!(*known.borrow_and_update(), Known::Unresolved(Some(FIRST)));
            sleep(HOUR).await;
            // What is logged is what changes.
            assert!(!known.has_changed().expect("it is followed"));
            assert_eq!(at_once(&known).await, Some(FIRST));
            sleep(HOUR).await;
            assert_eq!(at_once(&known).await, Some(SECOND));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_resolver_is_asked_once_at_a_time_and_holds_nobody_up() {
        let answer = async |before| {
            if before > 0 {
                sleep(Duration::from_mins(1)).await;
            }
            Ok(if before == 0 { FIRST } else { SECOND })
        };
        following(answer, async |known| {
            sleep(AGAIN + SLOW.saturating_sub(Duration::from_secs(1))).await;
            assert_eq!(*known.borrow(), Known::Address(FIRST));
            sleep(Duration::from_secs(2)).await;
            assert_eq!(*known.borrow(), Known::Unresolved(Some(FIRST)));
            assert_eq!(at_once(&known).await, Some(FIRST));
            sleep(Duration::from_mins(1)).await;
            assert_eq!(at_once(&known).await, Some(SECOND));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_before_the_first_answer_waits_for_it_but_not_for_long() {
        for (takes, told) in [(2, Some(FIRST)), (20, None)] {
            let answer = async |_| {
                sleep(Duration::from_secs(takes)).await;
                Ok(FIRST)
            };
            following(answer, async |known| {
                let begun = Instant::now();
                assert_eq!(address(known.clone()).await, told);
                assert!(begun.elapsed() <= SLOW);
                sleep(Duration::from_secs(takes)).await;
                assert_eq!(at_once(&known).await, Some(FIRST));
            })
            .await;
        }
        following(
            async |_| Err(Unresolved::NoIpv4),
            async |known| {
                assert_eq!(address(known.clone()).await, None);
                sleep(HOUR).await;
                assert_eq!(at_once(&known).await, None);
            },
        )
        .await;
    }
}
