//! `[limits]` and `[users.limits]`: how much of the gateway one user, and all together, may have.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error};
use toml::Value;

use super::hours::Hours;
use super::networks::Networks;
use super::section::Section;
use super::value::optional_timeout;

/// Slower than this nothing would seem to move.
const SLOWEST: ByteSize = ByteSize::kib(1);
/// Faster than this no clock of nanoseconds tells rates apart.
const FASTEST: ByteSize = ByteSize::gib(10);

/// `[limits]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Sessions that are logged in at one time.
    pub sessions: Option<usize>,
    /// What is taken from and given to all users.
    pub traffic: TrafficLimits,
    /// Where anybody may log in from.
    pub allow_from: Networks,
    /// `[limits.each_user]`: what holds for users who have no setting of their own.
    pub each_user: UserLimits,
    /// Where users may log in from who have no setting of their own.
    pub each_user_from: Networks,
}

/// What is limited alike for one user and for all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficLimits {
    /// Bytes a second of all uploads.
    pub upload_rate: Option<u64>,
    /// Bytes a second of all downloads.
    pub download_rate: Option<u64>,
    /// Files that may be uploaded within a day of UTC.
    pub files_per_day: Option<u64>,
    /// Bytes that may be uploaded within a day of UTC.
    pub bytes_per_day: Option<u64>,
}

/// The limits of one user, as far as they are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserLimits {
    /// Sessions at one time.
    pub sessions: Limit<usize>,
    /// Sessions at one time from one address.
    pub sessions_per_address: Limit<usize>,
    /// Bytes a second of all uploads of the user.
    pub upload_rate: Limit<u64>,
    /// Bytes a second of all downloads of the user.
    pub download_rate: Limit<u64>,
    /// Bytes of one file that is uploaded, with all that it had before.
    pub file_size: Limit<u64>,
    /// Files that may be uploaded within a day of UTC.
    pub files_per_day: Limit<u64>,
    /// Bytes that may be uploaded within a day of UTC.
    pub bytes_per_day: Limit<u64>,
    /// Instead of `ftp.idle_timeout`.
    pub idle_timeout: Option<Duration>,
    /// Whether the user may log in, and move files, over TLS only.
    pub tls_required: Option<bool>,
    /// When the user may be logged in.
    pub hours: Option<Hours>,
}

/// What is said of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit<T> {
    /// Nothing: what holds for each user counts.
    #[default]
    Unset,
    /// There is none, whatever holds for others.
    Unlimited,
    /// So much and no more.
    Most(T),
}

impl<T: Copy> Limit<T> {
    /// The limit, if there is one.
    pub fn most(self) -> Option<T> {
        match self {
            Self::Unset | Self::Unlimited => None,
            Self::Most(most) => Some(most),
        }
    }

    fn or(self, default: Self) -> Self {
        match self {
            Self::Unset => default,
            Self::Unlimited | Self::Most(_) => self,
        }
    }

    fn map<U>(self, map: impl FnOnce(T) -> U) -> Limit<U> {
        match self {
            Self::Unset => Limit::Unset,
            Self::Unlimited => Limit::Unlimited,
            Self::Most(most) => Limit::Most(map(most)),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.as_str() == Some("unlimited") {
            return Ok(Self::Unlimited);
        }
        let most = value.try_into();
        most.map(Self::Most).map_err(|error: toml::de::Error| D::Error::custom(error.message()))
    }
}

impl LimitsConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let sessions = count(&mut section, "sessions").most();
        let traffic = TrafficLimits {
            upload_rate: rate(&mut section, "upload_rate").most(),
            download_rate: rate(&mut section, "download_rate").most(),
            files_per_day: number(&mut section, "files_per_day").most(),
            bytes_per_day: size(&mut section, "bytes_per_day").most(),
        };
        let allow_from = section.field("allow_from", Networks::default());
        let mut each_user = section.section("each_user");
        let each_user_from = each_user.field("allow_from", Networks::default());
        let each_user = UserLimits::read(each_user);
        section.finish();
        Self { sessions, traffic, allow_from, each_user, each_user_from }
    }

    /// Whether a user whose `own` networks hold the address, which is asked before, may log in from there.
    pub fn let_in(&self, own: &Networks, address: IpAddr) -> bool {
        self.allow_from.hold(address) && (!own.are_unlimited() || self.each_user_from.hold(address))
    }
}

impl UserLimits {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let limits = Self {
            sessions: count(&mut section, "sessions"),
            sessions_per_address: count(&mut section, "sessions_per_address"),
            upload_rate: rate(&mut section, "upload_rate"),
            download_rate: rate(&mut section, "download_rate"),
            file_size: size(&mut section, "file_size"),
            files_per_day: number(&mut section, "files_per_day"),
            bytes_per_day: size(&mut section, "bytes_per_day"),
            idle_timeout: optional_timeout(&mut section, "idle_timeout"),
            tls_required: section.optional("tls_required"),
            hours: section.optional("hours"),
        };
        section.finish();
        limits
    }

    /// These, and for what they do not set those of `each_user`.
    #[must_use]
    pub fn or(&self, each_user: &Self) -> Self {
        Self {
            sessions: self.sessions.or(each_user.sessions),
            sessions_per_address: self.sessions_per_address.or(each_user.sessions_per_address),
            upload_rate: self.upload_rate.or(each_user.upload_rate),
            download_rate: self.download_rate.or(each_user.download_rate),
            file_size: self.file_size.or(each_user.file_size),
            files_per_day: self.files_per_day.or(each_user.files_per_day),
            bytes_per_day: self.bytes_per_day.or(each_user.bytes_per_day),
            idle_timeout: self.idle_timeout.or(each_user.idle_timeout),
            tls_required: self.tls_required.or(each_user.tls_required),
            hours: self.hours.clone().or_else(|| each_user.hours.clone()),
        }
    }

    /// What is limited alike for one user and for all together.
    pub fn traffic(&self) -> TrafficLimits {
        TrafficLimits {
            upload_rate: self.upload_rate.most(),
            download_rate: self.download_rate.most(),
            files_per_day: self.files_per_day.most(),
            bytes_per_day: self.bytes_per_day.most(),
        }
    }

    /// Whether the user may log in over TLS only.
    pub fn requires_tls(&self) -> bool {
        self.tls_required == Some(true)
    }
}

fn count(section: &mut Section<'_>, key: &'static str) -> Limit<usize> {
    section.checked(key, Limit::Unset, |limit: &Limit<usize>| {
        within(*limit, |most| most >= 1, "must be at least 1")
    })
}

fn number(section: &mut Section<'_>, key: &'static str) -> Limit<u64> {
    section.checked(key, Limit::Unset, |limit: &Limit<u64>| {
        within(*limit, |most| most >= 1, "must be at least 1")
    })
}

fn size(section: &mut Section<'_>, key: &'static str) -> Limit<u64> {
    let enough =
        |limit: &Limit<ByteSize>| within(*limit, |most| most >= ByteSize::b(1), "must be at least one byte");
    section.checked(key, Limit::Unset, enough).map(|most| most.as_u64())
}

fn rate(section: &mut Section<'_>, key: &'static str) -> Limit<u64> {
    let possible = |limit: &Limit<ByteSize>| {
        within(*limit, |most| (SLOWEST..=FASTEST).contains(&most), "must be between 1KiB and 10GiB a second")
    };
    section.checked(key, Limit::Unset, possible).map(|most| most.as_u64())
}

fn within<T: Copy>(
    limit: Limit<T>,
    right: impl FnOnce(T) -> bool,
    wrong: impl Display,
) -> Result<(), String> {
    if limit.most().is_none_or(right) { Ok(()) } else { Err(wrong.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigErrors, Environment};

    fn parse(limits: &str, users: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        let text = format!(
            "[limits]\n{limits}\n[stores.a]\nurl = \"memory:///\"\n[[users]]\nname = \"x\"\npassword = \"x\"\n{users}"
        );
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Config::parse(&text, &environment.iter().map(pair).collect::<Environment>())
    }

    #[test]
    fn nothing_is_limited_by_default() {
        let config = parse("", "", &[]).expect("valid");
        assert_eq!(config.limits, LimitsConfig::default());
        assert_eq!(config.users[0].profile.limits, UserLimits::default());
    }

    #[test]
    fn a_users_own_go_before_those_of_each_user() {
        let each = "upload_rate = \"100MB\"\n[limits.each_user]\nsessions = 5\nupload_rate = \"5MB\"\nfile_size = \"1GiB\"\n\
                    idle_timeout = \"1m\"\ntls_required = false\nhours = [\"Mon 06:00-07:00\"]\n";
        let own = "[users.limits]\nsessions = \"unlimited\"\nfile_size = 10\nhours = []\n";
        let config = parse(each, own, &[]).expect("valid");
        assert_eq!(config.limits.traffic.upload_rate, Some(100_000_000));
        let limits = config.users[0].profile.limits.or(&config.limits.each_user);
        assert_eq!(limits.sessions.most(), None);
        assert_eq!((limits.upload_rate.most(), limits.file_size.most()), (Some(5_000_000), Some(10)));
        assert_eq!(
            (limits.idle_timeout, limits.hours),
            (Some(Duration::from_mins(1)), Some(Hours::default()))
        );
        let set = [
            ("BUCKETPORT_USERS__0__LIMITS__SESSIONS", "3"),
            ("BUCKETPORT_USERS__0__LIMITS__UPLOAD_RATE", "1MB"),
            ("BUCKETPORT_LIMITS__BYTES_PER_DAY", "unlimited"),
        ];
        let config = parse(each, own, &set).expect("valid");
        let limits = &config.users[0].profile.limits;
        assert_eq!((limits.sessions, limits.upload_rate), (Limit::Most(3), Limit::Most(1_000_000)));
    }

    #[test]
    fn each_mistake_has_its_key() {
        let wrong = "sessions = 0\nupload_rate = \"1023\"\ndownload_rate = \"11GiB\"\nfiles_per_day = 0\nfile_size = 1\n\
                     [limits.each_user]\nsessions_per_address = \"many\"\nfile_size = 0\nidle_timeout = \"0s\"\n\
                     tls_required = true\n";
        let own =
            "[users.limits]\nhours = [\"Mon\"]\nbytes_per_day = \"lots\"\nsesions = 1\ntls_required = true\n";
        let errors = parse(wrong, own, &[]).expect_err("mistakes");
        let keys: Vec<_> = errors.0.iter().map(|error| error.key.as_str()).collect();
        let expected = [
            "limits.sessions",
            "limits.upload_rate",
            "limits.download_rate",
            "limits.files_per_day",
            "limits.each_user.sessions_per_address",
            "limits.each_user.file_size",
            "limits.each_user.idle_timeout",
            "limits.file_size",
            "users[0].limits.bytes_per_day",
            "users[0].limits.hours",
            "users[0].limits.sesions",
            "limits.each_user.tls_required",
            "users",
        ];
        assert_eq!(keys, expected, "{errors}");
        let tls = "user `x` has limits.tls_required, which needs ftp.tls.mode = \"optional\" or \"required\"";
        assert_eq!(errors.0[12].message, tls);
    }
}
