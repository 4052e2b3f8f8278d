//! Verifying passwords off the async threads, a few at one time.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::LoginError;
use super::users::Account;

/// Longer than the slowest sensible hash by far; what takes longer is a queue that does not move.
const DEADLINE: Duration = Duration::from_secs(30);

/// Verifies passwords.
#[derive(Debug)]
pub(super) struct Verifying {
    /// One permit a core. Argon2 takes 19 MiB and a whole core for tens of milliseconds: hundreds of logins at
    /// once would take gigabytes and finish no sooner, and the blocking pool's own bound is 512 threads.
    slots: Arc<Semaphore>,
}

impl Verifying {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { slots: Arc::new(Semaphore::new(cores)) }
    }

    /// Whether the password is right. Where none is needed, any is. Takes 30 seconds at most.
    pub(super) async fn verify(
        &self,
        account: &Arc<Account>,
        password: SecretString,
    ) -> Result<bool, LoginError> {
        let verified = timeout(DEADLINE, self.in_turn(Arc::clone(account), password)).await;
        verified.unwrap_or(Err(LoginError::Unavailable))
    }

    // Semantics decision: who needs none is asked for one all the same, with 331 and not with the 232 of RFC 2228. Not all
    // clients go on after a 232, and all have something to send after a 331.
    async fn in_turn(&self, account: Arc<Account>, password: SecretString) -> Result<bool, LoginError> {
        let Some(verifier) = account.proof.password() else { return Ok(true) };
        // Comparing takes less than a blocking thread takes to wake up. A decoy is as quick as the user it stands for.
        if verifier.is_quick() {
            return Ok(verifier.verify(&password));
        }
        let slots = Arc::clone(&self.slots);
        let slot = slots.acquire_owned().await.map_err(|_| LoginError::Unavailable)?;
        let work = tokio::task::spawn_blocking(move || {
            // The slot is held by the work itself: work that its login no longer waits for still takes a core.
            let _slot = slot;
            account.proof.password().is_some_and(|verifier| verifier.verify(&password))
        });
        work.await.map_err(|error| {
            tracing::error!(%error, "verifying a password failed");
            LoginError::Unavailable
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::users::{Found, Users};
    use crate::config::{Config, Environment};

    #[tokio::test(start_paused = true)]
    async fn a_stuck_queue_makes_login_unavailable() {
        let hash = "$2b$04$biQvrX78Y2eh6otxDp3Z8.SI6gzAOn9RKg0iqkfYI5q1Gpn2Ja.AK";
        let text = format!(
            "[stores.only]\nurl = \"memory:///\"\n[[users]]\nname = \"acme\"\npassword_hash = \"{hash}\"\n"
        );
        let config = Config::parse(&text, &Environment::new()).expect("a valid configuration");
        let users = Users::new(&config.users);
        let verifying = Verifying::new();
        let all = u32::try_from(verifying.slots.available_permits()).expect("a small number");
        let held = verifying.slots.acquire_many(all).await.expect("an open semaphore");
        // An unknown name waits for the same work as a known one.
        let accounts = ["acme", "nobody"].map(|name| match users.find(name) {
            Found::Known(account) | Found::Decoy(account) => account,
            Found::Nobody => panic!("{name} has nobody to stand in"),
        });
        for account in &accounts {
            assert_eq!(verifying.verify(account, "correct".into()).await, Err(LoginError::Unavailable));
        }
        drop(held);
        assert_eq!(verifying.verify(&accounts[0], "correct".into()).await, Ok(true));
    }
}
