//! The gateway under test: the real program with a configuration of its own, ended when it is dropped.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Raw, S3Server, TOKEN, eventually, files_below};

/// The program starts within milliseconds; a busy machine may need longer.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Passive ports lie between these, below those that the system gives out.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// The program, without this process's environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bucketport"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// A range of `count` ports that no other gateway of this process uses, as the configuration writes it.
pub(crate) fn passive_ports(count: u16) -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another run of the tests at the same time most likely begins elsewhere.
    let offset = u16::try_from(u64::from(std::process::id()) * 377 % u64::from(PORTS)).expect("below PORTS");
    let taken = NEXT.fetch_add(count, Ordering::SeqCst);
    // One modulus for all, so that ranges follow each other; the last one may run beyond `PORTS`.
    let start = (u32::from(offset) + u32::from(taken)) % u32::from(PORTS);
    let first = FIRST_PORT + u16::try_from(start).expect("below PORTS");
    format!("{first}-{}", first + count - 1)
}

/// How a gateway is to be configured.
pub(crate) struct Setup {
    host: IpAddr,
    ports: u16,
    range: Option<String>,
    ftp: String,
    http: String,
    log: String,
    transfer: String,
    store: String,
    url: Option<String>,
    options: Vec<(String, String)>,
    users: String,
    cluster: String,
    environment: Vec<(String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.into(),
            ports: 20,
            range: None,
            ftp: String::new(),
            http: String::new(),
            log: "level = \"debug\"\n".to_owned(),
            transfer: String::new(),
            store: String::new(),
            url: None,
            options: Vec::new(),
            users: "[[users]]\nname = \"demo\"\npassword = \"secret\"\n".to_owned(),
            cluster: String::new(),
            environment: Vec::new(),
        }
    }
}

impl Setup {
    /// How many passive ports there are.
    pub(crate) fn ports(mut self, count: u16) -> Self {
        self.ports = count;
        self
    }

    /// This range of passive ports.
    pub(crate) fn range(mut self, ports: &str) -> Self {
        self.range = Some(ports.to_owned());
        self
    }

    /// The address that it listens on.
    pub(crate) fn host(mut self, address: IpAddr) -> Self {
        self.host = address;
        self
    }

    /// A line of `[ftp]`.
    pub(crate) fn ftp(mut self, line: &str) -> Self {
        self.ftp.push_str(line);
        self.ftp.push('\n');
        self
    }

    /// A line of `[http]`.
    pub(crate) fn http(mut self, line: &str) -> Self {
        self.http.push_str(line);
        self.http.push('\n');
        self
    }

    /// The lines of `[log]`.
    pub(crate) fn log(mut self, lines: &str) -> Self {
        self.log = format!("{lines}\n");
        self
    }

    /// A line of `[transfer]`.
    pub(crate) fn transfer(mut self, line: &str) -> Self {
        self.transfer.push_str(line);
        self.transfer.push('\n');
        self
    }

    /// A line of `[stores.main]`.
    pub(crate) fn store(mut self, line: &str) -> Self {
        self.store.push_str(line);
        self.store.push('\n');
        self
    }

    /// The files live in this server's bucket.
    pub(crate) fn s3(self, server: &S3Server) -> Self {
        self.at(S3Server::URL, server.options())
    }

    /// The files live at this URL.
    pub(crate) fn at(mut self, url: &str, options: Vec<(String, String)>) -> Self {
        self.url = Some(url.to_owned());
        self.options = options;
        self
    }

    /// The users, and whatever sections stand beside them.
    pub(crate) fn users(mut self, text: &str) -> Self {
        text.clone_into(&mut self.users);
        self
    }

    /// The lines of `[cluster]`.
    pub(crate) fn cluster(mut self, lines: &str) -> Self {
        self.cluster = format!("[cluster]\n{lines}\n");
        self
    }

    /// An environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the admin token [`TOKEN`] in the file `token` beside the configuration.
    pub(crate) fn admin(self) -> Self {
        self.http("admin_token_file = \"token\"")
    }

    /// Starts the gateway and waits until it listens.
    pub(crate) fn start(self) -> Gateway {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("gateway.toml");
        std::fs::write(folder.path().join("token"), TOKEN).expect("a writable folder");
        std::fs::write(&config, self.text(&folder.path().join("data"))).expect("a writable folder");
        let mut command = program();
        command.args(["--config".as_ref(), config.as_os_str()]).current_dir(folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Gateway::run(command, folder)
    }

    fn text(&self, data: &Path) -> String {
        let mut text = format!(
            "[ftp]\nlisten = [\"{host}:0\"]\npassive_ports = \"{ports}\"\n{ftp}\n[http]\nlisten = \"127.0.0.1:0\"\n{http}\
             [log]\n{log}[transfer]\n{transfer}[stores.main]\nurl = \"{url}\"\n{store}\n",
            host = self.host,
            ports = self.range.clone().unwrap_or_else(|| passive_ports(self.ports)),
            ftp = self.ftp,
            http = self.http,
            log = self.log,
            transfer = self.transfer,
            url = self.url.clone().unwrap_or_else(|| format!("file://{}", data.display())),
            store = self.store,
        );
        if !self.options.is_empty() {
            text += "[stores.main.options]\n";
            for (name, value) in &self.options {
                writeln!(text, "{name} = \"{value}\"").expect("writing to a string cannot fail");
            }
        }
        text + &self.cluster + &self.users
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    child: Mutex<Child>,
    id: u32,
    folder: TempDir,
    log: Arc<Mutex<String>>,
    pub(crate) ftp: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Gateway {
    /// A gateway on a local folder with the user `demo`, password `secret`.
    pub(crate) fn start() -> Self {
        Setup::default().start()
    }

    /// Runs `command`, which must start a gateway whose store is `data` in `folder`.
    pub(crate) fn run(mut command: Command, folder: TempDir) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("it was asked for");
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { return };
                let mut log = written.lock().expect("no holder panics");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let id = child.id();
        let mut gateway = Self { child: Mutex::new(child), id, folder, log, ftp: nowhere, http: nowhere };
        gateway.ftp = gateway.listening("ftp listening");
        gateway.http = gateway.listening("http listening");
        gateway
    }

    fn listening(&self, message: &str) -> SocketAddr {
        let mut found = None;
        eventually(message, START_DEADLINE, || {
            found = self.log().lines().find(|line| line.contains(message)).and_then(address_in);
            if let Ok(Some(status)) = self.child().try_wait() {
                panic!("the gateway ended with {status}");
            }
            found.is_some()
        });
        found.expect("waited for it")
    }

    /// Where control connections begin with TLS, if the configuration has such a place.
    pub(crate) fn ftps(&self) -> SocketAddr {
        self.listening("ftps listening")
    }

    /// A control connection, greeted.
    pub(crate) fn connect(&self) -> Raw {
        Raw::connect(self.ftp, None)
    }

    /// A control connection from this address.
    pub(crate) fn connect_from(&self, address: IpAddr) -> Raw {
        Raw::connect(self.ftp, Some(address))
    }

    /// A session of the user `demo`, in binary.
    pub(crate) fn login(&self) -> Raw {
        self.connect().logged_in("demo", "secret")
    }

    /// The URL of `path` with a name and a password in it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("ftp://demo:secret@{}{path}", self.ftp)
    }

    /// The folder that the gateway runs in; its configuration is `gateway.toml` there.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The local store.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The content of a file in the local store.
    #[track_caller]
    pub(crate) fn file(&self, path: &str) -> Vec<u8> {
        let file = self.data().join(path);
        std::fs::read(&file).unwrap_or_else(|error| panic!("{path:?}: {error}"))
    }

    /// Puts a file into the local store behind the gateway's back.
    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        let file = self.data().join(path);
        std::fs::create_dir_all(file.parent().expect("it has one")).expect("a writable folder");
        std::fs::write(file, content).expect("a writable folder");
    }

    /// Every file in the local store, staged uploads included.
    pub(crate) fn files(&self) -> Vec<String> {
        files_below(&self.data())
    }

    /// What the gateway has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no holder panics").clone()
    }

    /// Waits for `text` in the log.
    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), Duration::from_secs(20), || self.log().contains(text));
    }

    /// The status and the body of an HTTP GET.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        http_get(self.http, path).expect("an answer over HTTP")
    }

    /// The value of the metric's sample with these labels, such as `bucketport_sessions{tls="none"}`.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200, "{body}");
        let line = body.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {sample} in\n{body}")).parse().expect("a number")
    }

    /// Waits until no upload runs.
    pub(crate) fn wait_for_uploads(&self) {
        let active =
            ["upload", "append"].map(|d| format!("bucketport_transfers_active{{direction=\"{d}\"}}"));
        eventually("the uploads' end", Duration::from_secs(20), || {
            active.iter().all(|sample| self.metric(sample) < 0.5)
        });
    }

    /// Waits until no session is left.
    #[track_caller]
    pub(crate) fn wait_for_sessions(&self, limit: Duration) {
        let sessions = "bucketport_sessions{tls=\"none\"}";
        eventually("the sessions' end", limit, || self.metric(sessions) < 0.5);
    }

    /// From now on it may have about `more` files more open than now: numbers below the limit may be free.
    pub(crate) fn limit_files(&self, more: usize) {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.id)).expect("a live child").count();
        self.prlimit(&format!("--nofile={}", open + more));
    }

    /// From now on it can open no file and accept no connection. What is open stays open.
    pub(crate) fn deny_files(&self) {
        // The soft limit, which can be raised again. The numbers below it are taken in every process.
        self.prlimit("--nofile=3:");
    }

    /// It can again, as many as it may ever.
    pub(crate) fn allow_files(&self) {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.id)).expect("a live child");
        let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("Linux has it");
        let most = line.split_whitespace().nth(4).expect("the second of two limits");
        self.prlimit(&format!("--nofile={most}:"));
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("our own child");
    }

    /// Ends it as a machine does that fails, and waits until it is gone.
    pub(crate) fn kill(&self) {
        // It may have ended already.
        let _ = self.child().kill();
        let _ = self.child().wait();
    }

    /// The process.
    pub(crate) fn process_id(&self) -> u32 {
        self.id
    }

    fn prlimit(&self, limit: &str) {
        let mut command = Command::new("prlimit");
        command.args([&format!("--pid={}", self.id), limit]);
        assert!(command.status().expect("util-linux is there").success());
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        // What a test that panics leaves behind is still a child.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.id).expect("a process id"))
    }

    /// Waits for the gateway's end.
    #[track_caller]
    pub(crate) fn ended(&self, limit: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child().try_wait().expect("our own child") {
                return status;
            }
            assert!(begun.elapsed() < limit, "still running after {limit:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A field of the process's memory in KiB: `VmRSS` now, `VmHWM` at most.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id)).expect("a live child");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {field} in {status}"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(200)..];
            eprintln!("--- the gateway's log\n{}\n---", last.join("\n"));
        }
    }
}

/// `address=127.0.0.1:4711` in text, `"address":"127.0.0.1:4711"` in JSON.
fn address_in(line: &str) -> Option<SocketAddr> {
    let rest = line.split_once("address")?.1;
    let rest = rest.trim_start_matches(['"', ':', '=']);
    rest.split(['"', ' ', ',']).next()?.parse().ok()
}

fn http_get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::InvalidData)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or(std::io::ErrorKind::InvalidData)?, body.to_owned()))
}
