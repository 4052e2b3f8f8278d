//! The verb table: the one place where a verb is added. FEAT, HELP and the metrics' labels come from it.

use super::command::Local;

/// How a verb is known, what it takes, when it is allowed, and who serves it.
#[derive(Debug)]
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) argument: Argument,
    pub(super) when: When,
    pub(super) service: Service,
    /// The line in FEAT (RFC 2389), for what RFC 959 does not have.
    pub(super) feature: Option<&'static str>,
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
    /// The edge answers.
    Edge(Local),
    /// Passed on to control under this name.
    Forward(&'static str),
    /// A transfer: passed on to control under this name, once its data connection is prepared.
    Transfer(&'static str),
    /// Not served: this code and text.
    Refused(u16, &'static str),
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
            Argument::Listing => " [options] [path]",
            Argument::Text => " <argument>",
            Argument::OptionalText => " [argument]",
        };
        format!("{}{argument}", self.name)
    }
}

/// The label of commands that are not in the table.
pub(super) const OTHER: &str = "other";

/// The metrics' label values.
pub fn names() -> impl Iterator<Item = &'static str> {
    VERBS.iter().map(|verb| verb.name).chain([OTHER])
}

/// The entry for `name` in any case.
pub(super) fn find(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name.eq_ignore_ascii_case(name))
}

const fn verb(name: &'static str, argument: Argument, when: When, service: Service) -> Verb {
    Verb { name, argument, when, service, feature: None }
}

const fn feature(line: &'static str, mut verb: Verb) -> Verb {
    verb.feature = Some(line);
    verb
}

const NO_TLS: &str = "TLS is not available";
const NO_TLS_YET: &str = "AUTH comes first";
const NO_ACTIVE_MODE: &str = "Active mode is disabled, use PASV or EPSV";
const NOT_HERE: &str = "Command not implemented";

use Argument::{Listing, OptionalPath, OptionalText, Path, Text};
use Service::{Edge, Forward, Refused, Transfer};
use When::{Always, AnyTime, LoggedIn, LoggedInAnyTime};

/// Every verb.
pub(super) static VERBS: &[Verb] = &[
    // Access control, RFC 959 section 4.1.1.
    verb("USER", Text, Always, Edge(Local::User)),
    verb("PASS", OptionalText, Always, Edge(Local::Pass)),
    verb("ACCT", OptionalText, Always, Refused(502, NOT_HERE)),
    verb("CWD", Path, LoggedIn, Forward("CWD")),
    verb("XCWD", Path, LoggedIn, Forward("CWD")),
    verb("CDUP", Argument::None, LoggedIn, Edge(Local::Cdup)),
    verb("XCUP", Argument::None, LoggedIn, Edge(Local::Cdup)),
    verb("SMNT", OptionalText, LoggedIn, Refused(502, NOT_HERE)),
    verb("REIN", Argument::None, Always, Edge(Local::Rein)),
    verb("QUIT", Argument::None, AnyTime, Edge(Local::Quit)),
    // Transfer parameters, RFC 959 section 4.1.2 and RFC 2428.
    verb("PASV", Argument::None, LoggedIn, Edge(Local::Pasv)),
    feature("EPSV", verb("EPSV", OptionalText, LoggedIn, Edge(Local::Epsv))),
    verb("PORT", OptionalText, LoggedIn, Refused(502, NO_ACTIVE_MODE)),
    verb("EPRT", OptionalText, LoggedIn, Refused(502, NO_ACTIVE_MODE)),
    verb("TYPE", Text, LoggedIn, Edge(Local::Type)),
    verb("STRU", Text, LoggedIn, Edge(Local::Stru)),
    verb("MODE", Text, LoggedIn, Edge(Local::Mode)),
    // Service, RFC 959 section 4.1.3.
    verb("RETR", Path, LoggedIn, Transfer("RETR")),
    verb("STOR", Path, LoggedIn, Transfer("STOR")),
    verb("STOU", OptionalText, LoggedIn, Transfer("STOR")),
    verb("APPE", Path, LoggedIn, Transfer("APPE")),
    verb("ALLO", Text, LoggedIn, Edge(Local::Allo)),
    feature("REST STREAM", verb("REST", Text, LoggedIn, Edge(Local::Rest))),
    verb("RNFR", Path, LoggedIn, Forward("RNFR")),
    verb("RNTO", Path, LoggedIn, Forward("RNTO")),
    verb("ABOR", Argument::None, AnyTime, Edge(Local::Abor)),
    verb("DELE", Path, LoggedIn, Forward("DELE")),
    verb("RMD", Path, LoggedIn, Forward("RMD")),
    verb("XRMD", Path, LoggedIn, Forward("RMD")),
    verb("MKD", Path, LoggedIn, Forward("MKD")),
    verb("XMKD", Path, LoggedIn, Forward("MKD")),
    verb("PWD", Argument::None, LoggedInAnyTime, Edge(Local::Pwd)),
    verb("XPWD", Argument::None, LoggedInAnyTime, Edge(Local::Pwd)),
    verb("LIST", Listing, LoggedIn, Transfer("LIST")),
    verb("NLST", Listing, LoggedIn, Transfer("NLST")),
    verb("SITE", OptionalText, LoggedIn, Refused(502, NOT_HERE)),
    verb("SYST", Argument::None, AnyTime, Edge(Local::Syst)),
    verb("STAT", Listing, LoggedInAnyTime, Edge(Local::Stat)),
    verb("HELP", OptionalText, AnyTime, Edge(Local::Help)),
    verb("NOOP", Argument::None, AnyTime, Edge(Local::Noop)),
    // RFC 2389.
    verb("FEAT", Argument::None, AnyTime, Edge(Local::Feat)),
    verb("OPTS", Text, Always, Edge(Local::Opts)),
    // RFC 3659.
    feature("MDTM", verb("MDTM", Path, LoggedIn, Forward("MDTM"))),
    feature("SIZE", verb("SIZE", Path, LoggedIn, Forward("SIZE"))),
    feature("MLST type*;size*;modify*;", verb("MLST", OptionalPath, LoggedIn, Forward("MLST"))),
    verb("MLSD", OptionalPath, LoggedIn, Transfer("MLSD")),
    // RFC 2228 and RFC 4217: section 4 for AUTH, sections 8 and 9 for the order of the others.
    verb("AUTH", OptionalText, Always, Refused(502, NO_TLS)),
    verb("PBSZ", OptionalText, Always, Refused(503, NO_TLS_YET)),
    verb("PROT", OptionalText, Always, Refused(503, NO_TLS_YET)),
    verb("CCC", OptionalText, Always, Refused(533, NO_TLS)),
    verb("ADAT", OptionalText, Always, Refused(503, NO_TLS_YET)),
    verb("MIC", OptionalText, Always, Refused(533, NO_TLS)),
    verb("CONF", OptionalText, Always, Refused(533, NO_TLS)),
    verb("ENC", OptionalText, Always, Refused(533, NO_TLS)),
    // Widespread, in no RFC.
    verb("CLNT", OptionalText, Always, Edge(Local::Clnt)),
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
