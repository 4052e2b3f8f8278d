//! The facts that MLST and MLSD can show, and which of them a client wants (RFC 3659 sections 7.5 and 7.9).

/// A selection of facts (RFC 3659 section 7.5). All are selected at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    selected: [bool; Fact::ALL.len()],
}

/// A fact about a file or directory that MLST and MLSD can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// `file` or `dir`.
    Type,
    /// Bytes.
    Size,
    /// The time of the last change.
    Modify,
}

impl Fact {
    /// Every fact, in the order in which they are shown.
    pub(crate) const ALL: [Self; 3] = [Self::Type, Self::Size, Self::Modify];

    /// Its name in RFC 3659 section 7.5.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Size => "size",
            Self::Modify => "modify",
        }
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self { selected: [true; Fact::ALL.len()] }
    }
}

impl Facts {
    /// The facts of a list such as `type;size;`; names that are not known select nothing (RFC 3659 section 7.9).
    pub(crate) fn named_in(list: &str) -> Self {
        let named = |fact: Fact| list.split(';').any(|name| name.trim().eq_ignore_ascii_case(fact.name()));
        Self { selected: Fact::ALL.map(named) }
    }

    /// Whether `fact` is selected.
    pub(crate) fn shows(self, fact: Fact) -> bool {
        self.selected[fact as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_selected_by_name_in_any_case() {
        let facts = Facts::named_in("Size;UNIX.mode;");
        assert_eq!(Fact::ALL.map(|fact| facts.shows(fact)), [false, true, false]);
        assert_eq!(Fact::ALL.map(|fact| Facts::default().shows(fact)), [true; 3]);
        assert_eq!(Fact::ALL.map(|fact| Facts::named_in("").shows(fact)), [false; 3]);
    }
}
