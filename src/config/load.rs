//! Finds the configuration and reads it together with the environment.

use std::path::{Path, PathBuf};

use rand::Rng;
use rand::distr::Alphanumeric;
use secrecy::{ExposeSecret, SecretString};
use toml::Table;

use super::environment::{self, Environment};
use super::error::{ConfigError, ConfigErrors, Report};
use super::reload::{Attempt, Reload};
use super::section::Section;
use super::source::{Source, embedded};
use super::watched::Watched;
use super::{Config, PasswordSource};

/// A valid configuration, where it came from, and how to read its users again.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where it came from.
    pub origin: Origin,
    /// Reads the users again.
    pub reload: Reload,
}

/// Where a configuration came from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// This file.
    File(PathBuf),
    /// The default that is built in.
    Embedded {
        /// The password of the user `demo`, when nobody chose it; it must be told to the operator once.
        generated_password: Option<SecretString>,
    },
}

/// Reads and checks the configuration: `file`, else `bucketport.toml` in the working directory, else the
/// built-in default; the environment's `BUCKETPORT_…__…` variables are laid over any of them.
///
/// Every mistake is reported, not only the first.
pub fn load(file: Option<&Path>) -> Result<Loaded, ConfigErrors> {
    load_in(&working_directory()?, file, environment::of_process())
}

/// [`load`] with the mistakes that `check` finds beside the others. It is told what could be read, mistakes or not; what it says of
/// a key that has a mistake already is left out.
pub fn load_checked(
    file: Option<&Path>,
    check: impl FnOnce(&Config) -> Vec<ConfigError>,
) -> Result<Loaded, ConfigErrors> {
    read(&working_directory()?, file, environment::of_process(), check)
}

fn working_directory() -> Result<PathBuf, ConfigError> {
    std::env::current_dir()
        .map_err(|error| ConfigError::new("working directory", format!("cannot be read: {error}")))
}

/// [`load`] with the working directory and the environment given.
pub(super) fn load_in(
    folder: &Path,
    file: Option<&Path>,
    environment: Environment,
) -> Result<Loaded, ConfigErrors> {
    read(folder, file, environment, |_| Vec::new())
}

fn read(
    folder: &Path,
    file: Option<&Path>,
    environment: Environment,
    check: impl FnOnce(&Config) -> Vec<ConfigError>,
) -> Result<Loaded, ConfigErrors> {
    let usual = folder.join("bucketport.toml");
    let (source, chosen) = match file {
        Some(file) => (Source::File(file.to_owned()), None),
        None if usual.exists() => (Source::File(usual), None),
        None => {
            let given = environment.get("BUCKETPORT_PASSWORD").filter(|password| !password.is_empty());
            let generated = given.is_none().then(random_password);
            let password = generated.as_ref().or(given).cloned().unwrap_or_default();
            (Source::Embedded(embedded(folder, &password)?), generated)
        }
    };
    let Attempt { result, watched } = Config::read_watched(&source, &environment, check);
    let config = result?;
    let origin = match &source {
        Source::File(path) => Origin::File(path.clone()),
        Source::Embedded(_) => {
            let generated = chosen.map(SecretString::from).filter(|password| opens(&config, password));
            Origin::Embedded { generated_password: generated }
        }
    };
    let reload = Reload {
        source,
        environment,
        stores: config.stores.keys().cloned().collect(),
        tls: config.ftp.tls.clone(),
        elsewhere: config.auth.elsewhere.clone(),
        limits: config.limits.clone(),
        watched,
    };
    Ok(Loaded { config, origin, reload })
}

impl Config {
    /// Reads it, and tells what users were read from, with mistakes as well: its own, and those that `check` finds in what could be
    /// read.
    pub(super) fn read_watched(
        source: &Source,
        environment: &Environment,
        check: impl FnOnce(&Self) -> Vec<ConfigError>,
    ) -> Attempt<Self> {
        let mut watched = Watched::default();
        if let Source::File(path) = source {
            watched.add(path);
        }
        let (result, files) = match source.table() {
            Ok(table) => Self::read_table(table, environment, check),
            Err(errors) => (Err(errors), Watched::default()),
        };
        watched.append(files);
        Attempt { result, watched }
    }

    pub(super) fn read_table(
        table: Table,
        environment: &Environment,
        check: impl FnOnce(&Self) -> Vec<ConfigError>,
    ) -> (Result<Self, ConfigErrors>, Watched) {
        let mut report = Report::default();
        let table = environment::overlay(table, environment, &mut report);
        let config = Self::read_sections(Section::root(table, &report), &report);
        let watched = report.take_files();
        report.add_new(check(&config));
        (report.finish(config), watched)
    }
}

/// 20 letters and digits: 119 bits from the operating system's generator.
fn random_password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(20).map(char::from).collect()
}

/// Whether the first user's password is this one, which an override may have changed.
fn opens(config: &Config, password: &SecretString) -> bool {
    match config.users.first().and_then(|user| user.proof.password()) {
        Some(PasswordSource::Plain(plain)) => plain.expose_secret() == password.expose_secret(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::config::UserConfig;

    const STORE: &str = "[stores.a]\nurl = \"memory:///\"\n";

    fn folder() -> TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    fn password_of(users: &[UserConfig]) -> String {
        match users[0].proof.password() {
            Some(PasswordSource::Plain(password)) => password.expose_secret().to_owned(),
            other => panic!("not a plain password: {other:?}"),
        }
    }

    #[test]
    fn without_a_file_the_built_in_default() {
        let folder = folder();
        let loaded = load_in(folder.path(), None, Environment::new()).expect("a valid default");
        let Origin::Embedded { generated_password: Some(password) } = &loaded.origin else {
            panic!("not the default with a password: {:?}", loaded.origin)
        };
        assert_eq!(password.expose_secret().len(), 20);
        assert_eq!(password_of(&loaded.config.users), password.expose_secret());
        assert_eq!(loaded.config.users[0].name, "demo");
        assert_eq!(loaded.config.ftp.listen, ["127.0.0.1:2121".parse().expect("an address")]);
        assert_eq!(loaded.config.http.listen, "127.0.0.1:8080".parse().expect("an address"));
        let path = loaded.config.stores["data"].url.to_file_path();
        assert_eq!(path, Ok(folder.path().join("data")));
        let again = loaded.reload.users().result.expect("users");
        assert_eq!(password_of(&again.users), password.expose_secret());
        assert_eq!(again.warnings, [""; 0]);
    }

    #[test]
    fn the_environment_changes_the_built_in_default() {
        let folder = folder();
        let set = |name: &str, value: &str| Environment::from([(name.to_owned(), value.to_owned())]);
        let chosen =
            load_in(folder.path(), None, set("BUCKETPORT_PASSWORD", "a\"b")).expect("a valid default");
        assert!(matches!(chosen.origin, Origin::Embedded { generated_password: None }));
        assert_eq!(password_of(&chosen.config.users), "a\"b");
        let port = set("BUCKETPORT_FTP__LISTEN", "[\"127.0.0.1:0\"]");
        let moved = load_in(folder.path(), None, port).expect("a valid default");
        assert_eq!(moved.config.ftp.listen[0].port(), 0);
        let overridden = set("BUCKETPORT_USERS__0__PASSWORD", "other");
        let overridden = load_in(folder.path(), None, overridden).expect("a valid default");
        assert!(matches!(overridden.origin, Origin::Embedded { generated_password: None }));
    }

    #[test]
    fn the_usual_file_is_found_and_a_named_one_must_exist() {
        let folder = folder();
        fs::write(folder.path().join("bucketport.toml"), STORE).expect("a writable folder");
        let loaded = load_in(folder.path(), None, Environment::new()).expect("a valid file");
        assert!(matches!(loaded.origin, Origin::File(_)));
        let missing = folder.path().join("missing.toml");
        let errors = load_in(folder.path(), Some(&missing), Environment::new()).expect_err("no such file");
        assert_eq!(errors.0[0].key, missing.display().to_string());
    }

    #[test]
    fn users_are_read_again_for_the_stores_that_run() {
        let folder = folder();
        let file = folder.path().join("x.toml");
        let write = |text: &str| fs::write(&file, format!("{STORE}{text}")).expect("a writable folder");
        write("");
        let reload = load_in(folder.path(), Some(&file), Environment::new()).expect("a valid file").reload;
        write("[[users]]\nname = \"new\"\npassword = \"x\"\n");
        assert_eq!(reload.users().result.expect("users").users[0].name, "new");
        write(
            "[stores.b]\nurl = \"memory:///\"\n[[users]]\nname = \"new\"\npassword = \"x\"\nstore = \"b\"\n",
        );
        let errors = reload.users().result.expect_err("a store that does not run").to_string();
        assert_eq!(errors, "users: user `new` needs a restart for the new store `b`");
        // Beside the home as well.
        write(
            "[stores.b]\nurl = \"memory:///\"\n[[users]]\nname = \"new\"\npassword = \"x\"\nhome = \"x\"\n\
             store = \"a\"\nmounts = [{ path = \"/m\", store = \"b\" }]\n",
        );
        let errors = reload.users().result.expect_err("a store that does not run").to_string();
        assert_eq!(errors, "users: user `new` needs a restart for the new store `b`");
        write(
            "[ftp.tls]\nmode = \"required\"\nclient_ca = \"/ca\"\n\
             [[users]]\nname = \"new\"\nclient_certificate = \"cn:x\"\n",
        );
        let errors = reload.users().result.expect_err("an authority that is not asked").to_string();
        let expected =
            "users: user `new` needs a restart for ftp.tls.client_ca or ftp.tls.client_certificates";
        assert_eq!(errors, expected);
        write("[[users]]\nname = \"new\"\n");
        assert!(reload.users().result.is_err());
    }

    #[test]
    fn who_is_bound_to_a_certificate_is_not_judged_by_another_authority() {
        let folder = folder();
        let file = folder.path().join("x.toml");
        let write = |tls: &str, proof: &str| {
            let tls = format!("[ftp.tls]\nmode = \"required\"\nclient_ca = \"/ca\"\n{tls}\n");
            let tls = if tls.contains("/other") { tls.replace("/ca", "/other") } else { tls };
            let user = format!("[[users]]\nname = \"new\"\n{proof}\n");
            fs::write(&file, format!("{tls}{STORE}{user}")).expect("a writable folder");
        };
        let (bound, unbound) = ("client_certificate = \"cn:x\"", "password = \"x\"");
        write("", bound);
        let reload = load_in(folder.path(), Some(&file), Environment::new()).expect("a valid file").reload;
        assert_eq!(reload.users().result.expect("users").warnings, [""; 0]);
        let restart = "[ftp.tls] has changed, which needs a restart";
        for tls in ["# /other", "client_certificates = \"optional\""] {
            write(tls, bound);
            let errors = reload.users().result.expect_err("another authority").to_string();
            let expected =
                "users: user `new` needs a restart for ftp.tls.client_ca or ftp.tls.client_certificates";
            assert_eq!(errors, expected, "{tls}");
            write(tls, unbound);
            assert_eq!(reload.users().result.expect("users").warnings, [restart]);
        }
        write("min_version = \"1.3\"", bound);
        let again = reload.users().result.expect("users");
        assert_eq!((again.users.len(), again.warnings), (1, vec![restart.to_owned()]));
        write("client_certificates = \"required\"", bound);
        assert_eq!(reload.users().result.expect("what was the default before").warnings, [""; 0]);
    }

    #[test]
    fn debug_output_holds_no_password() {
        let loaded = load_in(folder().path(), None, Environment::new()).expect("a valid default");
        let password = password_of(&loaded.config.users);
        assert!(!format!("{loaded:?}").contains(&password));
    }
}
