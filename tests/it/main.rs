//! Black-box tests: the real program, spoken to with raw sockets and with real FTP clients.

mod support;

mod dialects;
mod dialogue;
mod during;
mod failure;
mod garbage;
mod login;
mod transfer;
