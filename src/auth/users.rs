//! The users by name, and which of them stands in for a name that nobody has.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

use super::password::Verifier;
use crate::config::{Proof, UserConfig};
use crate::user::User;

/// A user and what proves that it is this one.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) user: Arc<User>,
    pub(super) proof: Proof<Verifier>,
}

/// All users at one moment.
#[derive(Debug, Default)]
pub(super) struct Users {
    by_name: HashSet<ByName>,
    /// Those who stand in for names that nobody has.
    stand_ins: Vec<Arc<Account>>,
    decoys: RandomState,
}

/// An account that is found by its name.
#[derive(Debug)]
struct ByName(Arc<Account>);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        &self.0.user.name
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<str>::borrow(self).hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        Borrow::<str>::borrow(self) == Borrow::<str>::borrow(other)
    }
}

impl Eq for ByName {}

/// What a name leads to.
#[derive(Debug)]
pub(super) enum Found {
    /// The user of that name.
    Known(Arc<Account>),
    /// There is none; this one's proof is verified in its place, to take the time, and never opens anything.
    Decoy(Arc<Account>),
    /// There are no users at all.
    Nobody,
}

impl Users {
    pub(super) fn new(users: &[UserConfig]) -> Self {
        Self::default().replaced_by(users)
    }

    /// New users with the old key, so that a reload does not change what names cost. Those of whom nothing has changed are
    /// the same accounts.
    pub(super) fn replaced_by(&self, users: &[UserConfig]) -> Self {
        let accounts: Vec<_> = users.iter().map(|config| self.account(config)).collect();
        // Who is quickly let in with any password could not stand in for somebody who is quickly turned away.
        let stand_ins = accounts.iter().filter(|account| account.proof != Proof::Nothing).cloned().collect();
        let by_name = accounts.into_iter().map(ByName).collect();
        Self { by_name, stand_ins, decoys: self.decoys.clone() }
    }

    fn account(&self, config: &UserConfig) -> Arc<Account> {
        let proof = config.proof.clone().map_password(|password| {
            Verifier::from_source(&password).unwrap_or_else(|error| {
                tracing::warn!(user = config.name, error, "the user cannot log in");
                Verifier::Nothing
            })
        });
        match self.get(&config.name) {
            Some(old) if old.user.profile == config.profile && old.proof == proof => Arc::clone(old),
            _ => {
                let UserConfig { name, profile, source, .. } = config;
                let user = User { name: name.clone(), profile: profile.clone(), source: *source };
                Arc::new(Account { user: Arc::new(user), proof })
            }
        }
    }

    fn get(&self, name: &str) -> Option<&Arc<Account>> {
        self.by_name.get(name).map(|found| &found.0)
    }

    /// Whether this is one of them, as it is now.
    pub(super) fn has(&self, user: &Arc<User>) -> bool {
        self.get(&user.name).is_some_and(|account| Arc::ptr_eq(&account.user, user))
    }

    /// Finds the user of a name, or a decoy.
    ///
    /// The decoy is drawn from the real users, because they may have hashes of several kinds and costs: one
    /// fixed decoy would be told from them by its time. It is drawn by a keyed hash of the name, so that a name
    /// always takes the same time, as a real one does, and nobody outside can compute which one it is.
    pub(super) fn find(&self, name: &str) -> Found {
        if let Some(account) = self.get(name) {
            return Found::Known(Arc::clone(account));
        }
        let count = self.stand_ins.len() as u64;
        let drawn = self.decoys.hash_one(name).checked_rem(count);
        let account = drawn.and_then(|index| self.stand_ins.get(usize::try_from(index).ok()?));
        account.map_or(Found::Nobody, |account| Found::Decoy(Arc::clone(account)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{Config, Environment};

    fn users(names: &[&str]) -> Vec<UserConfig> {
        let user = |name: &&str| format!("[[users]]\nname = \"{name}\"\npassword = \"of {name}\"\n");
        let text: String = names.iter().map(user).collect();
        let text = format!("[stores.only]\nurl = \"memory:///\"\n{text}");
        Config::parse(&text, &Environment::new()).expect("a valid configuration").users
    }

    fn decoy(users: &Users, name: &str) -> String {
        match users.find(name) {
            Found::Decoy(account) => account.user.name.clone(),
            other => panic!("{name} leads to {other:?}"),
        }
    }

    #[test]
    fn a_known_name_leads_to_its_user() {
        let users = Users::new(&users(&["a", "b"]));
        assert!(matches!(users.find("b"), Found::Known(account) if account.user.name == "b"));
        assert!(matches!(Users::default().find("b"), Found::Nobody));
    }

    #[test]
    fn whom_anybody_may_be_stands_in_for_nobody() {
        let text = "[stores.only]\nurl = \"memory:///\"\n[auth.anonymous]\nprofile = \"read-only\"\n";
        let anonymous = Config::parse(text, &Environment::new()).expect("a valid configuration").users;
        let users = Users::new(&anonymous);
        assert!(matches!(users.find("ftp"), Found::Known(_)) && matches!(users.find("x"), Found::Nobody));
    }

    #[test]
    fn a_decoy_is_stable_for_a_name_and_spread_over_users() {
        let configured = users(&["a", "b", "c", "d"]);
        let users = Users::new(&configured);
        let again = users.replaced_by(&configured);
        let mut drawn = BTreeSet::new();
        for name in (0..200).map(|number| format!("unknown{number}")) {
            assert_eq!(decoy(&users, &name), decoy(&users, &name));
            assert_eq!(decoy(&users, &name), decoy(&again, &name));
            drawn.insert(decoy(&users, &name));
        }
        assert_eq!(drawn.len(), 4);
    }
}
