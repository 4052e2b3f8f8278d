//! The servers that are measured, each in a folder of its own.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tempfile::TempDir;

use crate::process::Family;

static STARTED: AtomicU16 = AtomicU16::new(0);

pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) login: Login,
    /// What its clients begin TLS with, if they do.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    process: Child,
    place: Place,
}

/// Who logs in, and the directory whose files are in the place's `data`.
pub(crate) struct Login {
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
    pub(crate) directory: &'static str,
}

pub(crate) const BENCH: Login = Login { user: "bench", password: "bench", directory: "/" };

/// Our configuration for a local folder.
pub(crate) fn local_config() -> String {
    "[stores.data]\nurl = \"file://FOLDER/data\"\n".to_owned()
}

impl Server {
    /// Our server with these stores; `FOLDER` stands for its own folder.
    pub(crate) fn bucketport(stores: &str) -> Self {
        Self::ours(free_address(), &free_ports(), stores)
    }

    /// The same at this address, with these passive ports and whatever sections stand before its users.
    pub(crate) fn ours(address: SocketAddr, ports: &str, stores: &str) -> Self {
        let place = Place::new();
        let config = format!(
            "[ftp]\nlisten = [\"{address}\"]\npassive_ports = \"{ports}\"\nmax_connections_per_ip = 10000\n\
             [http]\nlisten = \"127.0.0.1:0\"\n{}\n\
             [[users]]\nname = \"bench\"\npassword = \"bench\"\n",
            stores.replace("FOLDER", &place.root().display().to_string())
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_bucketport"));
        command.arg("--config").arg(place.write("bucketport.toml", &config));
        Self::start("bucketport", command, address, place, BENCH).expect("our server")
    }

    /// The same, for clients that begin TLS.
    pub(crate) fn with_tls(mut self, name: &'static str, tls: Arc<ClientConfig>) -> Self {
        (self.name, self.tls) = (name, Some(tls));
        self
    }

    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        address: SocketAddr,
        place: Place,
        login: Login,
    ) -> Result<Self, String> {
        // vsftpd speaks through its standard input if it cannot start.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().map_err(|error| error.to_string())?;
        let server = Self { name, address, login, tls: None, process, place };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                return Err(format!("it does not listen on {address}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// CPU seconds used so far by its processes that are alive.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.processes().cpu_seconds()
    }

    /// The most memory its processes have had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.processes().status("VmHWM:")
    }

    /// The memory its processes have now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.processes().status("VmRSS:")
    }

    /// The folder with its files.
    pub(crate) fn data(&self) -> PathBuf {
        self.place.data()
    }

    fn processes(&self) -> Family {
        Family::of(self.process.id())
    }

    /// Has the kernel hold this much of files and let go of it again. Without this the server that followed a slow peer did
    /// a sixth of what it did alone, on a virtual machine that probably gives back what it has not used for seconds.
    pub(crate) fn warm(&self, size: u64) {
        let mut file = std::fs::File::create(self.place.path("data/warm")).expect("file");
        std::io::copy(&mut std::io::repeat(0).take(size), &mut file).expect("write");
        self.clear();
    }

    /// Removes all files, so that no turn pays for writing those of another to the disk.
    pub(crate) fn clear(&self) {
        for entry in std::fs::read_dir(self.place.data()).expect("data") {
            std::fs::remove_file(entry.expect("entry").path()).expect("remove");
        }
    }
}

/// Ends the first process; those that it forked for sessions end with their clients.
impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A server's folder: its configuration, and the files it serves in `data`.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(folder());
        std::fs::create_dir(place.data()).expect("data");
        place
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let file = self.path(name);
        std::fs::write(&file, content).expect("configuration");
        file
    }
}

/// On a disk, as a real store would be: /tmp is memory on many machines.
pub(crate) fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("folder")
}

/// Passive ports of its own for each that runs at the same time.
pub(crate) fn free_ports() -> String {
    let first = 33_000 + 200 * STARTED.fetch_add(1, Ordering::Relaxed) % 10_000;
    format!("{first}-{}", first + 199)
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("free port")
}
