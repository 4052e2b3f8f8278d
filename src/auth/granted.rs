//! What whoever is asked elsewhere says of a name and a password.

use std::sync::Arc;

use crate::config::{Answered, CertificateNames, UserSource};
use crate::user::User;

/// A user whose name and password are right.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) user: Arc<User>,
    pub(super) certificate: Option<CertificateNames>,
}

impl Granted {
    pub(super) fn new(name: &str, answered: Answered, source: UserSource) -> Arc<Self> {
        let Answered { profile, certificate } = answered;
        Arc::new(Self { user: Arc::new(User { name: name.to_owned(), profile, source }), certificate })
    }
}

/// None when name or password are wrong; the text says why that cannot be found out, without any secret.
pub(super) type Answer = Result<Option<Arc<Granted>>, String>;
