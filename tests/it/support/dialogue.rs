//! Dialogues as text, so that a table can say what a device sends and what it needs to hear.
//!
//! Steps stand between ` · `. A number is a size: the first bytes of one fixed sequence, so that it says what they are.
//!
//! | step | means |
//! |---|---|
//! | `CWD d → 250` | this line gets this code; `A|B` is either, `A, B` one reply after the other |
//! | `STOR x ← 9` | PASV, the command, 150, nine bytes, the end, 226 |
//! | `RETR x = 9` | PASV, the command, 150, just these nine bytes, 226 |
//! | `NLST d = a, b` | the same with lines; of LIST with the names in them; `nothing` is an empty listing |
//! | `PASV` | opens a data connection, which the next `begin` uses |
//! | `begin STOR x` | the command and its 150, after a PASV if there was none |
//! | `send 9` | the next nine bytes |
//! | `fin → 226` | the end of the data connection; `rst → 426` is its reset |
//! | `put x 9` | somebody else stores a file |
//! | `x is 9` | what the store holds; `x is absent` |

use std::io::Write;
use std::net::TcpStream;

use super::{Place, Raw, assert_same, bytes, reset};

/// A part of a store that one user sees as everything.
pub(crate) struct Home<'a> {
    pub(crate) place: &'a Place,
    user: String,
}

impl<'a> Home<'a> {
    /// The home of the user of that name, whose password is `secret`.
    pub(crate) fn new(place: &'a Place, user: &str) -> Self {
        Self { place, user: user.to_owned() }
    }

    /// The user's name.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// A session of the user.
    pub(crate) fn login(&self) -> Raw {
        self.place.gateway.connect().logged_in(&self.user, "secret")
    }

    /// The stored content; none if there is no such file.
    pub(crate) fn stored(&self, path: &str) -> Option<Vec<u8>> {
        self.place.stored(&format!("{}/{path}", self.user))
    }

    /// Stores a file as somebody else.
    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        self.place.put(&format!("{}/{path}", self.user), content);
    }

    /// Every object below the home.
    pub(crate) fn objects(&self) -> Vec<String> {
        let home = format!("{}/", self.user);
        self.place.objects().iter().filter_map(|name| Some(name.strip_prefix(&home)?.to_owned())).collect()
    }

    /// Has a dialogue in a session of its own.
    pub(crate) fn converse(&self, dialogue: &str) {
        let mut talk = Talk { home: self, raw: self.login(), data: None, sent: 0 };
        for step in dialogue.split(" · ") {
            talk.step(step);
        }
        talk.raw.expect("NOOP", 200);
    }
}

struct Talk<'a> {
    home: &'a Home<'a>,
    raw: Raw,
    data: Option<TcpStream>,
    sent: usize,
}

impl Talk<'_> {
    fn step(&mut self, step: &str) {
        if step == "PASV" {
            self.data = Some(self.raw.pasv());
        } else if let Some(command) = step.strip_prefix("begin ") {
            let data = self.data.take().unwrap_or_else(|| self.raw.pasv());
            self.raw.expect(command, 150);
            (self.data, self.sent) = (Some(data), 0);
        } else if let Some(size) = step.strip_prefix("send ") {
            let all = sized(self.sent + size.parse::<usize>().expect("a size"));
            self.data.as_mut().expect("begun").write_all(&all[self.sent..]).expect("the gateway reads");
            self.sent = all.len();
        } else if let Some((path, size)) = step.strip_prefix("put ").and_then(|put| put.rsplit_once(' ')) {
            self.home.put(path, &content(size));
        } else if let Some((line, codes)) = step.split_once(" → ") {
            self.say(line, codes);
        } else if let Some((command, size)) = step.split_once(" ← ") {
            let reply = self.raw.upload(command, &content(size));
            assert_eq!(reply.code, 226, "{step}: {reply:?}");
        } else if let Some((command, expected)) = step.split_once(" = ") {
            self.take(command, expected);
        } else if let Some((path, expected)) = step.split_once(" is ") {
            let stored = self.home.stored(path);
            match expected {
                "absent" => assert!(stored.is_none(), "{path} is there"),
                size => assert_same(&stored.expect("stored"), &content(size)),
            }
        } else {
            panic!("no step: {step:?}");
        }
    }

    fn say(&mut self, line: &str, codes: &str) {
        match line {
            "fin" => drop(self.data.take().expect("begun")),
            "rst" => reset(&self.data.take().expect("begun")),
            line => self.raw.send(line),
        }
        for code in codes.split(", ") {
            let reply = self.raw.reply();
            assert!(code.split('|').any(|code| code == reply.code.to_string()), "{line:?} got {reply:?}");
        }
    }

    fn take(&mut self, command: &str, expected: &str) {
        if command.starts_with("RETR") {
            return assert_same(&self.raw.retr(&command["RETR ".len()..]), &content(expected));
        }
        let mut lines = self.raw.list(command);
        if command.starts_with("LIST") {
            lines = lines
                .iter()
                .map(|line| line.split_whitespace().skip(8).collect::<Vec<_>>().join(" "))
                .collect();
        }
        lines.sort();
        let expected = if expected == "nothing" { Vec::new() } else { expected.split(", ").collect() };
        assert_eq!(lines, expected, "{command}");
    }
}

fn content(size: &str) -> Vec<u8> {
    sized(size.parse().expect("a size"))
}

/// The bytes that a size stands for.
fn sized(size: usize) -> Vec<u8> {
    bytes(size, 1)
}
