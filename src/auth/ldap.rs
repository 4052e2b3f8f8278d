//! Asks a directory who may log in: whoever can bind with the password is the user (RFC 4513 section 5.1.3).

use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchEntry, SearchOptions,
    dn_escape, ldap_escape, parse_filter,
};
use secrecy::{ExposeSecret, SecretString};

use super::granted::{Answer, Granted};
use super::secret_file;
use crate::config::{
    Answered, ConfigError, ConfigErrors, LdapAuth, LdapEntry, PLACE_OF_USER, Profile, UserSource,
};
use crate::tls::{self, Authorities};

/// Result codes (RFC 4511 appendix A) that say that name or password are wrong: `noSuchObject`, `invalidDNSyntax`,
/// `inappropriateAuthentication` (the entry has no password) and `invalidCredentials`.
const REFUSALS: [u32; 4] = [32, 34, 48, 49];
/// The filter that every entry passes.
const ANY: &str = "(objectClass=*)";
/// Entries that are asked for: a second one is enough to know that the name means several.
const MOST_FOUND: i32 = 2;

/// The users of `[auth.ldap]`.
#[derive(Debug)]
pub(super) struct LdapUsers {
    config: LdapAuth,
    /// Who has to have signed the server's certificate, if not one that the system knows.
    authorities: Option<Authorities>,
}

/// An entry's name, and what it says of the user.
struct Entry {
    name: String,
    facts: Option<SearchEntry>,
}

impl LdapUsers {
    pub(super) fn new(config: LdapAuth) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let authorities =
            match config.ca_file.as_ref().map(|file| tls::authorities("auth.ldap.ca_file", file)) {
                None => None,
                Some(Ok(authorities)) => Some(authorities),
                Some(Err(error)) => {
                    errors.push(error);
                    None
                }
            };
        if let LdapEntry::Searched { filter, by, .. } = &config.entry {
            if parse_filter(filter.replace(PLACE_OF_USER, "x")).is_err() {
                errors.push(ConfigError::new("auth.ldap.filter", "is not a filter such as \"(uid={user})\""));
            }
            if let Some(Err(error)) = by.as_ref().map(|(_, file)| secret_file::read_now(file)) {
                errors.push(ConfigError::new("auth.ldap.search_password_file", error));
            }
        }
        if errors.is_empty() { Ok(Self { config, authorities }) } else { Err(ConfigErrors(errors)) }
    }

    /// On a connection of its own: who is bound is a state of the connection.
    pub(super) async fn ask(&self, name: &str, password: &SecretString) -> Answer {
        let mut settings = LdapConnSettings::new().set_starttls(self.config.start_tls);
        if let Some(authorities) = &self.authorities {
            settings = settings.set_config(authorities.clone());
        }
        let connecting = LdapConnAsync::from_url_with_settings(settings, &self.config.url);
        let (connection, ldap) = connecting.await.map_err(|error| shown(&error))?;
        tokio::select! {
            biased;
            answer = self.converse(ldap, name, password) => answer,
            ended = connection.drive() => Err(match ended {
                Ok(()) => "the directory has ended the connection".to_owned(),
                Err(error) => shown(&error),
            }),
        }
    }

    async fn converse(&self, mut ldap: Ldap, name: &str, password: &SecretString) -> Answer {
        let Some(mut entry) = self.find(&mut ldap, name).await? else { return Ok(None) };
        if entry.name.is_empty() {
            // Binding with the empty name is a login of nobody (RFC 4513 section 5.1.1).
            return Ok(None);
        }
        let bound = ldap.simple_bind(&entry.name, password.expose_secret()).await;
        let bound = bound.map_err(|error| shown(&error))?;
        if REFUSALS.contains(&bound.rc) {
            return Ok(None);
        }
        succeeded(&bound, "binding as the user")?;
        if entry.facts.is_none() && self.needs_facts() {
            // The user reads its own entry.
            let found = self.search(&mut ldap, &entry.name, Scope::Base, ANY).await?;
            entry.facts = found.into_iter().next();
        }
        let profile = self.profile(name, entry.facts.as_ref())?;
        Ok(Some(Granted::new(name, Answered { profile, certificate: None }, UserSource::Ldap)))
    }

    /// The user's entry. None if there is none.
    async fn find(&self, ldap: &mut Ldap, name: &str) -> Result<Option<Entry>, String> {
        match &self.config.entry {
            LdapEntry::Named(template) => {
                let name = template.replace(PLACE_OF_USER, &dn_escape(name));
                Ok(Some(Entry { name, facts: None }))
            }
            LdapEntry::Searched { base, filter, by } => {
                if let Some((searcher, file)) = by {
                    let password = secret_file::read(file.clone()).await?;
                    let bound = ldap.simple_bind(searcher, password.expose_secret()).await;
                    succeeded(&bound.map_err(|error| shown(&error))?, "binding as search_bind_dn")?;
                }
                let filter = filter.replace(PLACE_OF_USER, &ldap_escape(name));
                let mut found = self.search(ldap, base, Scope::Subtree, &filter).await?.into_iter();
                match (found.next(), found.next()) {
                    (None, _) => Ok(None),
                    (Some(entry), None) => Ok(Some(Entry { name: entry.dn.clone(), facts: Some(entry) })),
                    (Some(_), Some(_)) => Err("the filter finds several entries of this name".to_owned()),
                }
            }
        }
    }

    async fn search(
        &self,
        ldap: &mut Ldap,
        base: &str,
        scope: Scope,
        filter: &str,
    ) -> Result<Vec<SearchEntry>, String> {
        let config = &self.config;
        let attributes = [&config.home_attribute, &config.permissions_attribute].into_iter().flatten();
        let mut attributes: Vec<&str> = attributes.map(String::as_str).collect();
        if attributes.is_empty() {
            // No attribute at all (RFC 4511 section 4.5.1.8); an empty list would be all of them.
            attributes.push("1.1");
        }
        ldap.with_search_options(SearchOptions::new().sizelimit(MOST_FOUND));
        let found = ldap.search(base, scope, filter, attributes).await;
        let found = found.and_then(ldap3::SearchResult::success);
        let (entries, _) = found.map_err(|error| format!("searching: {}", shown(&error)))?;
        Ok(entries.into_iter().map(SearchEntry::construct).collect())
    }

    fn needs_facts(&self) -> bool {
        self.config.home_attribute.is_some() || self.config.permissions_attribute.is_some()
    }

    fn profile(&self, name: &str, facts: Option<&SearchEntry>) -> Result<Profile, String> {
        let values = |attribute: &Option<String>| match (attribute, facts) {
            (Some(attribute), Some(facts)) => values(facts, attribute),
            (None, _) | (_, None) => Ok(Vec::new()),
        };
        let mut homes = values(&self.config.home_attribute)?.into_iter();
        let (home, None) = (homes.next(), homes.next()) else {
            return Err("the entry has several homes".to_owned());
        };
        let permissions = values(&self.config.permissions_attribute)?;
        let profile = self.config.profile(name, home, &permissions);
        profile.map_err(|errors| format!("the user in the directory is not valid: {errors}"))
    }
}

/// The values of an attribute, however its name is written (RFC 4512 section 2.5).
fn values(entry: &SearchEntry, attribute: &str) -> Result<Vec<String>, String> {
    if entry.bin_attrs.keys().any(|name| name.eq_ignore_ascii_case(attribute)) {
        return Err(format!("{attribute} is no text"));
    }
    let found = entry.attrs.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute));
    Ok(found.map(|(_, values)| values.clone()).unwrap_or_default())
}

fn succeeded(result: &LdapResult, what: &str) -> Result<(), String> {
    if result.rc == 0 { Ok(()) } else { Err(format!("{what}: {result}")) }
}

fn shown(error: &LdapError) -> String {
    error.to_string()
}
