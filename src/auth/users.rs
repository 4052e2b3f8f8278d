//! The users by name, and which of them stands in for a name that nobody has.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
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
    accounts: Vec<Arc<Account>>,
    by_name: HashMap<String, usize>,
    decoys: RandomState,
}

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
        Self::with_decoys(users, RandomState::new())
    }

    /// New users with the old key, so that a reload does not change what names cost.
    pub(super) fn replaced_by(&self, users: &[UserConfig]) -> Self {
        Self::with_decoys(users, self.decoys.clone())
    }

    fn with_decoys(users: &[UserConfig], decoys: RandomState) -> Self {
        let account = |config: &UserConfig| {
            let proof = config.proof.clone().map_password(|password| {
                Verifier::from_source(&password).unwrap_or_else(|error| {
                    tracing::warn!(user = config.name, error, "the user cannot log in");
                    Verifier::Nothing
                })
            });
            Arc::new(Account { user: Arc::new(User::from(config)), proof })
        };
        let by_name = users.iter().enumerate().map(|(index, user)| (user.name.clone(), index)).collect();
        Self { accounts: users.iter().map(account).collect(), by_name, decoys }
    }

    /// Finds the user of a name, or a decoy.
    ///
    /// The decoy is drawn from the real users, because they may have hashes of several kinds and costs: one
    /// fixed decoy would be told from them by its time. It is drawn by a keyed hash of the name, so that a name
    /// always takes the same time, as a real one does, and nobody outside can compute which one it is.
    pub(super) fn find(&self, name: &str) -> Found {
        if let Some(index) = self.by_name.get(name) {
            return Found::Known(Arc::clone(&self.accounts[*index]));
        }
        let count = self.accounts.len() as u64;
        let drawn = self.decoys.hash_one(name).checked_rem(count);
        let account = drawn.and_then(|index| self.accounts.get(usize::try_from(index).ok()?));
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
