//! From a line to a command of the table.

use super::verb::{self, Argument, Local, Service, Verb};
use crate::encoding::NameEncoding;
use crate::reply::Reply;

/// A command of the table with its argument.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) verb: &'static Verb,
    pub(super) argument: String,
}

impl Command {
    /// Reads `line`, whose argument is in the encoding `names`, or says with which reply it is refused.
    pub(super) fn parse(line: &[u8], names: NameEncoding) -> Result<Self, Reply> {
        // RFC 3659 section 2.2: one space ends the verb, further ones are part of the pathname.
        let (name, argument) = line
            .iter()
            .position(|&byte| byte == b' ')
            .map_or((line, &b""[..]), |space| (&line[..space], &line[space + 1..]));
        let known = std::str::from_utf8(name).ok().and_then(verb::find);
        let Some(verb) = known else {
            return Err(Reply::new(500, "Command not understood"));
        };
        // Before anything is looked for in it: in some encodings the byte of a backslash is a part of a letter.
        let argument = match names.decode(argument) {
            Some(argument) => argument,
            // Semantics decision: as wrong as any other, so that it counts and operators see it.
            None if matches!(verb.service, Service::Own(Local::Pass)) => String::from_utf8_lossy(argument),
            None => return Err(not_in(names)),
        };
        let argument = &*argument;
        let argument = match verb.argument {
            Argument::None => "",
            Argument::Listing => without_options(argument),
            Argument::Status => match without_options(argument) {
                "" if !argument.is_empty() => ".",
                path => path,
            },
            Argument::Path | Argument::OptionalPath | Argument::TimeAndPath | Argument::Raw => argument,
            Argument::Text | Argument::OptionalText => argument.trim(),
        };
        let needed = matches!(verb.argument, Argument::Path | Argument::TimeAndPath | Argument::Text);
        if argument.is_empty() && needed {
            return Err(Reply::new(501, format!("Syntax: {}", verb.syntax())));
        }
        Ok(Self { verb, argument: argument.to_owned() })
    }
}

// Semantics decision: an escape would have to change names that look like one, for every client; whoever gets this reply
// can send the name in the right encoding.
fn not_in(names: NameEncoding) -> Reply {
    let other = if names == NameEncoding::UTF_8 { "" } else { ", or in UTF-8 after OPTS UTF8 ON" };
    Reply::new(501, format!("Text must be in {}{other}", names.name()))
}

/// `-la dir` is `dir`: clients send the options of `ls`.
fn without_options(argument: &str) -> &str {
    let mut rest = argument;
    while rest.starts_with('-') {
        rest = rest.split_once(' ').map_or("", |(_, rest)| rest);
    }
    rest
}

/// What holds for all bytes.
#[cfg(any(test, fuzzing))]
pub(super) mod properties {
    use super::*;

    /// In every encoding `line` is refused with a code of syntax, or reads as a command that reads as itself when it is
    /// written again.
    pub(in crate::edge) fn a_command_reads_as_it_is_written(line: &[u8]) {
        for label in ["utf-8", "gbk", "shift_jis", "windows-1251"] {
            let names = NameEncoding::try_from(label.to_owned()).expect("a label");
            match Command::parse(line, names) {
                Err(reply) => assert!([500, 501].contains(&reply.code), "{reply:?}"),
                Ok(Command { verb, argument }) => {
                    let written = format!("{} {argument}", verb.name);
                    let Some(written) = names.encode(&written) else {
                        assert_eq!(verb.name, "PASS", "it was read");
                        continue;
                    };
                    let again = Command::parse(&written, names).expect("it was read before");
                    assert_eq!((again.verb.name, again.argument), (verb.name, argument), "{label}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &[u8]) -> Result<(&'static str, String), u16> {
        Command::parse(line, NameEncoding::UTF_8)
            .map(|command| (command.verb.name, command.argument))
            .map_err(|reply| reply.code)
    }

    #[test]
    fn lines_become_commands() {
        for (line, name, argument) in [
            ("noop ignored", "NOOP", ""),
            ("STOR  a b ", "STOR", " a b "),
            ("LIST -la", "LIST", ""),
            ("LIST -a -l some dir", "LIST", "some dir"),
            ("NLST *.csv", "NLST", "*.csv"),
            ("STAT -l", "STAT", "."),
            ("STAT", "STAT", ""),
            ("SITE MD5  x ", "SITE", "MD5  x "),
            ("TYPE  A N ", "TYPE", "A N"),
            ("PASS ", "PASS", ""),
            ("PASS  x ", "PASS", " x "),
            ("xpwd", "XPWD", ""),
            ("MLSD", "MLSD", ""),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok((name, argument.to_owned())), "{line:?}");
        }
    }

    #[test]
    fn bad_lines_get_their_codes() {
        for (line, code) in [
            (&b"FROB x"[..], 500),
            (b"", 500),
            (b" NOOP", 500),
            (b"\xff\xfe", 500),
            (b"STOR", 501),
            (b"STOR ", 501),
            (b"STOR \xe9.txt", 501),
            (b"TYPE", 501),
        ] {
            assert_eq!(parse(line), Err(code), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn commands_read_as_they_are_written(
            verb in prop::sample::select(verb::names().collect::<Vec<_>>()),
            argument in prop_oneof![
                "[ -](-?[al]{0,2} ?){0,3}[ .a-zé\u{a0}/\\\\]{0,9}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..9),
            ],
        ) {
            properties::a_command_reads_as_it_is_written(&[verb.as_bytes(), &argument].concat());
            properties::a_command_reads_as_it_is_written(&[verb.as_bytes(), b" ", &argument].concat());
        }
    }
}
