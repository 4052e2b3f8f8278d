//! Real clients: curl, lftp and Python's ftplib, each with what people use it for.

use std::fs;

use crate::support::{
    Gateway, Place, Setup, assert_same, bytes, curl, files_below, lftp, on_each_store, python,
};

on_each_store! { crate::support::Setup::default().transfer("part_size = \"5MiB\"");
    curl_uploads_downloads_and_resumes
    lftp_mirrors
    python_does_everything
}

fn curl_uploads_downloads_and_resumes(place: &Place) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let content = bytes(12_000_000, 1);
    fs::write(path("large"), &content).expect("a writable folder");
    let url = |path: &str| place.gateway.url(path);

    curl(["-T", &path("large"), &url("/")]).success();
    assert_same(&place.stored("large").expect("stored"), &content);
    curl(["-T", &path("large"), "--ftp-create-dirs", &url("/new/sub/dir/x y.bin").replace(' ', "%20")])
        .success();
    assert_same(&place.stored("new/sub/dir/x y.bin").expect("stored"), &content);

    curl(["-o", &path("back"), &url("/large")]).success();
    assert_same(&fs::read(path("back")).expect("downloaded"), &content);
    assert_eq!(curl(["-r", "100-199", &url("/large"), "-o", &path("range")]).success(), "");
    assert_same(&fs::read(path("range")).expect("downloaded"), &content[100..200]);

    // Both ways of going on: the client's copy is short, then the server's is.
    fs::write(path("back"), &content[..5_000_000]).expect("a writable folder");
    curl(["-C", "-", "-o", &path("back"), &url("/large")]).success();
    assert_same(&fs::read(path("back")).expect("downloaded"), &content);
    fs::write(path("part"), &content[..5_000_000]).expect("a writable folder");
    curl(["-T", &path("part"), &url("/resumed")]).success();
    curl(["-C", "-", "-T", &path("large"), &url("/resumed")]).success();
    assert_same(&place.stored("resumed").expect("stored"), &content);
    curl(["--append", "-T", &path("part"), &url("/resumed")]).success();
    assert_eq!(place.stored("resumed").expect("stored").len(), 17_000_000);

    let listed = |flag: &str| curl([flag, &url("/")]).success();
    for flag in ["-l", "--list-only"] {
        let mut names: Vec<_> = listed(flag).lines().map(str::to_owned).collect();
        names.sort();
        assert_eq!(names, ["large", "new", "resumed"]);
    }
    assert_eq!(curl([&url("/")]).success().lines().count(), 3);
    let head = curl(["-I", &url("/large")]).success();
    assert!(head.contains("Content-Length: 12000000"), "{head}");

    let quoted = ["-Q", "-RNFR resumed", "-Q", "-RNTO renamed", "-Q", "-DELE large", "-l", &url("/")];
    curl(quoted).success();
    assert_eq!(place.stored("renamed").expect("stored").len(), 17_000_000);
    assert_eq!(place.stored("large"), None);
    curl(["--disable-epsv", "-T", &path("part"), &url("/pasv")]).success();
    curl(["-B", "-T", &path("part"), &url("/ascii")]).success();

    // 67: login denied, 78: no such file, 9: no such directory.
    let denied = curl([&format!("ftp://demo:wrong@{}/", place.gateway.ftp)]);
    assert_eq!(denied.code, Some(67), "{denied:?}");
    let missing = curl([&url("/missing")]);
    assert_eq!(missing.code, Some(78), "{missing:?}");
    let missing = curl([&url("/missing/")]);
    assert_eq!(missing.code, Some(9), "{missing:?}");
}

fn lftp_mirrors(place: &Place) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let up = folder.path().join("up");
    for (file, size) in [
        ("a.txt", 0),
        ("b/c.bin", 6_000_000),
        ("b/d/e f.txt", 10),
        ("b/d/é.txt", 1000),
        ("g/h/i/j.csv", 3),
        ("#1.txt", 5),
    ] {
        let file = up.join(file);
        fs::create_dir_all(file.parent().expect("it has one")).expect("a writable folder");
        fs::write(file, bytes(size, size as u64)).expect("a writable folder");
    }
    let site = format!("open -u demo,secret ftp://{};", place.gateway.ftp);
    let (up, down) = (up.display().to_string(), folder.path().join("down").display().to_string());
    lftp(&format!("{site} mirror -R --parallel=3 {up} tree")).success();
    lftp(&format!("{site} mirror --parallel=3 tree {down}")).success();
    let (sent, back) = (files_below(up.as_ref()), files_below(down.as_ref()));
    assert_eq!(sent, back);
    for file in &sent {
        let read = |root: &str| fs::read(format!("{root}/{file}")).expect("a file");
        assert_same(&read(&down), &read(&up));
        assert_same(&place.stored(&format!("tree/{file}")).expect("stored"), &read(&up));
    }
    // A second run finds nothing to do.
    let again = lftp(&format!("{site} mirror -R -v --no-perms --ignore-time {up} tree")).success();
    assert!(!again.contains("Transferring"), "{again}");

    let content = bytes(9_000_000, 3);
    let file = folder.path().join("x").display().to_string();
    fs::write(&file, &content[..4_000_000]).expect("a writable folder");
    lftp(&format!("{site} put {file}")).success();
    fs::write(&file, &content).expect("a writable folder");
    lftp(&format!("{site} put -c {file}")).success();
    assert_same(&place.stored("x").expect("stored"), &content);

    lftp(&format!("{site} mv x tree/moved; rm tree/a.txt; mkdir -p p/q; rmdir p/q; ls tree; cls tree"))
        .success();
    assert_same(&place.stored("tree/moved").expect("stored"), &content);
    assert_eq!(place.stored("tree/a.txt"), None);
    lftp(&format!("{site} rm -r tree")).success();
    assert!(place.objects().iter().all(|name| !name.starts_with("tree/")), "{:?}", place.objects());
}

const SCRIPT: &str = r#"
import ftplib, io, sys

ftp = ftplib.FTP()
ftp.connect('127.0.0.1', int(sys.argv[1]), 30)
ftp.login('demo', 'secret')
content = bytes(range(256)) * 40000

def get(name, rest=None):
    out = io.BytesIO()
    ftp.retrbinary('RETR ' + name, out.write, rest=rest)
    return out.getvalue()

def fails(code, call, *arguments):
    try:
        call(*arguments)
    except ftplib.error_perm as error:
        assert str(error).startswith(code), error
    else:
        raise AssertionError('no ' + code)

assert ftp.mkd('sub "quoted"') == '/sub "quoted"'
ftp.rmd('sub "quoted"')
assert ftp.mkd('sub') == '/sub'
ftp.cwd('sub')
assert ftp.pwd() == '/sub'
assert ftp.storbinary('STOR x', io.BytesIO(content)).startswith('226')
assert get('x') == content
assert get('x', rest=10_000_000) == content[10_000_000:]
assert ftp.size('x') == len(content)
ftp.storbinary('STOR x', io.BytesIO(b'tail'), rest=1000)
assert get('x') == content[:1000] + b'tail'
ftp.storbinary('APPE x', io.BytesIO(b'more'))
assert ftp.size('x') == 1008
ftp.storlines('STOR lines', io.BytesIO(b'one\r\ntwo\r\n'))
lines = []
ftp.retrlines('RETR lines', lines.append)
assert lines == ['one', 'two'], lines
assert sorted(ftp.nlst()) == ['lines', 'x']
facts = dict(ftp.mlsd('/sub', ['type', 'size', 'modify']))
assert facts['x']['type'] == 'file' and facts['x']['size'] == '1008', facts
assert ftp.rename('x', 'y').startswith('250')
fails('550', ftp.size, 'x')
fails('550', ftp.rmd, '/sub')
fails('550', ftp.cwd, 'missing')
listing = []
ftp.dir(listing.append)
assert len(listing) == 2, listing

# The upload is held open while ABOR is sent as urgent data, then the session goes on.
data = ftp.transfercmd('STOR aborted')
data.sendall(content)
ftp.voidcmd('NOOP')
reply = ftp.abort()
assert reply[:3] in ('426', '226', '225'), reply
if reply.startswith('426'):
    ftp.voidresp()
data.close()
fails('550', ftp.size, 'aborted')

ftp.delete('y')
ftp.delete('lines')
ftp.cwd('..')
ftp.rmd('sub')
assert ftp.nlst() == []
assert ftp.quit().startswith('221')
"#;

fn python_does_everything(place: &Place) {
    python(SCRIPT, &[&place.gateway.ftp.port().to_string()]).success();
    assert_eq!(place.objects(), [""; 0]);
    assert_eq!(place.left_over(), [""; 0]);
}

#[test]
fn curl_finds_its_way_without_epsv_and_with_another_host() {
    let gateway = Setup::default().ftp("passive_host = \"192.0.2.1\"").start();
    gateway.put("x", b"content");
    // EPSV tells no address, and curl takes the control connection's for PASV when told to.
    assert_eq!(curl([gateway.url("/x")]).success(), "content");
    let skipping = ["--disable-epsv".to_owned(), "--ftp-skip-pasv-ip".to_owned(), gateway.url("/x")];
    assert_eq!(curl(skipping).success(), "content");
}

#[test]
fn a_client_that_is_killed_can_resume() {
    let gateway = Gateway::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("x");
    fs::write(&file, bytes(30_000_000, 1)).expect("a writable folder");
    let file = file.display().to_string();
    let limited = ["--limit-rate", "20M", "--max-time", "0.5", "-T", &file, &gateway.url("/x")];
    let outcome = curl(limited);
    assert_eq!(outcome.code, Some(28), "{outcome:?}");
    curl(["-C", "-", "-T", &file, &gateway.url("/x")]).success();
    assert_same(&gateway.file("x"), &bytes(30_000_000, 1));
}
