//! The servers that are measured, each in a folder of its own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
    process: Child,
    _folder: TempDir,
}

/// Our configuration for a local folder.
pub(crate) fn local_config() -> String {
    "[stores.data]\nurl = \"file://FOLDER/data\"\n".to_owned()
}

impl Server {
    /// Our server with these stores; `FOLDER` stands for its own folder.
    pub(crate) fn bucketport(stores: &str) -> Self {
        let folder = folder();
        let address = free_address();
        let config = format!(
            "[ftp]\nlisten = [\"{address}\"]\npassive_ports = \"31000-31199\"\nmax_connections_per_ip = 1000\n\
             [http]\nlisten = \"127.0.0.1:0\"\n{}\n\
             [[users]]\nname = \"bench\"\npassword = \"bench\"\n",
            stores.replace("FOLDER", &folder.path().display().to_string())
        );
        let file = folder.path().join("bucketport.toml");
        std::fs::write(&file, config).expect("configuration");
        let mut command = Command::new(env!("CARGO_BIN_EXE_bucketport"));
        command.arg("--config").arg(file);
        Self::start(command, address, folder, ("bench", "bench"))
    }

    pub(crate) fn pyftpdlib() -> Option<Self> {
        let python = std::env::var("BENCH_PYFTPDLIB_PYTHON").ok()?;
        let (folder, address) = (folder(), free_address());
        let mut command = Command::new(python);
        command.args(["-m", "pyftpdlib", "-w", "-i", "127.0.0.1", "-u", "bench", "-P", "bench", "-p"]);
        command.arg(address.port().to_string()).arg("-d").arg(folder.path());
        Some(Self::start(command, address, folder, ("bench", "bench")))
    }

    pub(crate) fn unftp() -> Option<Self> {
        let program = std::env::var("BENCH_UNFTP").ok()?;
        let (folder, address) = (folder(), free_address());
        let mut command = Command::new(program);
        command.arg("--bind-address").arg(address.to_string());
        command.arg("--bind-address-http").arg(free_address().to_string());
        command.arg("--passive-ports").arg("31200-31399").arg("--root-dir").arg(folder.path());
        Some(Self::start(command, address, folder, ("anonymous", "bench")))
    }

    fn start(
        mut command: Command,
        address: SocketAddr,
        folder: TempDir,
        (user, password): (&'static str, &'static str),
    ) -> Self {
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("server");
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "server does not listen on {address}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { address, user, password, process, _folder: folder }
    }

    /// CPU seconds used so far, in user and kernel mode.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit_once(") ").expect("stat").1.split(' ').collect();
        let ticks: u64 =
            fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
        // USER_HZ is 100 on every Linux that Rust runs on.
        ticks as f64 / 100.0
    }

    /// The most memory it has had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// The memory it has now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, key: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with(key)).expect("status");
        line.split_whitespace().nth(1).expect("status").parse::<u64>().expect("KiB") * 1024
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(Path::new("/proc").join(self.process.id().to_string()).join(file))
            .expect("proc")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// On a disk, as a real store would be: /tmp is memory on many machines.
pub(crate) fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("folder")
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("free port")
}
