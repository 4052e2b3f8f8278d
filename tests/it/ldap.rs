//! Users in a directory: slapd, the server of `OpenLDAP`, with entries of the test's own.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{Authority, Gateway, Pair, Setup, eventually};

const SUFFIX: &str = "dc=example,dc=test";

/// A server of this test alone, ended when it is dropped.
struct Directory {
    child: Child,
    folder: TempDir,
    port: u16,
    tls_port: u16,
}

impl Directory {
    fn start(tls: Option<&Pair>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("db")).expect("a writable folder");
        fs::write(at("entries.ldif"), entries()).expect("a writable folder");
        fs::write(at("search.password"), "searching\n").expect("a writable folder");
        fs::write(at("slapd.conf"), configuration(folder.path(), tls)).expect("a writable folder");
        // Elsewhere than where the system has it, since AppArmor may confine that to its own folders. It is the tool whose
        // name it is called by.
        for name in ["slapd", "slapadd"] {
            fs::copy("/usr/sbin/slapd", at(name)).expect("`make tools` installs slapd");
        }
        let command = |name: &str| {
            let mut command = Command::new(at(name));
            command.arg("-f").arg(at("slapd.conf")).stdin(Stdio::null());
            command
        };
        let loaded = command("slapadd").arg("-l").arg(at("entries.ldif")).output().expect("slapadd starts");
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        let (port, tls_port) = (free_port(), free_port());
        let urls = match tls {
            None => format!("ldap://127.0.0.1:{port}"),
            Some(_) => format!("ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"),
        };
        let mut server = command("slapd");
        server.args(["-h", &urls, "-d", "0"]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = server.spawn().expect("slapd starts");
        let directory = Self { child, folder, port, tls_port };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        eventually("slapd", Duration::from_secs(20), || TcpStream::connect(address).is_ok());
        directory
    }

    fn search_password(&self) -> PathBuf {
        self.folder.path().join("search.password")
    }

    /// A gateway with these keys in `[auth.ldap]`, and a user of its own.
    fn gateway(&self, keys: &str) -> Gateway {
        gateway(&format!("url = \"ldap://127.0.0.1:{}\"\n{keys}", self.port))
    }

    /// The keys with which an entry is searched for.
    fn search(&self) -> String {
        format!(
            "search_base = \"{SUFFIX}\"\nsearch_bind_dn = \"cn=search,{SUFFIX}\"\n\
             search_password_file = \"{}\"\n",
            self.search_password().display()
        )
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gateway(keys: &str) -> Gateway {
    let text = format!("[auth.ldap]\n{keys}\n[[users]]\nname = \"demo\"\npassword = \"secret\"\n");
    Setup::default().users(&text).start()
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn configuration(folder: &Path, tls: Option<&Pair>) -> String {
    let folder = folder.display();
    let tls = tls.map(|pair| {
        let (certificate, key) = (pair.certificate.display(), pair.private_key.display());
        format!("TLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\n")
    });
    format!(
        "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
         include /etc/ldap/schema/nis.schema\ninclude /etc/ldap/schema/inetorgperson.schema\n\
         modulepath /usr/lib/ldap\nmoduleload back_mdb\n{}\
         database mdb\nsuffix \"{SUFFIX}\"\nrootdn \"cn=admin,{SUFFIX}\"\ndirectory {folder}/db\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to * by dn.exact=\"cn=search,{SUFFIX}\" read by self read by * none\n",
        tls.unwrap_or_default()
    )
}

/// `acme` has a home and permissions, `beta` a home alone, `twin` is there twice.
fn entries() -> String {
    let person = |dn: &str, uid: &str, more: &str| {
        format!(
            "dn: {dn},{SUFFIX}\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\ncn: {uid}\nsn: {uid}\n\
             uid: {uid}\nuidNumber: 1\ngidNumber: 1\nuserPassword: of {uid}\n{more}\n\n"
        )
    };
    [
        format!("dn: {SUFFIX}\nobjectClass: domain\ndc: example\n\n"),
        format!("dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n"),
        format!("dn: ou=more,{SUFFIX}\nobjectClass: organizationalUnit\nou: more\n\n"),
        format!(
            "dn: cn=search,{SUFFIX}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: search\n\
             userPassword: searching\n\n"
        ),
        person(
            "uid=acme,ou=people",
            "acme",
            "homeDirectory: /homes/acme\nemployeeType: list\nemployeeType: write,read",
        ),
        person("uid=beta,ou=people", "beta", "homeDirectory: /homes/beta"),
        person("uid=a\\2Cb\\2B (c)*,ou=people", "a,b+ (c)*", "homeDirectory: /homes/odd\nemployeeType: list"),
        person("uid=evil,ou=people", "evil", "homeDirectory: /homes/../..\nemployeeType: list"),
        person("uid=demo,ou=people", "demo", "homeDirectory: /homes/demo\nemployeeType: list"),
        person("uid=both,ou=people", "both", "homeDirectory: /homes/b\ndescription: /homes/1\ndescription: /homes/2\nemployeeType: list"),
        person("uid=photo,ou=people", "photo", "homeDirectory: /homes/p\njpegPhoto:: /9j/4AAQSkZJRg=="),
        person("uid=twin,ou=people", "twin", "homeDirectory: /homes/1\nemployeeType: list"),
        person("uid=twin,ou=more", "twin", "homeDirectory: /homes/2\nemployeeType: list"),
    ]
    .concat()
}

const NAMED: &str = "bind_dn = \"uid={user},ou=people,dc=example,dc=test\"\n";
const ATTRIBUTES: &str = "home_attribute = \"homeDirectory\"\npermissions_attribute = \"EmployeeType\"\n";

/// The code of the reply to PASS.
fn attempt(gateway: &Gateway, name: &str, password: &str) -> u16 {
    let mut raw = gateway.connect();
    raw.expect(&format!("USER {name}"), 331);
    raw.ask(&format!("PASS {password}")).code
}

/// Passwords and names that would be somebody's if they were not escaped, or if the empty password were passed on.
fn nobody_else_gets_in(gateway: &Gateway) {
    for (name, password) in [
        ("acme", "wrong"),
        ("acme", ""),
        ("acme", "of beta"),
        ("unknown", "of acme"),
        ("*", "of acme"),
        ("ac*", "of acme"),
        ("acme)(uid=*", "of acme"),
        ("*)(|(uid=*", "of acme"),
        ("acme,ou=people", "of acme"),
        ("acme+cn=acme", "of acme"),
        ("ac\\6de", "of acme"),
        ("cn=search,dc=example,dc=test", "searching"),
    ] {
        assert_eq!(attempt(gateway, name, password), 530, "{name} {password}");
        // Takes back what was failed from here.
        assert_eq!(attempt(gateway, "demo", "secret"), 230);
        if name == "acme" {
            assert_eq!(attempt(gateway, "acme", "of acme"), 230);
        }
    }
}

/// What the entry of `acme` says is what there is.
fn acme_has_what_the_entry_says(gateway: &Gateway) {
    let mut raw = gateway.connect().logged_in("acme", "of acme");
    raw.stor("x", b"x");
    assert_eq!(gateway.file("homes/acme/x"), b"x");
    assert_eq!(raw.retr("x"), b"x");
    assert_eq!(raw.list("NLST"), ["x"]);
    raw.expect("DELE x", 550);
    raw.expect("MKD d", 550);
}

#[test]
fn a_user_binds_with_a_name_that_is_made_of_theirs() {
    let directory = Directory::start(None);
    let gateway = directory.gateway(&format!("{NAMED}{ATTRIBUTES}"));
    acme_has_what_the_entry_says(&gateway);
    nobody_else_gets_in(&gateway);
    // A name with everything in it that has a meaning in names and filters.
    assert_eq!(attempt(&gateway, "a,b+ (c)*", "of a,b+ (c)*"), 230);
    let log = gateway.log();
    assert!(log.contains("source=ldap") && !log.contains("of acme"), "{log}");
}

#[test]
fn a_user_is_searched_for_and_binds() {
    let directory = Directory::start(None);
    let gateway = directory.gateway(&format!("{}{ATTRIBUTES}", directory.search()));
    acme_has_what_the_entry_says(&gateway);
    nobody_else_gets_in(&gateway);
    assert_eq!(attempt(&gateway, "a,b+ (c)*", "of a,b+ (c)*"), 230);
    // Two entries are nobody, whoever the password belongs to.
    assert_eq!(attempt(&gateway, "twin", "of twin"), 421);
    gateway.wait_for_log("cannot ask whether the user may log in");
    let only = format!(
        "{}filter = \"(&(uid={{user}})(homeDirectory=/homes/2))\"\nhome = \"h\"\n",
        directory.search()
    );
    let gateway = directory.gateway(&only);
    gateway.connect().logged_in("twin", "of twin").stor("x", b"x");
    assert_eq!(gateway.file("h/x"), b"x", "without attributes the section's keys count");
    assert_eq!(attempt(&gateway, "acme", "of acme"), 530);
}

#[test]
fn what_the_entry_lacks_does_not_open_the_store() {
    let directory = Directory::start(None);
    for way in [NAMED.to_owned(), directory.search()] {
        let gateway = directory.gateway(&format!("{way}{ATTRIBUTES}"));
        assert_eq!(attempt(&gateway, "beta", "of beta"), 421);
        gateway.wait_for_log("permissions: is neither in the entry nor in [auth.ldap]");
        assert_eq!(attempt(&gateway, "beta", "wrong"), 530);
        // Another one, since what keeps users out is told once a minute.
        let gateway = directory.gateway(&format!("{way}{ATTRIBUTES}"));
        assert_eq!(attempt(&gateway, "evil", "of evil"), 421);
        gateway.wait_for_log("home: must not hold");
        let gateway = directory.gateway(&format!("{way}{ATTRIBUTES}permissions = [\"write\"]\n"));
        let mut raw = gateway.connect().logged_in("beta", "of beta");
        raw.stor("x", b"x");
        raw.refused("RETR x", 550);
        assert_eq!(gateway.file("homes/beta/x"), b"x");
    }
}

/// Who is known here is asked for here alone, in whatever spelling the directory knows the name as well.
#[test]
fn a_local_name_is_nobody_elses() {
    let directory = Directory::start(None);
    let gateway = directory.gateway(&format!("{NAMED}{ATTRIBUTES}"));
    for name in ["demo", "DEMO", "Demo", "\u{ff44}emo"] {
        assert_eq!(attempt(&gateway, name, "of demo"), 530, "{name}");
    }
    // The other spellings of a user of the directory are this one.
    for name in ["ACME", "\u{ff41}cme"] {
        assert_eq!(attempt(&gateway, name, "of acme"), 230, "{name}");
        gateway.wait_for_log("user=\"acme\"");
    }
    // It would pass over what cannot be seen.
    assert_eq!(attempt(&gateway, "a\u{ad}cme", "of acme"), 530);
}

#[test]
fn what_the_entry_says_twice_or_not_in_text_opens_nothing() {
    let directory = Directory::start(None);
    // `homeDirectory` has one value by its schema, `description` any number.
    let described = ATTRIBUTES.replace("homeDirectory", "description");
    let gateway_of = |attributes: &str| directory.gateway(&format!("{NAMED}{attributes}"));
    let described = gateway_of(&described);
    assert_eq!(attempt(&described, "both", "of both"), 421);
    described.wait_for_log("the entry has several homes");
    let binary = ATTRIBUTES.replace("EmployeeType", "jpegPhoto");
    let binary = gateway_of(&binary);
    assert_eq!(attempt(&binary, "photo", "of photo"), 421);
    binary.wait_for_log("jpegPhoto is no text");
}

#[test]
fn a_directory_that_is_gone_hangs_or_lies_keeps_users_out_in_time() {
    let directory = Directory::start(None);
    let gateway = directory.gateway(NAMED);
    assert_eq!(attempt(&gateway, "acme", "of acme"), 230);
    drop(directory);
    assert_eq!(attempt(&gateway, "acme", "of acme"), 421);
    gateway.wait_for_log("cannot ask whether the user may log in");
    assert_eq!(attempt(&gateway, "demo", "secret"), 230);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    for keys in ["", "start_tls = true\n"] {
        let begun = Instant::now();
        let hanging = gateway_at(port, &format!("{keys}timeout = \"300ms\"\n{NAMED}"));
        assert_eq!(attempt(&hanging, "acme", "of acme"), 421);
        assert!(begun.elapsed() < Duration::from_secs(20));
        hanging.wait_for_log("no answer within 300ms");
    }
    std::thread::spawn(move || {
        let answers: [&[u8]; 4] =
            [b"HTTP/1.1 400 x\r\n\r\n", b"\x30\x05\x02\x01\x01\x42\x00", b"\x30\x84", b""];
        for (stream, answer) in listener.incoming().zip(answers.into_iter().cycle()) {
            // The gateway may have gone.
            let _ = stream.and_then(|mut stream| stream.write_all(answer));
        }
    });
    let lying = gateway_at(port, &format!("timeout = \"1s\"\n{NAMED}"));
    for _ in 0..4 {
        assert_eq!(attempt(&lying, "acme", "of acme"), 421);
    }
    assert_eq!(attempt(&lying, "demo", "secret"), 230);
}

fn gateway_at(port: u16, keys: &str) -> Gateway {
    gateway(&format!("url = \"ldap://127.0.0.1:{port}\"\n{keys}"))
}

#[test]
fn a_search_that_is_not_allowed_keeps_users_out() {
    let directory = Directory::start(None);
    let gateway = directory.gateway(&directory.search());
    assert_eq!(attempt(&gateway, "acme", "of acme"), 230);
    // A new password counts at once, here a wrong one.
    fs::write(directory.search_password(), "wrong\n").expect("our own file");
    assert_eq!(attempt(&gateway, "acme", "of acme"), 421);
    gateway.wait_for_log("binding as search_bind_dn");
    assert!(!gateway.log().contains("of acme"));
}

#[test]
fn the_directory_is_spoken_to_over_tls() {
    let authority = Authority::new();
    let pair = authority.server("ldap", &["localhost"]);
    let directory = Directory::start(Some(&pair));
    let (port, tls_port) = (directory.port, directory.tls_port);
    let known = format!("ca_file = \"{}\"\n", authority.certificate().display());
    for place in [
        format!("url = \"ldaps://localhost:{tls_port}\"\n"),
        format!("url = \"ldap://localhost:{port}\"\nstart_tls = true\n"),
    ] {
        let trusting = gateway(&format!("{place}{known}{NAMED}"));
        assert_eq!(attempt(&trusting, "acme", "of acme"), 230, "{place}");
        assert_eq!(attempt(&trusting, "acme", "wrong"), 530, "{place}");
        // An authority that nobody knows, and a server of another name.
        let other = place.replace("localhost", "127.0.0.1");
        for keys in [place, format!("{other}{known}")] {
            let distrusting = gateway(&format!("{keys}{NAMED}"));
            assert_eq!(attempt(&distrusting, "acme", "of acme"), 421, "{keys}");
            distrusting.wait_for_log("invalid peer certificate");
        }
    }
}
