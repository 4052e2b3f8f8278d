//! The facts that MLST and MLSD can show, and which of them a client wants (RFC 3659 sections 7.5 and 7.9).

/// A selection of facts (RFC 3659 section 7.5).
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
    /// What the user may do with it.
    Perm,
    /// Tells it from all others.
    Unique,
    /// What LIST shows as its mode.
    UnixMode,
}

impl Fact {
    /// Every fact, in the order in which they are shown.
    pub(crate) const ALL: [Self; 6] =
        [Self::Type, Self::Size, Self::Modify, Self::Perm, Self::Unique, Self::UnixMode];

    /// Its name in RFC 3659 sections 7.5 and 10.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Size => "size",
            Self::Modify => "modify",
            Self::Perm => "perm",
            Self::Unique => "unique",
            Self::UnixMode => "UNIX.mode",
        }
    }
}

impl Default for Facts {
    fn default() -> Self {
        // The others only cost bytes in long listings until a client asks for them.
        let selected = Fact::ALL.map(|fact| !matches!(fact, Fact::Unique | Fact::UnixMode));
        Self { selected }
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
        let facts = Facts::named_in("Size;unix.MODE;lang;");
        assert_eq!(Fact::ALL.map(|fact| facts.shows(fact)), [false, true, false, false, false, true]);
        let default = [true, true, true, true, false, false];
        assert_eq!(Fact::ALL.map(|fact| Facts::default().shows(fact)), default);
        assert_eq!(Fact::ALL.map(|fact| Facts::named_in("").shows(fact)), [false; 6]);
    }
}
