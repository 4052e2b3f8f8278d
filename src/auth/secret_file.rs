//! A file with a secret that the gateway shows to others. It is read each time, so that a new one counts at once.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// What is in the file now, without the white space around it; never nothing.
pub(super) async fn read(file: PathBuf) -> Result<SecretString, String> {
    let reading = tokio::task::spawn_blocking(move || read_now(&file));
    reading.await.map_err(|error| error.to_string())?
}

/// The same (blocking). The message names the file.
pub(super) fn read_now(file: &Path) -> Result<SecretString, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let secret = SecretString::from(text.trim());
    if secret.expose_secret().is_empty() { Err(format!("{shown} is empty")) } else { Ok(secret) }
}
