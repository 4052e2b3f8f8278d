//! The verb table: the one place where a verb is added. FEAT, HELP and the metrics' labels come from it.

use crate::digest::Algorithm;
use crate::facts::{Fact, Facts};
use crate::session::Operation;

/// How a verb is known, what it takes, when it is allowed, and who serves it.
#[derive(Debug)]
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) argument: Argument,
    pub(super) when: When,
    pub(super) service: Service,
    /// The line in FEAT (RFC 2389), for what RFC 959 does not have.
    pub(super) feature: Option<Feature>,
}

/// A line in FEAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// Always the same.
    Line(&'static str),
    /// MLST with all facts, those that are selected marked (RFC 3659 section 7.8).
    Facts,
    /// HASH with all algorithms, the one that is selected marked (draft-ietf-ftpext2-hash).
    Hashes,
}

/// How the text after the verb is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// Ignored: devices put all kinds of things there.
    None,
    /// A path, exactly as sent.
    Path,
    /// A path or nothing, which is the working directory.
    OptionalPath,
    /// Like `OptionalPath`, after options such as `-la`, which are ignored.
    Listing,
    /// Anything but nothing.
    Text,
    /// Anything.
    OptionalText,
    /// Like `Listing`, but options alone mean the working directory, since nothing at all means the session.
    Status,
    /// A time, a space, and a path, exactly as sent.
    TimeAndPath,
    /// Anything, exactly as sent: a password, and a path after a word, may begin or end with a space.
    Raw,
}

/// When a verb is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Once logged in, and after a running transfer.
    LoggedIn,
    /// Once logged in, even while a transfer runs.
    LoggedInAnyTime,
    /// Before login as well, but after a running transfer.
    Always,
    /// Before login as well, even while a transfer runs.
    AnyTime,
}

/// Who serves a verb.
#[derive(Clone, Copy, Debug)]
pub(super) enum Service {
    /// The edge itself.
    Own(Local),
    /// Passed on to control.
    Forward(Operation),
    /// Passed on to control with a data connection.
    Transfer(Operation),
    /// Not served: this code and text.
    Refused(u16, &'static str),
}

/// What the edge answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Local {
    User,
    Pass,
    Cdup,
    Stou,
    Rein,
    Quit,
    Pasv,
    Epsv,
    Port,
    Eprt,
    Type,
    Stru,
    Mode,
    Allo,
    Rest,
    Abor,
    Pwd,
    Syst,
    Stat,
    Help,
    Noop,
    Feat,
    Opts,
    Clnt,
    Acct,
    Site,
    Hash,
    Rang,
    /// Of a file, told without further words.
    Checksum(Algorithm),
    Mdtm,
    Mfmt,
    Auth,
    Pbsz,
    Prot,
}

impl Verb {
    pub(super) fn before_login(&self) -> bool {
        matches!(self.when, When::Always | When::AnyTime)
    }

    pub(super) fn during_transfer(&self) -> bool {
        matches!(self.when, When::LoggedInAnyTime | When::AnyTime)
    }

    /// Its syntax, for HELP.
    pub(super) fn syntax(&self) -> String {
        let argument = match self.argument {
            Argument::None => "",
            Argument::Path => " <path>",
            Argument::OptionalPath => " [path]",
            Argument::Listing | Argument::Status => " [options] [path]",
            Argument::TimeAndPath => " <YYYYMMDDHHMMSS> <path>",
            Argument::Text => " <argument>",
            Argument::OptionalText | Argument::Raw => " [argument]",
        };
        format!("{}{argument}", self.name)
    }
}

/// The label of commands that are not in the table.
pub(super) const OTHER: &str = "other";
/// Served while another runs.
pub(super) const ABOR: &str = "ABOR";

/// The metrics' label values.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    VERBS.iter().map(|verb| verb.name).chain([OTHER])
}

/// The entry for `name` in any case.
pub(super) fn find(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name.eq_ignore_ascii_case(name))
}

const fn verb(name: &'static str, argument: Argument, when: When, service: Service) -> Verb {
    Verb { name, argument, when, service, feature: None }
}

const fn feature(feature: Feature, mut verb: Verb) -> Verb {
    verb.feature = Some(feature);
    verb
}

impl Feature {
    /// The line for a client that has selected these facts and this algorithm.
    pub(super) fn line(self, facts: Facts, hash: Algorithm) -> String {
        let mark = |fact: Fact| if facts.shows(fact) { "*" } else { "" };
        match self {
            Self::Line(line) => line.to_owned(),
            Self::Facts => {
                let facts = Fact::ALL.map(|fact| format!("{}{};", fact.name(), mark(fact)));
                format!("MLST {}", facts.concat())
            }
            Self::Hashes => {
                let mark = |algorithm| if algorithm == hash { "*" } else { "" };
                let names =
                    Algorithm::ALL.map(|algorithm| format!("{}{}", algorithm.name(), mark(algorithm)));
                format!("HASH {}", names.join(";"))
            }
        }
    }
}

const TLS_ONLY: &str = "TLS protects whole connections, not commands";
const STAYS: &str = "A control connection stays encrypted";
const NO_DATA: &str = "AUTH TLS needs no data";
const NOT_HERE: &str = "Command not implemented";

use Argument::{Listing, OptionalPath, OptionalText, Path, Raw, Status, Text, TimeAndPath};
use Feature::{Facts as FactList, Hashes, Line};
use Service::{Forward, Own, Refused, Transfer};
use When::{Always, AnyTime, LoggedIn, LoggedInAnyTime};

/// Every verb.
pub(super) static VERBS: &[Verb] = &[
    // Access control, RFC 959 section 4.1.1.
    verb("USER", Text, Always, Own(Local::User)),
    verb("PASS", Raw, Always, Own(Local::Pass)),
    verb("ACCT", OptionalText, Always, Own(Local::Acct)),
    verb("CWD", Path, LoggedIn, Forward(Operation::Cwd)),
    verb("XCWD", Path, LoggedIn, Forward(Operation::Cwd)),
    verb("CDUP", Argument::None, LoggedIn, Own(Local::Cdup)),
    verb("XCUP", Argument::None, LoggedIn, Own(Local::Cdup)),
    verb("SMNT", OptionalText, LoggedIn, Refused(502, NOT_HERE)),
    verb("REIN", Argument::None, Always, Own(Local::Rein)),
    verb("QUIT", Argument::None, AnyTime, Own(Local::Quit)),
    // Transfer parameters, RFC 959 section 4.1.2 and RFC 2428.
    verb("PASV", Argument::None, LoggedIn, Own(Local::Pasv)),
    feature(Line("EPSV"), verb("EPSV", OptionalText, LoggedIn, Own(Local::Epsv))),
    verb("PORT", OptionalText, LoggedIn, Own(Local::Port)),
    feature(Line("EPRT"), verb("EPRT", OptionalText, LoggedIn, Own(Local::Eprt))),
    verb("TYPE", Text, LoggedIn, Own(Local::Type)),
    verb("STRU", Text, LoggedIn, Own(Local::Stru)),
    verb("MODE", Text, LoggedIn, Own(Local::Mode)),
    // Service, RFC 959 section 4.1.3.
    verb("RETR", Path, LoggedIn, Transfer(Operation::Retr)),
    verb("STOR", Path, LoggedIn, Transfer(Operation::Stor)),
    verb("STOU", OptionalText, LoggedIn, Own(Local::Stou)),
    verb("APPE", Path, LoggedIn, Transfer(Operation::Appe)),
    verb("ALLO", Text, LoggedIn, Own(Local::Allo)),
    feature(Line("REST STREAM"), verb("REST", Text, LoggedIn, Own(Local::Rest))),
    verb("RNFR", Path, LoggedIn, Forward(Operation::Rnfr)),
    verb("RNTO", Path, LoggedIn, Forward(Operation::Rnto)),
    verb(ABOR, Argument::None, AnyTime, Own(Local::Abor)),
    verb("DELE", Path, LoggedIn, Forward(Operation::Dele)),
    verb("RMD", Path, LoggedIn, Forward(Operation::Rmd)),
    verb("XRMD", Path, LoggedIn, Forward(Operation::Rmd)),
    verb("MKD", Path, LoggedIn, Forward(Operation::Mkd)),
    verb("XMKD", Path, LoggedIn, Forward(Operation::Mkd)),
    verb("PWD", Argument::None, LoggedInAnyTime, Own(Local::Pwd)),
    verb("XPWD", Argument::None, LoggedInAnyTime, Own(Local::Pwd)),
    verb("LIST", Listing, LoggedIn, Transfer(Operation::List)),
    verb("NLST", Listing, LoggedIn, Transfer(Operation::Nlst)),
    verb("SITE", Raw, LoggedIn, Own(Local::Site)),
    verb("SYST", Argument::None, AnyTime, Own(Local::Syst)),
    verb("STAT", Status, LoggedInAnyTime, Own(Local::Stat)),
    verb("HELP", OptionalText, AnyTime, Own(Local::Help)),
    verb("NOOP", Argument::None, AnyTime, Own(Local::Noop)),
    // RFC 2389.
    verb("FEAT", Argument::None, AnyTime, Own(Local::Feat)),
    verb("OPTS", Text, Always, Own(Local::Opts)),
    // RFC 3659.
    feature(Line("MDTM"), verb("MDTM", Path, LoggedIn, Own(Local::Mdtm))),
    feature(Line("SIZE"), verb("SIZE", Path, LoggedIn, Forward(Operation::Size))),
    feature(FactList, verb("MLST", OptionalPath, LoggedIn, Forward(Operation::Mlst))),
    verb("MLSD", OptionalPath, LoggedIn, Transfer(Operation::Mlsd)),
    // RFC 2228 and RFC 4217: section 4 for AUTH, sections 8 and 9 for the order of the others.
    feature(Line("AUTH TLS"), verb("AUTH", Text, Always, Own(Local::Auth))),
    feature(Line("PBSZ"), verb("PBSZ", Text, Always, Own(Local::Pbsz))),
    feature(Line("PROT"), verb("PROT", Text, Always, Own(Local::Prot))),
    verb("CCC", OptionalText, Always, Refused(533, STAYS)),
    verb("ADAT", OptionalText, Always, Refused(503, NO_DATA)),
    verb("MIC", OptionalText, Always, Refused(533, TLS_ONLY)),
    verb("CONF", OptionalText, Always, Refused(533, TLS_ONLY)),
    verb("ENC", OptionalText, Always, Refused(533, TLS_ONLY)),
    // draft-ietf-ftpext2-hash and draft-bryan-ftp-range. RANG is not in FEAT, because it is served for HASH only.
    feature(Hashes, verb("HASH", Path, LoggedIn, Own(Local::Hash))),
    verb("RANG", Text, LoggedIn, Own(Local::Rang)),
    feature(Line("XCRC"), verb("XCRC", Path, LoggedIn, Own(Local::Checksum(Algorithm::Crc32)))),
    feature(Line("XMD5"), verb("XMD5", Path, LoggedIn, Own(Local::Checksum(Algorithm::Md5)))),
    verb("XSHA", Path, LoggedIn, Own(Local::Checksum(Algorithm::Sha1))),
    feature(Line("XSHA1"), verb("XSHA1", Path, LoggedIn, Own(Local::Checksum(Algorithm::Sha1)))),
    feature(Line("XSHA256"), verb("XSHA256", Path, LoggedIn, Own(Local::Checksum(Algorithm::Sha256)))),
    feature(Line("XSHA512"), verb("XSHA512", Path, LoggedIn, Own(Local::Checksum(Algorithm::Sha512)))),
    // draft-somers-ftp-mfxx section 3.
    feature(Line("MFMT"), verb("MFMT", TimeAndPath, LoggedIn, Own(Local::Mfmt))),
    // Known, so that the reply can say why: RFC 1639, RFC 2640 section 4.1, RFC 7151 section 3.1, draft-somers-ftp-mfxx
    // and draft-peterson-streamlined-ftp-command-extensions.
    verb("LPRT", OptionalText, LoggedIn, Refused(502, "Use EPSV or PASV")),
    verb("LPSV", OptionalText, LoggedIn, Refused(502, "Use EPSV or PASV")),
    verb("LANG", OptionalText, Always, Refused(504, "Replies are in English only")),
    verb("HOST", OptionalText, Always, Refused(502, "All hosts are the same here")),
    verb("MFCT", OptionalText, LoggedIn, Refused(504, "Files have one time, which MFMT sets")),
    verb("MFF", OptionalText, LoggedIn, Refused(504, "Facts of files cannot be set")),
    verb("AVBL", OptionalPath, LoggedIn, Refused(550, "How much space is left is not known")),
    verb("CSID", OptionalText, Always, Refused(502, NOT_HERE)),
    // Widespread, in no RFC.
    verb("CLNT", OptionalText, Always, Own(Local::Clnt)),
];

/// Features that are not verbs: RFC 2640 and RFC 3659 section 6.
pub(super) const FEATURES: &[&str] = &["TVFS", "UTF8"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_stands_once() {
        let mut names: Vec<_> = names().collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn verbs_are_found_in_any_case() {
        assert_eq!(find("stor").map(|verb| verb.name), Some("STOR"));
        assert!(find("STORE").is_none());
    }
}
