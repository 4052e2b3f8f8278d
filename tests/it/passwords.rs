//! The empty password is no way to log in, however it is written.

use crate::support::{Gateway, Setup, program};

/// Hashes of the empty password and of `x`, of the lowest cost.
const BCRYPT_EMPTY: &str = "$2b$04$J8580JAkG9mCT8LQMr1cXe092FOP9gJlLmAXu7jm/sv8zMHG/c3g6";
const BCRYPT_X: &str = "$2b$04$.9NbQH7Ikbz8easHdKF61.w5JnNMG/2W86zVkBCv7QE6npBeKSB4K";
/// A hash of the empty password.
const ARGON2_EMPTY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Te+cCimZoJqN1i2KUKmugA$7CpD1PCQaa+Qmjdq7CT/2u3UmCph3EyoPSfgmLVaheQ";

fn user(name: &str, password: &str) -> String {
    format!("[[users]]\nname = \"{name}\"\n{password}\n")
}

fn refused(gateway: &Gateway, name: &str, pass: &str) {
    let mut raw = gateway.connect();
    raw.expect(&format!("USER {name}"), 331);
    raw.expect(pass, 530);
    raw.expect("PWD", 530);
}

fn opens(gateway: &Gateway, name: &str, pass: &str) {
    let mut raw = gateway.connect();
    raw.expect(&format!("USER {name}"), 331);
    raw.expect(pass, 230);
    raw.expect("PWD", 257);
}

#[test]
fn hashes_of_the_empty_password_open_nothing() {
    let users = [
        user("bcrypt", &format!("password_hash = \"{BCRYPT_EMPTY}\"")),
        user("argon", &format!("password_hash = \"{ARGON2_EMPTY}\"")),
        user("other", &format!("password_hash = \"{BCRYPT_X}\"")),
    ];
    let gateway = Setup::default().users(&users.concat()).start();
    for name in ["bcrypt", "argon", "other"] {
        for pass in ["PASS", "PASS "] {
            refused(&gateway, name, pass);
        }
    }
    opens(&gateway, "other", "PASS x");
}

#[test]
fn an_empty_password_is_a_mistake() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("x.toml");
    let text = format!("[stores.main]\nurl = \"memory:///\"\n{}", user("x", "password = \"\""));
    std::fs::write(&file, text).expect("a writable folder");
    let output = program().arg("check").arg("--config").arg(&file).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.lines().any(|line| line == "users[0].password: is empty"), "{said}");
}
