//! `[auth]`: where users are kept beside `[[users]]`.

use std::path::PathBuf;

use super::anonymous;
use super::auth_http::HttpAuth;
use super::auth_ldap::LdapAuth;
use super::htpasswd::Htpasswd;
use super::profile::Profile;
use super::section::Section;
use super::users::Offered;
use super::value::path;

/// `[auth]`. Relative paths are taken from the working directory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthConfig {
    /// A file with more `[[users]]`, read again when it changes.
    pub users_file: Option<PathBuf>,
    /// A folder in which each file is a user, read again when any of them changes.
    pub users_folder: Option<PathBuf>,
    /// Names and hashes in Apache's format.
    pub htpasswd: Option<Htpasswd>,
    /// What is configured of the users whom anybody may be; none while there are none.
    pub anonymous: Option<Profile>,
    /// Who is asked for names that none of these has.
    pub elsewhere: Option<Elsewhere>,
}

/// Users that are not known beforehand.
#[derive(Clone, Debug, PartialEq)]
pub enum Elsewhere {
    /// A service of one's own.
    Http(HttpAuth),
    /// A directory.
    Ldap(LdapAuth),
}

impl AuthConfig {
    pub(super) fn read(mut section: Section<'_>, offered: Offered<'_>) -> Self {
        let users_file = path(&mut section, "users_file");
        let users_folder = path(&mut section, "users_folder");
        let htpasswd = Htpasswd::read(section.section("htpasswd"), offered);
        let anonymous = anonymous::read(section.section("anonymous"), offered);
        let http = HttpAuth::read(section.section("http"), offered);
        let ldap = LdapAuth::read(section.section("ldap"), offered);
        if http.is_some() && ldap.is_some() {
            section.error("ldap", "only one of auth.http and auth.ldap");
        }
        section.finish();
        let elsewhere = http.map(Elsewhere::Http).or(ldap.map(Elsewhere::Ldap));
        Self { users_file, users_folder, htpasswd, anonymous, elsewhere }
    }
}
