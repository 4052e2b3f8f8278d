//! Black-box tests: the real program, spoken to with raw sockets and with real FTP clients.

mod support;

mod dialogue;
mod login;
mod transfer;
