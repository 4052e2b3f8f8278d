//! Telnet's bytes in command lines and replies (RFC 959 section 5.3, RFC 854).

use std::borrow::Cow;

/// Telnet's "interpret as command"; doubled it stands for itself.
const IAC: u8 = 0xff;
/// Telnet commands from here on up to IAC are followed by one option byte (WILL, WONT, DO, DONT).
const FIRST_WITH_OPTION: u8 = 0xfb;
/// The first Telnet command; lower bytes after IAC are data of a client that does not double it.
const FIRST_TELNET_COMMAND: u8 = 0xf0;
/// The data mark of a Synch.
const DATA_MARK: u8 = 0xf2;

/// The line without Telnet commands and without any CR before its LF: some clients send two.
pub(super) fn clean(mut line: &[u8]) -> Vec<u8> {
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    let mut cleaned = Vec::with_capacity(line.len());
    let mut in_verb = true;
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek().copied()) {
            (IAC, Some(IAC)) => {
                bytes.next();
                cleaned.push(IAC);
            }
            // Telnet commands come before a command of FTP. In an argument they are letters, such as those of Russian in
            // windows-1251, of a client that does not double the first.
            (IAC, Some(FIRST_WITH_OPTION..)) if in_verb => {
                bytes.next();
                bytes.next();
            }
            (IAC, Some(FIRST_TELNET_COMMAND..)) if in_verb => {
                bytes.next();
            }
            _ => {
                in_verb &= byte != b' ';
                cleaned.push(byte);
            }
        }
    }
    // The data mark of a Synch arrives without its IAC when that came as urgent data (RFC 854).
    if cleaned.first() == Some(&DATA_MARK) {
        cleaned.remove(0);
    }
    cleaned
}

/// `reply` as Telnet has it (RFC 854): a letter that is the byte IAC is doubled.
pub(super) fn double(reply: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if !reply.contains(&IAC) {
        return reply;
    }
    let doubled = |&byte: &u8| std::iter::repeat_n(byte, if byte == IAC { 2 } else { 1 });
    reply.iter().flat_map(doubled).collect()
}

/// What holds for all bytes.
#[cfg(any(test, fuzzing))]
pub(super) mod properties {
    use super::*;

    /// What is doubled is read as it was, Telnet commands before a line change nothing, and in an argument only a doubled IAC
    /// is read as something else.
    pub(in crate::edge) fn telnet_changes_nothing_else(before: &[u8], bytes: &[u8]) {
        let text = bytes.iter().rposition(|&byte| byte != b'\r').map_or(&b""[..], |last| &bytes[..=last]);
        if text.first() != Some(&DATA_MARK) {
            assert_eq!(clean(&double(text.into())), text);
        }
        let commands: Vec<u8> = before.chunks(2).flat_map(command).collect();
        assert_eq!(clean(&[&commands, text].concat()), clean(text));
        let argument = [b"STOR ", text].concat();
        assert_eq!(clean(&argument), halved(&argument));
    }

    /// A Telnet command, with an option where it needs one.
    fn command(of: &[u8]) -> Vec<u8> {
        let command = FIRST_TELNET_COMMAND + of[0] % (IAC - FIRST_TELNET_COMMAND);
        let option = (command >= FIRST_WITH_OPTION).then(|| of.last().copied()).flatten();
        [IAC, command].into_iter().chain(option).collect()
    }

    fn halved(bytes: &[u8]) -> Vec<u8> {
        let mut halved = Vec::new();
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            halved.push(byte);
            rest = if byte == IAC { after.strip_prefix(&[IAC]).unwrap_or(after) } else { after };
        }
        halved
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letters_that_telnet_would_take_for_commands_are_doubled() {
        assert_eq!(&*double(b"250 \xff\xf0 \xff\r\n"[..].into()), b"250 \xff\xff\xf0 \xff\xff\r\n");
    }

    proptest! {
        #[test]
        fn nothing_else_is_changed(
            before in prop::collection::vec(any::<u8>(), 0..6),
            bytes in prop::collection::vec(prop_oneof![0xf0..=0xff_u8, prop::sample::select(b"a \r".to_vec())], 0..12),
        ) {
            properties::telnet_changes_nothing_else(&before, &bytes);
        }
    }
}
