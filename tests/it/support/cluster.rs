//! Several replicas on addresses of their own and with one store, between which a client can choose for each connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;

use tempfile::TempDir;

use super::{Gateway, Raw, Setup, passive_ports};

/// Passive ports of each replica.
const EACH: u16 = 10;

/// Three replicas.
pub(crate) struct Cluster {
    replicas: Vec<Gateway>,
    range: String,
    hops: u16,
    store: TempDir,
}

impl Cluster {
    pub(crate) const REPLICAS: u16 = 3;
    pub(crate) const SECRET: &str = "the secret of the tests' cluster";

    /// Each as it is by default.
    pub(crate) fn start() -> Self {
        Self::with(|setup| setup)
    }

    /// Each behind a balancer that connects from this address.
    pub(crate) fn behind(balancer: &str) -> Self {
        let trusted = format!("proxy_trusted = [\"{balancer}\"]");
        Self::with(|setup| setup.ftp("proxy_protocol = \"required\"").ftp(&trusted))
    }

    /// Each configured further.
    pub(crate) fn with(further: impl Fn(Setup) -> Setup) -> Self {
        let range = passive_ports(EACH * Self::REPLICAS);
        let hops = passive_ports(1).split('-').next().and_then(|port| port.parse().ok()).expect("a port");
        let store = tempfile::tempdir().expect("a temporary folder");
        let mut cluster = Self { replicas: Vec::new(), range, hops, store };
        let replicas =
            (0..Self::REPLICAS).map(|ordinal| further(cluster.setup(ordinal, Self::SECRET)).start());
        cluster.replicas = replicas.collect();
        cluster
    }

    /// What a replica is configured with, for one that is started anew or is another.
    pub(crate) fn setup(&self, ordinal: u16, secret: &str) -> Setup {
        let peers: Vec<_> =
            (0..Self::REPLICAS).map(|each| format!("\"{}:{}\"", Self::host(each), self.hops)).collect();
        let own = format!(
            "replicas = {}\nordinal = {ordinal}\npeers = [{}]\nlisten = \"{}\"\nsecret = \"{secret}\"",
            Self::REPLICAS,
            peers.join(", "),
            self.hop(ordinal),
        );
        let store = format!("file://{}", self.data().display());
        Setup::default().host(Self::host(ordinal)).range(&self.range).at(&store, Vec::new()).cluster(&own)
    }

    /// Ends a replica and takes another one in its place.
    pub(crate) fn replace(&mut self, ordinal: u16, setup: Setup) {
        // Both listen on the same passive ports.
        self.replicas[usize::from(ordinal)].kill();
        self.replicas[usize::from(ordinal)] = setup.start();
    }

    /// Where a replica listens.
    pub(crate) fn host(ordinal: u16) -> IpAddr {
        Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(ordinal).expect("few")).into()
    }

    /// Where a replica takes what the others hand on.
    pub(crate) fn hop(&self, ordinal: u16) -> SocketAddr {
        SocketAddr::new(Self::host(ordinal), self.hops)
    }

    /// The same port at another replica.
    pub(crate) fn at(address: SocketAddr, ordinal: u16) -> SocketAddr {
        SocketAddr::new(Self::host(ordinal), address.port())
    }

    /// The first port of a replica's slice and its last.
    pub(crate) fn slice(&self, ordinal: u16) -> (u16, u16) {
        let first: u16 = self.range.split('-').next().and_then(|first| first.parse().ok()).expect("a range");
        (first + EACH * ordinal, first + EACH * (ordinal + 1) - 1)
    }

    pub(crate) fn replica(&self, ordinal: u16) -> &Gateway {
        &self.replicas[usize::from(ordinal)]
    }

    pub(crate) fn replicas(&self) -> impl Iterator<Item = &Gateway> {
        self.replicas.iter()
    }

    /// The store's folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.store.path().join("data")
    }

    /// The stored content; none if there is no such file.
    pub(crate) fn stored(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.data().join(path)).ok()
    }

    /// Everything in the store, staged uploads included.
    pub(crate) fn files(&self) -> Vec<String> {
        super::files_below(&self.data())
    }

    /// PASV of a session, and a data connection to the replica `via`.
    #[track_caller]
    pub(crate) fn open(raw: &mut Raw, via: u16) -> TcpStream {
        let address = raw.pasv_address();
        raw.open_data(Self::at(address, via))
    }

    /// The same, and `command` with its 150.
    #[track_caller]
    pub(crate) fn begin(raw: &mut Raw, via: u16, command: &str) -> TcpStream {
        let data = Self::open(raw, via);
        raw.expect(command, 150);
        data
    }

    /// How many data connections a replica has handed on with this result.
    pub(crate) fn forwarded(&self, via: u16, result: &str) -> f64 {
        self.replica(via).metric(&format!("bucketport_forwarded_connections_total{{result=\"{result}\"}}"))
    }
}
