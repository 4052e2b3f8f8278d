//! Who has to have signed the certificate of a server that the gateway is a client of.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};

use super::certificates::Source;
use crate::config::ConfigError;

/// What a client of such a server begins TLS with.
pub(crate) type Authorities = Arc<ClientConfig>;

/// Those whose certificates `file` holds in PEM, which `key` of the configuration names.
pub(crate) fn authorities(key: &str, file: &Path) -> Result<Authorities, ConfigError> {
    let source = Source { key: key.to_owned(), file };
    let pem = std::fs::read(file).map_err(|error| source.mistake(format!("cannot be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in source.certificates(&pem)? {
        roots.add(certificate).map_err(|error| source.mistake(error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| source.mistake(error))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
