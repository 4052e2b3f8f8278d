//! An S3 endpoint that is there and of no use: it never answers, or answers that it is busy.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// What it does with every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Takes it and says nothing.
    Silent,
    /// Answers 503.
    Busy,
}

/// The endpoint. Its threads end with the connections, which end with the gateway.
pub(crate) struct TroubledS3 {
    address: SocketAddr,
}

impl TroubledS3 {
    /// Listens.
    pub(crate) fn start(trouble: Trouble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                // A gateway that hangs up is what the tests want.
                std::thread::spawn(move || drop(serve(stream, trouble)));
            }
        });
        Self { address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a client needs beside the URL, in `object_store`'s option names.
    pub(crate) fn options(&self) -> Vec<(String, String)> {
        [
            ("aws_endpoint", self.url()),
            ("aws_allow_http", "true".to_owned()),
            ("aws_region", "us-east-1".to_owned()),
            ("aws_access_key_id", "x".to_owned()),
            ("aws_secret_access_key", "x".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

fn serve(stream: TcpStream, trouble: Trouble) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim_end().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        if trouble == Trouble::Busy {
            reader.get_mut().write_all(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")?;
        }
    }
}
