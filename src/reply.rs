//! A reply on the control connection: a code and the lines of its text (RFC 959 section 4.2).

/// A reply: its code and its lines without code and line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The three-digit code.
    pub code: u16,
    /// At least one line, in the user's terms; nothing internal.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply of one line.
    pub(crate) fn new(code: u16, line: impl Into<String>) -> Self {
        Self { code, lines: vec![line.into()] }
    }

    /// A reply of several lines.
    pub(crate) fn of_lines(code: u16, lines: Vec<String>) -> Self {
        Self { code, lines }
    }

    /// Whether it says that something was not done (4xx and 5xx).
    pub(crate) fn is_failure(&self) -> bool {
        self.code >= 400
    }

    /// As it goes over the wire. Lines between the first and the last are sent as they are.
    pub(crate) fn to_wire(&self) -> String {
        let code = self.code;
        match self.lines.as_slice() {
            [] => format!("{code} \r\n"),
            [only] => format!("{code} {only}\r\n"),
            [first, between @ .., last] => {
                let mut wire = format!("{code}-{first}\r\n");
                for line in between {
                    // A line that began with a code would end the reply early.
                    let indent = if line.starts_with(|c: char| c.is_ascii_digit()) { " " } else { "" };
                    wire.push_str(indent);
                    wire.push_str(line);
                    wire.push_str("\r\n");
                }
                wire.push_str(&Self::new(code, last).to_wire());
                wire
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_their_form_on_the_wire() {
        assert_eq!(Reply::new(200, "ok").to_wire(), "200 ok\r\n");
        let lines = ["Features:", " UTF8", "2 files", "End"].map(str::to_owned).to_vec();
        let wire = Reply::of_lines(211, lines).to_wire();
        assert_eq!(wire, "211-Features:\r\n UTF8\r\n 2 files\r\n211 End\r\n");
    }
}
