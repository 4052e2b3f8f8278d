//! What the targets in `fuzz/` call: the properties that the parsers' own tests check with fewer bytes.

use super::data::ascii_properties;
use super::line::Line;
use super::{command, host_port, line, proxy, telnet};

/// Command lines, cut into pieces of these sizes, and the commands in them.
pub fn commands(sizes: &[u8], bytes: &[u8]) {
    for line in line::properties::lines_however_cut(&pieces(sizes, bytes)) {
        if let Line::Command(line) = line {
            command::properties::a_command_reads_as_it_is_written(&line);
        }
    }
}

/// Telnet's commands and letters.
pub fn telnet_bytes(before: &[u8], bytes: &[u8]) {
    telnet::properties::telnet_changes_nothing_else(before, bytes);
}

/// The start of a connection of a balancer.
pub fn proxy_header(bytes: &[u8]) {
    proxy::properties::the_end_never_moves(bytes);
}

/// The arguments of PORT and EPRT.
pub fn host_and_port(argument: &str) {
    host_port::properties::what_is_accepted_prints_back(argument);
}

/// A file under `TYPE A`, which arrives in pieces of these sizes and is read into buffers of so much room.
pub fn ascii_file(sizes: &[u8], room: u8, bytes: &[u8]) {
    ascii_properties::every_split_comes_to_the_same(&pieces(sizes, bytes), 1 + usize::from(room));
}

/// `bytes` in pieces, the last of which is what is left; their sizes grow with the square, so that few bytes say small and
/// large ones.
fn pieces(sizes: &[u8], bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    for &size in sizes {
        let (piece, after) = rest.split_at(rest.len().min(usize::from(size).pow(2)));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces.push(rest.to_vec());
    pieces
}
