//! Network namespaces: machines of their own, with nothing outside of them touched. They need root, iproute2 and nftables.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

/// A network namespace; its name goes when it is dropped, and the rest with what still uses it.
pub(crate) struct Namespace(String);

impl Namespace {
    /// One for each of these roles; none, and says so, where there can be none.
    pub(crate) fn each<const N: usize>(roles: [&str; N]) -> Option<[Self; N]> {
        if !fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        remove_left_over();
        let made = run("nft", &["--version"]).and_then(|()| {
            let made: Result<Vec<_>, _> = roles.into_iter().map(Self::new).collect();
            Ok(made?.try_into().unwrap_or_else(|_| unreachable!("one for each")))
        });
        made.inspect_err(|error| eprintln!("skipped: no network namespaces: {error}")).ok()
    }

    fn new(role: &str) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bucketport-{}-{number}-{role}", std::process::id());
        run("ip", &["netns", "add", &name])?;
        let made = Self(name);
        made.ip("link set lo up");
        Ok(made)
    }

    /// Connects both: the link is `eth0` here and `down` there, and these are the first three numbers of its addresses, of which
    /// this end has .2 and that one .1.
    #[track_caller]
    pub(crate) fn link(&self, router: &Self, down: &str, network: &str) {
        self.ip(&format!("link add eth0 type veth peer name {down} netns {}", router.0));
        for (end, name, last) in [(router, down, 1), (self, "eth0", 2)] {
            end.ip(&format!("address add {network}.{last}/24 dev {name}"));
            end.ip(&format!("link set {name} up"));
        }
        self.ip(&format!("route add default via {network}.1"));
    }

    /// Runs `act` here. Its sockets stay here, whoever uses them later, and so do the threads and processes that it starts.
    pub(crate) fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let acting = scope.spawn(|| {
                let namespace = File::open(format!("/run/netns/{}", self.0)).expect("it exists");
                setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may");
                act()
            });
            acting.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    #[track_caller]
    pub(crate) fn ip(&self, arguments: &str) {
        let arguments: Vec<_> = ["-n", &self.0].into_iter().chain(arguments.split(' ')).collect();
        run("ip", &arguments).expect("a namespace of our own");
    }

    /// Gives the kernel these rules, all in one step.
    #[track_caller]
    pub(crate) fn nft(&self, rules: &str) {
        self.inside(|| run("nft", &[rules])).expect("root may");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = run("ip", &["netns", "del", &self.0]) {
            eprintln!("{error}");
        }
    }
}

/// Removes those of test runs that were killed.
fn remove_left_over() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix("bucketport-").and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !fs::exists(format!("/proc/{process}")).unwrap_or(true)) {
            // Another test may be faster.
            let _ = run("ip", &["netns", "del", &name]);
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| format!("{program} {}: {error}", arguments.join(" "));
    let output = Command::new(program).args(arguments).output().map_err(|error| told(&error))?;
    if output.status.success() { Ok(()) } else { Err(told(&String::from_utf8_lossy(&output.stderr))) }
}
