//! Black-box tests: the real program, spoken to with raw sockets and with real FTP clients.

mod support;

mod active;
mod ascii;
mod checksums;
mod clients;
mod concurrency;
mod crash;
mod descriptors;
mod devices;
mod dialects;
mod dialogue;
mod directories;
mod during;
mod encodings;
mod facts;
mod failure;
mod garbage;
mod hanging_store;
mod killed;
mod left_over;
mod listing;
mod login;
mod memory;
mod names;
mod operations;
mod parameters;
mod passwords;
mod pipeline;
mod resume;
mod shutdown;
mod times;
mod tls;
mod tls_data;
mod tls_files;
mod transfer;
