//! pure-ftpd, vsftpd and proftpd as Debian builds them, set up to be at their best.
//!
//! Their packages are unpacked in the folder that `BENCH_DEBIAN` names; nothing is installed, and no user is made. Each
//! drops root's rights to a system user that every Debian has, which owns the files.
//!
//! Sessions of pure-ftpd and vsftpd draw their passive ports without knowing of each other's. They have ten thousand, so
//! that two seldom draw the same at once.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::{BENCH, Login, Place, Server, free_address};

/// The user `daemon`: `nobody` has no home, which vsftpd insists on.
const DAEMON: u32 = 1;

/// A line of passwd without a shell, with the password `bench` in the hash that costs a login least.
fn passwd(home: &str) -> String {
    format!("bench:beXASnuSGSZa.:{DAEMON}:{DAEMON}::{home}:\n")
}

/// With TLS where there is a `certificate`, a file with its key.
pub(crate) fn pure_ftpd(certificate: Option<&Path>) -> Result<Server, String> {
    let mut command = program("usr/sbin/pure-ftpd")?;
    let (place, address) = (place(), free_address());
    let users = place.path("users.pdb");
    let list = place.write("passwd", &passwd(&format!("{}/./", place.data().display())));
    let made = program("usr/bin/pure-pw")?.arg("mkdb").arg(&users).arg("-f").arg(list).status();
    if !made.is_ok_and(|status| status.success()) {
        return Err("pure-pw failed".to_owned());
    }
    command.args(["-S", &format!("127.0.0.1,{}", address.port())]);
    command.arg("-l").arg(format!("puredb:{}", users.display()));
    command.arg("-g").arg(place.path("pid"));
    command.args(["-p", "20000:29999"]);
    // IPv4, no anonymous users, who would need one in the system, and everybody in their home.
    command.args(["-4", "-E", "-A"]);
    // No look-up of client names, and no log.
    command.args(["-H", "-f", "none"]);
    // Users as low as ours may log in.
    command.args(["-u", "1"]);
    if let Some(certificate) = certificate {
        command.args(["-Y", "1"]).arg("-2").arg(certificate);
    }
    Server::start("pure-ftpd", command, address, place, BENCH)
}

/// Its named users are the system's, so the one here is anonymous, with the rights of a named one. With TLS where there is a
/// `certificate`, a file with its key.
pub(crate) fn vsftpd(certificate: Option<&Path>) -> Result<Server, String> {
    let mut command = program("usr/sbin/vsftpd")?;
    let (place, address) = (place(), free_address());
    let empty = place.path("empty");
    std::fs::create_dir(&empty).expect("folder");
    let tls = certificate.map_or(String::new(), |certificate| {
        format!(
            "ssl_enable=YES\nallow_anon_ssl=YES\nforce_local_data_ssl=NO\nforce_local_logins_ssl=NO\n\
             require_ssl_reuse=NO\nrsa_cert_file={0}\nrsa_private_key_file={0}\n",
            certificate.display()
        )
    });
    let config = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={}\nbackground=NO\n\
         anonymous_enable=YES\nlocal_enable=NO\nftp_username=daemon\nanon_root={}\n\
         write_enable=YES\nanon_upload_enable=YES\nanon_other_write_enable=YES\nanon_world_readable_only=NO\n\
         secure_chroot_dir={}\npasv_min_port=10000\npasv_max_port=19999\n\
         # No look-up of clients in files or DNS, and no network namespace to make for each session.\n\
         tcp_wrappers=NO\nisolate_network=NO\n{tls}",
        address.port(),
        place.root().display(),
        empty.display()
    );
    command.arg(place.write("vsftpd.conf", &config));
    // It does not let anonymous users write in their root.
    let login = Login { user: "anonymous", password: "bench", directory: "/data" };
    Server::start("vsftpd", command, address, place, login)
}

pub(crate) fn proftpd() -> Result<Server, String> {
    let mut command = program("usr/sbin/proftpd")?;
    let (place, address) = (place(), free_address());
    let data = place.data();
    let users = place.write("passwd", &passwd(&data.display().to_string()));
    // It refuses a list of users that others can read.
    std::fs::set_permissions(&users, PermissionsExt::from_mode(0o600)).expect("permissions");
    let config = format!(
        "ServerType standalone\nDefaultServer on\nDefaultAddress 127.0.0.1\nPort {}\nUseIPv6 off\n\
         SocketBindTight on\nUser daemon\nGroup daemon\nPidFile {}\n\
         AuthOrder mod_auth_file.c\nAuthUserFile {}\nAuthPAM off\nRequireValidShell off\n\
         DefaultRoot {}\nAllowOverwrite on\nPassivePorts 31800 31999\n\
         # No look-up of client names, no delay of logins, no logs, no list of sessions, no control socket.\n\
         UseReverseDNS off\nDelayEngine off\nWtmpLog off\nTransferLog none\nSystemLog none\nScoreboardFile none\n\
         ControlsEngine off\n",
        address.port(),
        place.path("pid").display(),
        users.display(),
        data.display()
    );
    command.args(["-n", "-q", "-c"]).arg(place.write("proftpd.conf", &config));
    Server::start("proftpd", command, address, place, BENCH)
}

/// A place whose data folder is `DAEMON`'s, who can get there.
fn place() -> Place {
    let place = Place::new();
    std::fs::set_permissions(place.root(), PermissionsExt::from_mode(0o755)).expect("permissions");
    chown(place.data(), Some(DAEMON), Some(DAEMON)).expect("owner");
    place
}

/// A program of the unpacked packages, with their libraries.
fn program(name: &str) -> Result<Command, String> {
    let root = PathBuf::from(std::env::var("BENCH_DEBIAN").map_err(|_| "BENCH_DEBIAN is not set")?);
    let program = root.join(name);
    if !program.exists() {
        return Err(format!("there is no {}", program.display()));
    }
    if Path::new("/proc/self").metadata().map_or(true, |process| process.uid() != 0) {
        return Err("only root can run it".to_owned());
    }
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries = ["usr/lib", "lib"].map(|lib| root.join(lib).join(&triplet));
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).expect("paths without colons"));
    Ok(command)
}
