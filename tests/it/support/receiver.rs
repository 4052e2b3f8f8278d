//! A webhook receiver in this process: it takes, refuses, hangs or is not there at all, and remembers everything.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

use super::eventually;

/// What the receiver does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers with this status.
    Answer(u16),
    /// Reads it and never answers.
    Hang,
    /// Ends the connection without an answer, and remembers nothing of it.
    Close,
}

/// One request that came whole.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) event: Value,
    pub(crate) taken: bool,
}

impl Delivery {
    /// The event's id.
    pub(crate) fn id(&self) -> &str {
        self.event["id"].as_str().expect("every event has an id")
    }

    /// The event's type, without what is the same for all.
    pub(crate) fn kind(&self) -> &str {
        let kind = self.event["type"].as_str().expect("every event has a type");
        kind.strip_prefix("org.bucketport.").expect("one of ours")
    }

    /// What it is about.
    pub(crate) fn subject(&self) -> &str {
        self.event["subject"].as_str().unwrap_or_default()
    }
}

/// Decides what is done with a delivery; it is told the event.
type Decide = dyn Fn(&Value) -> Manner + Send + Sync;

/// The receiver. It listens on one address for as long as it lives.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    decide: Mutex<Arc<Decide>>,
    seen: Mutex<Vec<Delivery>>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let decide: Arc<Decide> = Arc::new(|_: &Value| Manner::Answer(204));
        let shared = Arc::new(Shared { decide: Mutex::new(decide), seen: Mutex::default() });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                // The gateway's end of it ends it.
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// Where it takes events.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/events?key=in-the-url", self.address)
    }

    /// From now on it does this with everything.
    pub(crate) fn does(&self, manner: Manner) {
        self.decides(move |_| manner);
    }

    /// From now on it does with each event what `decide` says.
    pub(crate) fn decides(&self, decide: impl Fn(&Value) -> Manner + Send + Sync + 'static) {
        *self.shared.decide.lock().expect("no panic") = Arc::new(decide);
    }

    /// Every request that came whole.
    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.shared.seen().clone()
    }

    /// Those that it has taken.
    pub(crate) fn taken(&self) -> Vec<Delivery> {
        self.shared.seen().iter().filter(|delivery| delivery.taken).cloned().collect()
    }

    /// Waits until so many requests have come whole.
    #[track_caller]
    pub(crate) fn wait_for_tries(&self, count: usize) {
        eventually(&format!("{count} tries"), Duration::from_mins(1), || self.deliveries().len() >= count);
    }

    /// Waits until it has taken so many, and returns them.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Delivery> {
        eventually(&format!("{count} events"), Duration::from_mins(1), || self.taken().len() >= count);
        self.taken()
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Vec<Delivery>> {
        self.seen.lock().expect("no panic")
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((headers, body)) = request(&mut reader) {
            let event: Value = serde_json::from_slice(&body).expect("JSON");
            let decide = Arc::clone(&self.decide.lock().expect("no panic"));
            let manner = decide(&event);
            if manner == Manner::Close {
                return;
            }
            let taken = matches!(manner, Manner::Answer(200..300));
            self.seen().push(Delivery { headers, body, event, taken });
            match manner {
                Manner::Answer(status) => {
                    let answer = format!(
                        "HTTP/1.1 {status} Answer\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
                    );
                    if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
                // Until the other side gives up.
                Manner::Hang => drop(reader.read_to_end(&mut Vec::new())),
                Manner::Close => return,
            }
        }
    }
}

/// The next request on a connection; none after the last.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(BTreeMap<String, String>, Vec<u8>)> {
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
    assert!(line.starts_with("POST /events?key=in-the-url HTTP/1.1"), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).expect("a length");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}
