//! TLS: the certificates that are in force, handshakes, and who may resume whose session. It does not know what runs over
//! it.

mod authorities;
mod certificates;
mod chain;
mod client;
mod identity;
mod reuse;
mod self_signed;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{HandshakeKind, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::config::{CertificateNeed, ConfigErrors, TlsConfig, TlsNeed};
use crate::metrics::{HandshakeResult, Metrics, Reloaded, TlsConnection};
use certificates::Certificates;
use identity::{Files, Identity};
use reuse::Reuse;

pub(crate) use authorities::{Authorities, authorities};
pub(crate) use client::ClientCertificate;
pub(crate) use self_signed::SelfSigned;

/// An encrypted connection.
pub(crate) type Stream<S> = tokio_rustls::server::TlsStream<S>;

/// How many sessions of one control connection can be resumed by ID where they are its own. A client asks for the last.
const OWN_SESSIONS_BY_ID: usize = 4;

/// What handshakes begin with. It can be replaced; sessions keep what they began with.
#[derive(Debug)]
pub(crate) struct Tls {
    config: TlsConfig,
    current: ArcSwap<Sides>,
    /// What the files held when they were last looked at; none when they could not be read.
    seen: Mutex<Option<Files>>,
    metrics: Arc<Metrics>,
}

/// One identity on all kinds of connection.
#[derive(Debug)]
struct Sides {
    control: Arc<ServerConfig>,
    certificates: Certificates,
    /// Of control connections that were shown the certificate at each place.
    data: Vec<DataSides>,
}

/// What the data connections of one control connection begin with.
#[derive(Clone, Debug)]
struct DataSides {
    uploads: Arc<ServerConfig>,
    downloads: Arc<ServerConfig>,
}

impl Sides {
    fn new(identity: Identity) -> Self {
        let Identity { server, certificates } = identity;
        let data = certificates.iter().map(|shown| DataSides::new(&server, &shown.key)).collect();
        Self { control: Arc::new(server), certificates, data }
    }
}

impl DataSides {
    /// Those of control connections with this `control`, which were shown this certificate.
    fn new(control: &ServerConfig, key: &Arc<CertifiedKey>) -> Self {
        // Semantics decision: a data connection shows what its control connection has shown, whichever server the client
        // asks for there, if any. Clients compare the two, FileZilla for one.
        let resolver = Arc::new(SingleCertAndKey::from(Arc::clone(key)));
        let with_tickets = |count| {
            let mut data = control.clone();
            data.cert_resolver = Arc::clone(&resolver) as _;
            (data.send_tls13_tickets, data.max_tls13_tickets) = (count, count);
            Arc::new(data)
        };
        // Clients with OpenSSL use a ticket of TLS 1.3 once, so each connection has to bring the next one. But a client
        // that only sends may never read it, and closing with bytes unread is a reset, which overtakes the end of its
        // file: curl lost every second upload so.
        Self { uploads: with_tickets(0), downloads: with_tickets(1) }
    }
}

/// What is wrong with the files that `config` names.
pub(crate) fn check(config: &TlsConfig) -> Result<(), ConfigErrors> {
    Identity::new(config, &Files::read(config)?).map(drop)
}

impl Tls {
    /// Reads the files that `config` names.
    pub(crate) fn load(config: TlsConfig, metrics: Arc<Metrics>) -> Result<Self, ConfigErrors> {
        let files = Files::read(&config)?;
        let identity = Identity::new(&config, &files)?;
        tell_expiry(&config, &identity, &metrics);
        let current = ArcSwap::from_pointee(Sides::new(identity));
        Ok(Self { config, current, seen: Mutex::new(Some(files)), metrics })
    }

    /// Whether clients may do without.
    pub(crate) fn need(&self) -> TlsNeed {
        self.config.need
    }

    fn needs_certificate(&self) -> bool {
        self.config.client_ca.as_ref().is_some_and(|ca| ca.need == CertificateNeed::Required)
    }

    /// Reads the files again. With errors, what is in force stays.
    pub(crate) fn reload(&self) -> Result<(), ConfigErrors> {
        self.renew(Files::read(&self.config))
    }

    /// Like [`Tls::reload`], unless the files hold what they held when they were last looked at.
    pub(crate) fn reload_if_changed(&self) -> Result<(), ConfigErrors> {
        let files = Files::read(&self.config);
        if self.seen.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == files.as_ref().ok() {
            return Ok(());
        }
        self.renew(files)
    }

    fn renew(&self, files: Result<Files, ConfigErrors>) -> Result<(), ConfigErrors> {
        let identity =
            files.as_ref().map_err(Clone::clone).and_then(|files| Identity::new(&self.config, files));
        self.metrics.reloaded(Reloaded::Certificates, identity.is_ok());
        let renewed = match identity {
            Ok(identity) => {
                tell_expiry(&self.config, &identity, &self.metrics);
                self.current.store(Arc::new(Sides::new(identity)));
                tracing::info!("certificates reloaded");
                Ok(())
            }
            Err(errors) => {
                tracing::error!(%errors, "certificates not reloaded, the old ones stay");
                Err(errors)
            }
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = files.ok();
        renewed
    }

    /// The handshake of a control connection. The caller bounds the wait.
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<(Stream<S>, Session)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let sides = self.current.load_full();
        let (control, reuse) = if self.config.require_session_reuse {
            // With ticket keys of its own no session of another control connection is resumed.
            let mut own = ServerConfig::clone(&sides.control);
            identity::fresh_sessions(&mut own, OWN_SESSIONS_BY_ID).map_err(io::Error::other)?;
            let reuse = Reuse::begin(&mut own);
            (Arc::new(own), Some(reuse))
        } else {
            (Arc::clone(&sides.control), None)
        };
        let accepted = TlsAcceptor::from(Arc::clone(&control)).accept(stream).await;
        let kind =
            accepted.as_ref().ok().map(|stream| stream.get_ref().1).and_then(|tls| tls.handshake_kind());
        self.metrics.tls_handshake(TlsConnection::Control, result(kind));
        let stream = accepted?;
        let tls = stream.get_ref().1;
        let (server, version) = (tls.server_name(), version(tls));
        let client = shown(tls).map(ClientCertificate::read).map(Arc::new);
        tracing::info!(
            version,
            resumed = is_resumed(kind),
            server,
            certificate = client.as_ref().map(tracing::field::debug),
            "TLS begins"
        );
        // rustls does not judge it again, and gives a resumed session new tickets, so that it would never end. Who may do
        // without a certificate goes on, and is told from its owner at login.
        if is_resumed(kind) && self.needs_certificate() && client.as_ref().is_some_and(|it| it.is_expired()) {
            return Err(io::Error::other("the client certificate of the resumed session has expired"));
        }
        let place = sides.certificates.place(server);
        let data = match &reuse {
            None => sides.data[place].clone(),
            Some(_) => DataSides::new(&control, sides.certificates.at(place)),
        };
        Ok((stream, Session { data, version, client, reuse, metrics: Arc::clone(&self.metrics) }))
    }
}

fn tell_expiry(config: &TlsConfig, identity: &Identity, metrics: &Metrics) {
    for (files, certificate) in config.certificates().zip(identity.certificates.iter()) {
        metrics.certificate_expires(&files.certificate, certificate.expires);
    }
}

/// The TLS of one control connection, as its data connections need it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    data: DataSides,
    version: &'static str,
    /// What the client has shown, if anything.
    client: Option<Arc<ClientCertificate>>,
    /// None where data connections may begin sessions of their own.
    reuse: Option<Arc<Reuse>>,
    metrics: Arc<Metrics>,
}

/// What a data connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The client sends.
    Upload,
    /// The client is sent a file or a listing.
    Download,
}

/// Why a data connection has no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataTlsError {
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] io::Error),
    /// The handshake succeeded, but began a session of its own where one of the control connection was to be resumed.
    #[error("the TLS session of the control connection was not resumed")]
    NotResumed,
    /// The handshake succeeded, but the client has not shown the certificate that it has shown on the control connection,
    /// or one where it has shown none there.
    #[error(
        "another client certificate was shown than on the control connection, or one of the two was missing"
    )]
    OtherCertificate,
}

impl Session {
    /// The version of TLS, as `TLSv1_3`.
    pub(crate) fn version(&self) -> &'static str {
        self.version
    }

    /// The certificate that the client has shown, if it has.
    pub(crate) fn client_certificate(&self) -> Option<&Arc<ClientCertificate>> {
        self.client.as_ref()
    }

    /// The handshake of a data connection. The caller bounds the wait.
    pub(crate) async fn accept<S>(&self, stream: S, way: Way) -> Result<Stream<S>, DataTlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let side = match way {
            Way::Upload => &self.data.uploads,
            Way::Download => &self.data.downloads,
        };
        let (connection, config) = match &self.reuse {
            None => (None, Arc::clone(side)),
            Some(reuse) => {
                let (connection, config) = reuse.data_connection(side);
                (Some(connection), Arc::new(config))
            }
        };
        let accepted = TlsAcceptor::from(config).accept(stream).await;
        let tls = accepted.as_ref().ok().map(|stream| stream.get_ref().1);
        let refused = tls.and_then(|tls| self.refusal(tls));
        let counted = match &refused {
            Some(_) => HandshakeResult::Refused,
            None => result(tls.and_then(|tls| tls.handshake_kind())),
        };
        self.metrics.tls_handshake(TlsConnection::Data, counted);
        let stream = accepted?;
        if let Some(refused) = refused {
            return Err(refused);
        }
        if let Some(connection) = connection {
            connection.admit();
        }
        Ok(stream)
    }

    /// Why the data connection with this handshake is not to be used, if it is not.
    fn refusal(&self, tls: &ServerConnection) -> Option<DataTlsError> {
        if self.reuse.is_some() && !is_resumed(tls.handshake_kind()) {
            return Some(DataTlsError::NotResumed);
        }
        // Semantics decision: whoever is logged in, a data connection is that of the device which holds the control
        // connection. Clients show the same on both, or resume a session, which brings its certificate along.
        let on_control = self.client.as_deref().map(ClientCertificate::der);
        (shown(tls) != on_control).then_some(DataTlsError::OtherCertificate)
    }

    /// Counts an upload that ended without the sign of TLS that it is whole.
    pub(crate) fn ended_without_close_notify(&self) {
        self.metrics.without_close_notify();
    }
}

/// The certificate that the client has shown; in a resumed session, in the handshake with which the session began.
fn shown(tls: &ServerConnection) -> Option<&CertificateDer<'static>> {
    tls.peer_certificates().and_then(<[_]>::first)
}

fn is_resumed(kind: Option<HandshakeKind>) -> bool {
    matches!(kind, Some(HandshakeKind::Resumed))
}

fn result(kind: Option<HandshakeKind>) -> HandshakeResult {
    match kind {
        None => HandshakeResult::Failed,
        Some(HandshakeKind::Resumed) => HandshakeResult::Resumed,
        Some(_) => HandshakeResult::Full,
    }
}

fn version(tls: &ServerConnection) -> &'static str {
    tls.protocol_version().and_then(|version| version.as_str()).unwrap_or("unknown")
}
