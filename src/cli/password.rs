//! A password that is asked for.

use std::io::{BufRead, IsTerminal, stdin};

use secrecy::{ExposeSecret, SecretString};

/// A password from a terminal, typed twice and not shown, or one line from a pipe.
pub(super) fn read() -> anyhow::Result<SecretString> {
    let password = if stdin().is_terminal() {
        let first = SecretString::from(rpassword::prompt_password("Password: ")?);
        let second = SecretString::from(rpassword::prompt_password("Again: ")?);
        anyhow::ensure!(first.expose_secret() == second.expose_secret(), "the two passwords differ");
        first
    } else {
        read_line(stdin().lock())?
    };
    anyhow::ensure!(!password.expose_secret().is_empty(), "the password is empty");
    Ok(password)
}

/// The first line without its line end.
fn read_line(mut input: impl BufRead) -> std::io::Result<SecretString> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_line_loses_only_its_line_end() {
        for (input, password) in [(" a b \n", " a b "), ("a\r\n", "a"), ("a", "a"), ("a\nb\n", "a"), ("", "")]
        {
            let line = read_line(input.as_bytes()).expect("readable input");
            assert_eq!(line.expose_secret(), password);
        }
    }
}
