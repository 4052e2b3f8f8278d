//! Who may log in: verifies a name with its password and its certificate, and says nothing that helps a guesser.

mod caller;
mod elsewhere;
mod error;
mod granted;
mod http;
mod lateness;
mod ldap;
mod lockout;
mod password;
mod secret_file;
mod spelling;
mod turns;
mod users;
mod verifying;

use std::sync::Arc;

use arc_swap::ArcSwap;
use secrecy::SecretString;
use tokio::time::Instant;

use crate::config::UserConfig;
use crate::user::User;

pub(crate) use caller::Caller;
pub(crate) use elsewhere::{Elsewhere, check};
pub(crate) use error::LoginError;
use lockout::{LONGEST_DELAY, Lockout};
use users::{Found, Users};
use verifying::Verifying;

/// The known users. Shared by all sessions; the users can be replaced while sessions log in.
#[derive(Debug)]
pub(crate) struct Auth {
    users: ArcSwap<Users>,
    verifying: Verifying,
    lockout: Lockout,
    /// Who is asked for names that no user has.
    elsewhere: Option<Elsewhere>,
}

impl Auth {
    /// The users of a checked configuration. Reads their password files (blocking); a user whose file cannot be
    /// read any more is logged and cannot log in.
    pub(crate) fn new(users: &[UserConfig]) -> Self {
        Self {
            users: ArcSwap::from_pointee(Users::new(users)),
            verifying: Verifying::new(),
            lockout: Lockout::new(),
            elsewhere: None,
        }
    }

    /// Asks there for names that no user has.
    pub(crate) fn asking(mut self, elsewhere: Option<Elsewhere>) -> Self {
        self.elsewhere = elsewhere;
        self
    }

    /// Replaces all users at once, and reads their password files (blocking). Logins that have begun are judged
    /// by the users that they began with.
    pub(crate) fn replace_users(&self, users: &[UserConfig]) {
        self.users.store(Arc::new(self.users.load().replaced_by(users)));
    }

    /// Whether `user` is none of the known users any more, or was changed since. Users who are kept elsewhere never are.
    pub(crate) fn is_outdated(&self, user: &Arc<User>) -> bool {
        user.source.is_local() && !self.users.load().has(user)
    }

    /// What `admit` makes of the user, when name and password are right, the client has shown the certificate that the user is
    /// bound to, if any, and its address may use the name. Takes at most 32 seconds; failing takes longer each time.
    pub(crate) async fn login<T>(
        &self,
        name: &str,
        password: SecretString,
        caller: Caller<'_>,
        admit: impl FnOnce(Arc<User>) -> Result<T, LoginError>,
    ) -> Result<T, LoginError> {
        let begun = Instant::now();
        let attempt = self.lockout.attempt(name, caller.address);
        if attempt.is_locked() {
            return Err(LoginError::LockedOut);
        }
        let judged = self.judge(name, password, caller).await;
        // Others may have failed in the meantime: who tries many passwords at once learns no more than one by one.
        if attempt.is_locked() {
            lateness::wait(begun, LONGEST_DELAY).await;
            return Err(LoginError::LockedOut);
        }
        let admitted = judged.and_then(admit);
        match admitted {
            Ok(_) => attempt.succeeded(),
            // A right password from a wrong address is answered like a wrong one, or it could be guessed from anywhere. So is
            // one with a wrong certificate, or it could be guessed without the right one.
            Err(
                LoginError::BadCredentials
                | LoginError::NoCertificate
                | LoginError::OtherCertificate
                | LoginError::ExpiredCertificate
                | LoginError::Denied
                | LoginError::NoFiles,
            ) => {
                let delay = attempt.failed();
                // Semantics decision: with users elsewhere all failures take the longest delay from the first one on: to
                // ask for a name takes longer than to look at the users known here.
                lateness::wait(begun, if self.elsewhere.is_some() { LONGEST_DELAY } else { delay }).await;
            }
            Err(LoginError::LockedOut | LoginError::Unavailable) => {}
        }
        admitted
    }

    async fn judge(
        &self,
        name: &str,
        password: SecretString,
        caller: Caller<'_>,
    ) -> Result<Arc<User>, LoginError> {
        let found = self.users.load().find(name);
        let (account, known) = match (found, &self.elsewhere) {
            (Found::Known(account), _) => (account, true),
            (Found::Decoy(_) | Found::Nobody, Some(elsewhere)) => {
                let user = elsewhere.log_in(name, &password, caller).await?;
                // Another spelling of a local name is not that user.
                return match self.users.load().find(&user.name) {
                    Found::Known(_) => Err(LoginError::BadCredentials),
                    Found::Decoy(_) | Found::Nobody => Ok(user),
                };
            }
            (Found::Decoy(account), None) => (account, false),
            (Found::Nobody, None) => return Err(LoginError::BadCredentials),
        };
        let right = self.verifying.verify(&account, password).await?;
        // Known or not is looked at only here, after the same work was done for both.
        if !(right && known) {
            return Err(LoginError::BadCredentials);
        }
        caller.may_be(&account.user, account.proof.certificate())?;
        Ok(Arc::clone(&account.user))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::config::{CertificateName, Config, Environment};
    use crate::tls::ClientCertificate;

    const HOME: &str = "10.1.2.3";

    fn users(text: &str) -> Vec<UserConfig> {
        let text = format!("[stores.only]\nurl = \"memory:///\"\n{text}");
        Config::parse(&text, &Environment::new()).expect("a valid configuration").users
    }

    fn two_users() -> Vec<UserConfig> {
        users(
            "[[users]]\nname = \"acme\"\npassword = \"correct\"\nallow_from = [\"10.0.0.0/8\"]\n\
             [[users]]\nname = \"other\"\npassword = \"different\"\n",
        )
    }

    fn caller(address: IpAddr, certificate: Option<&ClientCertificate>) -> Caller<'_> {
        Caller { address, tls_version: None, certificate }
    }

    async fn login(auth: &Auth, name: &str, password: &str, peer: &str) -> Result<String, LoginError> {
        let caller = caller(peer.parse().expect("an address"), None);
        auth.login(name, password.into(), caller, Ok).await.map(|user| user.name.clone())
    }

    /// One user bound to a certificate alone, one to a certificate and a password.
    fn bound_users() -> Vec<UserConfig> {
        let text = "[ftp.tls]\nmode = \"required\"\nclient_ca = \"/ca\"\n[stores.only]\nurl = \"memory:///\"\n\
                    [[users]]\nname = \"camera\"\nclient_certificate = [\"cn:camera\", \"dns:camera.example\"]\n\
                    [[users]]\nname = \"both\"\nclient_certificate = \"cn:both\"\npassword = \"correct\"\n";
        Config::parse(text, &Environment::new()).expect("a valid configuration").users
    }

    fn common(name: &str, expires_in: i64) -> ClientCertificate {
        ClientCertificate::of(vec![CertificateName::Common(name.to_owned())], expires_in)
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_bound_to_a_certificate_needs_it_beside_the_password() {
        let auth = Auth::new(&bound_users());
        let (camera, both) = (common("camera", 60), common("both", 60));
        let [old_camera, old_both] = ["camera", "both"].map(|name| common(name, -1));
        let names = ["x", "camera.example"].map(CertificateName::dns);
        let dns = ClientCertificate::of(names.to_vec(), 60);
        for (name, password, shown, expected) in [
            ("camera", "", Some(&camera), Ok("camera")),
            ("camera", "anything", Some(&dns), Ok("camera")),
            ("both", "correct", Some(&both), Ok("both")),
            ("camera", "anything", None, Err(LoginError::NoCertificate)),
            ("camera", "correct", Some(&both), Err(LoginError::OtherCertificate)),
            ("both", "correct", None, Err(LoginError::NoCertificate)),
            ("both", "correct", Some(&camera), Err(LoginError::OtherCertificate)),
            ("camera", "anything", Some(&old_camera), Err(LoginError::ExpiredCertificate)),
            ("both", "correct", Some(&old_both), Err(LoginError::ExpiredCertificate)),
            ("both", "correct", Some(&old_camera), Err(LoginError::OtherCertificate)),
            ("both", "wrong", Some(&old_both), Err(LoginError::BadCredentials)),
            ("both", "wrong", Some(&both), Err(LoginError::BadCredentials)),
            ("both", "", Some(&both), Err(LoginError::BadCredentials)),
            ("both", "wrong", None, Err(LoginError::BadCredentials)),
            // Names that nobody has, whoever stands in for them.
            ("n1", "correct", Some(&both), Err(LoginError::BadCredentials)),
            ("n2", "correct", Some(&camera), Err(LoginError::BadCredentials)),
            ("n3", "correct", Some(&both), Err(LoginError::BadCredentials)),
            ("n4", "correct", Some(&camera), Err(LoginError::BadCredentials)),
        ] {
            // From an address where nobody has failed.
            let peer = std::net::Ipv4Addr::from_bits(rand::random()).into();
            let begun = tokio::time::Instant::now();
            let result = auth.login(name, password.into(), caller(peer, shown), Ok).await;
            let result = result.map(|user| user.name.clone());
            assert_eq!(result, expected.map(str::to_owned), "{name} {password} {shown:?}");
            assert_eq!(begun.elapsed() >= Duration::from_millis(100), expected.is_err(), "{name} {shown:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_certificate_counts_as_a_wrong_password() {
        let (stranger, old) = (common("stranger", 60), common("both", -1));
        let mut waited = Vec::new();
        for (name, shown, peer) in [
            ("camera", None, "10.1.1.1"),
            ("both", Some(&stranger), "10.1.1.2"),
            ("nobody", None, "10.1.1.3"),
            ("both", Some(&old), "10.1.1.4"),
        ] {
            let auth = Auth::new(&bound_users());
            let begun = tokio::time::Instant::now();
            let peer = peer.parse().expect("an address");
            for _ in 0..10 {
                let result = auth.login(name, "correct".into(), caller(peer, shown), Ok).await;
                assert!(!matches!(result, Ok(_) | Err(LoginError::LockedOut)), "{name}: {result:?}");
            }
            waited.push(begun.elapsed());
            let own = common(name, 60);
            let result = auth.login(name, "correct".into(), caller(peer, Some(&own)), Ok).await;
            assert_eq!(result.map(|user| user.name.clone()), Err(LoginError::LockedOut), "{name}");
        }
        assert!(waited.iter().all(|waited_so_long| *waited_so_long == waited[0]), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn right_wrong_and_unknown() {
        let auth = Auth::new(&two_users());
        assert_eq!(login(&auth, "acme", "correct", HOME).await, Ok("acme".to_owned()));
        assert_eq!(login(&auth, "acme", "different", HOME).await, Err(LoginError::BadCredentials));
        assert_eq!(login(&auth, "acme", "", HOME).await, Err(LoginError::BadCredentials));
    }

    /// An unknown name is verified against a real user's password, which must not open anything.
    #[tokio::test(start_paused = true)]
    async fn a_decoys_password_opens_nothing() {
        let auth = Auth::new(&two_users());
        for name in ["nobody", "ACME", "", "acme "] {
            for password in ["correct", "different"] {
                let result = login(&auth, name, password, HOME).await;
                assert_eq!(result, Err(LoginError::BadCredentials), "{name} {password}");
            }
        }
        let empty = Auth::new(&[]);
        assert_eq!(login(&empty, "acme", "correct", HOME).await, Err(LoginError::BadCredentials));
    }

    #[tokio::test(start_paused = true)]
    async fn from_a_forbidden_address_the_right_password_counts_as_a_wrong_one() {
        let auth = Auth::new(&two_users());
        for (password, peer, expected) in
            [("correct", "192.0.2.1", LoginError::Denied), ("wrong", "192.0.2.2", LoginError::BadCredentials)]
        {
            let begun = tokio::time::Instant::now();
            for _ in 0..10 {
                assert_eq!(login(&auth, "acme", password, peer).await, Err(expected));
            }
            assert!(begun.elapsed() > Duration::from_secs(5), "{password}");
            assert_eq!(login(&auth, "acme", password, peer).await, Err(LoginError::LockedOut));
        }
    }

    #[tokio::test]
    async fn replaced_users_count_at_once() {
        let auth = Auth::new(&two_users());
        auth.replace_users(&users("[[users]]\nname = \"acme\"\npassword = \"renewed\"\n"));
        assert_eq!(login(&auth, "acme", "renewed", HOME).await, Ok("acme".to_owned()));
        assert_eq!(login(&auth, "acme", "correct", HOME).await, Err(LoginError::BadCredentials));
        assert_eq!(login(&auth, "other", "different", HOME).await, Err(LoginError::BadCredentials));
    }

    #[tokio::test]
    async fn users_are_outdated_when_anything_about_them_has_changed() {
        let text = |other: &str| {
            format!("[[users]]\nname = \"acme\"\npassword = \"x\"\n[[users]]\nname = \"other\"\n{other}\n")
        };
        for (before, after, expected) in [
            ("password = \"x\"", "password = \"x\"", false),
            ("password = \"x\"", "password = \"y\"", true),
            ("password = \"x\"", "password = \"x\"\nhome = \"in\"", true),
            ("password = \"x\"", "password = \"x\"\npermissions = [\"read\"]", true),
        ] {
            let auth = Auth::new(&users(&text(before)));
            let at = || caller(HOME.parse().expect("an address"), None);
            let (acme, other) =
                (auth.login("acme", "x".into(), at(), Ok), auth.login("other", "x".into(), at(), Ok));
            let (acme, other) = (acme.await.expect("right"), other.await.expect("right"));
            assert!(!auth.is_outdated(&other));
            auth.replace_users(&users(&text(after)));
            assert_eq!((auth.is_outdated(&other), auth.is_outdated(&acme)), (expected, false), "{after}");
            auth.replace_users(&[]);
            assert!(auth.is_outdated(&other) && auth.is_outdated(&acme));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn known_and_unknown_names_are_locked_out_alike() {
        let auth = Auth::new(&two_users());
        let mut waited = Vec::new();
        for (name, host) in [("acme", "10.1.1"), ("nobody", "10.1.2")] {
            let begun = tokio::time::Instant::now();
            for attempt in 0..20 {
                let peer = format!("{host}.{attempt}");
                assert_eq!(login(&auth, name, "wrong", &peer).await, Err(LoginError::BadCredentials));
            }
            waited.push(begun.elapsed());
            for password in ["correct", "wrong"] {
                let begun = tokio::time::Instant::now();
                assert_eq!(login(&auth, name, password, HOME).await, Err(LoginError::LockedOut), "{name}");
                assert_eq!(begun.elapsed(), Duration::ZERO);
            }
        }
        assert_eq!(waited[0], waited[1]);
        assert_eq!(login(&auth, "other", "different", HOME).await, Ok("other".to_owned()));
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(login(&auth, "acme", "correct", HOME).await, Ok("acme".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_logged_in_cannot_be_locked_out_by_others() {
        let auth = Auth::new(&two_users());
        assert_eq!(login(&auth, "acme", "correct", HOME).await, Ok("acme".to_owned()));
        for guess in 0..40 {
            let peer = format!("10.1.1.{guess}");
            let _ = login(&auth, "acme", "wrong", &peer).await;
            let _ = login(&auth, &guess.to_string(), "wrong", HOME).await;
        }
        assert_eq!(login(&auth, "other", "different", HOME).await, Err(LoginError::LockedOut));
        assert_eq!(login(&auth, "acme", "correct", "10.9.9.9").await, Err(LoginError::LockedOut));
        assert_eq!(login(&auth, "acme", "correct", HOME).await, Ok("acme".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_password_does_not_help_to_guess_another() {
        let auth = Auth::new(&two_users());
        for _ in 0..10 {
            assert_eq!(login(&auth, "acme", "wrong", HOME).await, Err(LoginError::BadCredentials));
            assert_eq!(login(&auth, "other", "different", HOME).await, Ok("other".to_owned()));
        }
        assert_eq!(login(&auth, "acme", "correct", HOME).await, Err(LoginError::LockedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn many_guesses_at_once_are_no_more_than_one_by_one() {
        let auth = Auth::new(&two_users());
        let guesses = (0..100).map(|number| {
            let password = if number == 99 { "correct".to_owned() } else { number.to_string() };
            let auth = &auth;
            async move { login(auth, "acme", &password, HOME).await }
        });
        let results = futures::future::join_all(guesses).await;
        let judged = results.iter().filter(|&result| *result == Err(LoginError::BadCredentials)).count();
        assert_eq!(judged, 10);
        assert_eq!(results[99], Err(LoginError::LockedOut));
    }

    /// Neither by its reply nor by its time nor by how it counts does the right password stand out.
    #[tokio::test(start_paused = true)]
    async fn the_right_password_of_who_has_no_files_counts_as_a_wrong_one() {
        let mut waited = Vec::new();
        for (password, expected) in [("correct", LoginError::NoFiles), ("wrong", LoginError::BadCredentials)]
        {
            let auth = Auth::new(&two_users());
            let begun = Instant::now();
            let at = || caller(HOME.parse().expect("an address"), None);
            let attempt = || auth.login("acme", password.into(), at(), |_| Err::<(), _>(LoginError::NoFiles));
            for _ in 0..10 {
                assert_eq!(attempt().await, Err(expected));
            }
            waited.push(begun.elapsed());
            assert_eq!(attempt().await, Err(LoginError::LockedOut), "{password}");
        }
        assert!(waited[0] == waited[1] && waited[0] > Duration::from_secs(5), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_too_late_with_a_guess_waits_like_the_others() {
        // Hashing takes its time, so that all have begun before the first one fails.
        let hash = "$2b$04$biQvrX78Y2eh6otxDp3Z8.SI6gzAOn9RKg0iqkfYI5q1Gpn2Ja.AK";
        let auth = Auth::new(&users(&format!("[[users]]\nname = \"acme\"\npassword_hash = \"{hash}\"\n")));
        let begun = Instant::now();
        let guess = async || (login(&auth, "acme", "wrong", HOME).await, begun.elapsed());
        let results = futures::future::join_all((0..11).map(|_| guess())).await;
        let late = results.iter().find(|(result, _)| *result == Err(LoginError::LockedOut));
        assert!(late.is_some_and(|(_, taken)| *taken >= LONGEST_DELAY), "{results:?}");
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", Auth::new(&two_users()));
        assert!(!shown.contains("correct") && !shown.contains("different"), "{shown}");
    }
}
