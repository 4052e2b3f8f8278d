//! Real clients over IPv6: EPSV and EPRT, in the clear and over TLS.

use std::net::TcpListener;

use crate::support::{Certificate, Gateway, assert_same, bytes, curl, lftp, python};

fn start() -> Option<Gateway> {
    if let Err(error) = TcpListener::bind("[::1]:0") {
        eprintln!("skipped: no IPv6 here: {error}");
        return None;
    }
    let certificate = Certificate::new();
    let setup = certificate.setup("optional").ftp("active_mode = true");
    Some(setup.env("BUCKETPORT_FTP__LISTEN", "[\"[::1]:0\"]").start())
}

#[test]
fn curl_with_epsv_and_eprt() {
    let Some(gateway) = start() else { return };
    let path = |name: &str| gateway.folder().join(name).display().to_string();
    let content = bytes(3_000_000, 5);
    std::fs::write(path("sent"), &content).expect("a writable folder");
    // This curl sends what it uploads over TLS in the clear when it is connected to, over IPv4 as well.
    let ways: [&[&str]; 3] = [&[], &["--ftp-port", "-"], &["--ssl-reqd", "--insecure"]];
    for options in ways {
        let run = |last: &[&str]| curl([options, last].concat()).success();
        run(&["-T", &path("sent"), &gateway.url("/x")]);
        run(&["-o", &path("got"), &gateway.url("/x")]);
        assert_same(&std::fs::read(path("got")).expect("it was downloaded"), &content);
        assert_eq!(run(&["-l", &gateway.url("/")]).trim(), "x");
    }
}

#[test]
fn lftp_with_and_without_tls() {
    let Some(gateway) = start() else { return };
    let sent = gateway.folder().join("sent");
    std::fs::write(&sent, bytes(3_000_000, 5)).expect("a writable folder");
    let (site, sent) = (gateway.ftp, sent.display());
    for security in ["", "set ftp:ssl-force true; set ftp:ssl-allow true; set ssl:verify-certificate false;"]
    {
        for way in ["true", "false"] {
            let ways = format!("set ftp:passive-mode {way}; open -u demo,secret ftp://{site}/;");
            lftp(&format!("{security} {ways} put {sent}; cls sent; rm sent")).success();
        }
    }
}

const SCRIPT: &str = "
import ftplib, io, ssl, sys

content = bytes(range(256)) * 4000
insecure = ssl._create_unverified_context()
for ftp in ftplib.FTP(), ftplib.FTP_TLS(context=insecure):
    ftp.connect('::1', int(sys.argv[1]), 30)
    ftp.login('demo', 'secret')
    if isinstance(ftp, ftplib.FTP_TLS):
        ftp.prot_p()
    for passive in True, False:
        ftp.set_pasv(passive)
        ftp.storbinary('STOR x', io.BytesIO(content))
        out = io.BytesIO()
        ftp.retrbinary('RETR x', out.write)
        assert out.getvalue() == content
        assert ftp.nlst() == ['x']
        ftp.delete('x')
    ftp.quit()
";

#[test]
fn python_with_and_without_tls() {
    let Some(gateway) = start() else { return };
    python(SCRIPT, &[&gateway.ftp.port().to_string()]).success();
    assert_eq!(gateway.files(), [""; 0]);
}
