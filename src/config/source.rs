//! What a configuration is read from: a file, or the default that is built in.

use std::path::{Path, PathBuf};

use toml::{Table, Value};
use url::Url;

use super::error::{ConfigError, ConfigErrors};
use super::file::read_table;

/// Read each time that the configuration is.
pub(super) enum Source {
    /// This file.
    File(PathBuf),
    /// The built-in default, with its URL and password filled in.
    Embedded(Table),
}

impl Source {
    /// What it holds now.
    pub(super) fn table(&self) -> Result<Table, ConfigErrors> {
        match self {
            Self::File(path) => {
                Ok(read_table(path)
                    .map_err(|message| ConfigError::new(path.display().to_string(), message))?)
            }
            Self::Embedded(table) => Ok(table.clone()),
        }
    }
}

/// The built-in default with a store in `folder` and this password.
pub(super) fn embedded(folder: &Path, password: &str) -> Result<Table, ConfigErrors> {
    let mut table: Table =
        include_str!("embedded.toml").parse().expect("the built-in default is TOML, a test reads it");
    let url = Url::from_file_path(folder.join("data"))
        .map_err(|()| ConfigError::new("stores.data.url", "the working directory is not an absolute path"))?;
    table["stores"]["data"]["url"] = Value::String(url.into());
    table["users"][0]["password"] = Value::String(password.to_owned());
    Ok(table)
}
