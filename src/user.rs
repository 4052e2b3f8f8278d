//! A user who has logged in: whose files, where, and what may be done with them.

use std::fmt;

use crate::config::{Profile, UserSource};

/// A known user. Holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name given with USER.
    pub name: String,
    /// Everything else that is configured of the user.
    pub profile: Profile,
    /// Where the user comes from.
    pub source: UserSource,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Home, Networks, Permissions, UserLimits, View};

    #[test]
    fn shown_as_its_name() {
        let profile = Profile {
            view: View::of("landing", Home::default(), Permissions::all()),
            allow_from: Networks::default(),
            on_control_lost: None,
            limits: UserLimits::default(),
        };
        let user = User { name: "acme".to_owned(), profile, source: UserSource::Inline };
        assert_eq!(user.to_string(), "acme");
    }
}
