//! What is valid but deserves a second look.

use super::{Config, Elsewhere, PasswordSource, UserConfig};

/// So many users are named in warnings.
const MOST_NAMED: usize = 10;

impl Config {
    /// What is valid but deserves a second look, one line each, without secrets.
    pub fn warnings(&self) -> Vec<String> {
        let is_plain = |user: &&UserConfig| matches!(user.proof.password(), Some(PasswordSource::Plain(_)));
        let mut plain = self.users.iter().filter(is_plain);
        let mut warnings: Vec<String> = plain
            .by_ref()
            .take(MOST_NAMED)
            .map(|user| {
                format!("user `{}` has a plain password, prefer password_hash or password_file", user.name)
            })
            .collect();
        let more = plain.count();
        if more > 0 {
            warnings.push(format!("{more} more users have a plain password"));
        }
        match &self.auth.elsewhere {
            None if self.users.is_empty() => {
                warnings.push("there are no users, so nobody can log in".to_owned());
            }
            Some(Elsewhere::Http(http)) if http.url.scheme() == "http" => {
                warnings
                    .push("auth.http.url is not https://, so passwords can be read on the way".to_owned());
            }
            Some(Elsewhere::Ldap(ldap)) if ldap.is_clear() => {
                let text =
                    "auth.ldap has neither ldaps:// nor start_tls, so passwords can be read on the way";
                warnings.push(text.to_owned());
            }
            None | Some(Elsewhere::Http(_) | Elsewhere::Ldap(_)) => {}
        }
        warnings.extend(self.events.warnings());
        warnings
    }
}
