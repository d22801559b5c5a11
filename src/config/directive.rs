//! What a directive is, and how one is found by its name. Its values live in [`Config`]; the list of all is
//! in `table`. Knows no file and no command line.

use super::table::SECTIONS;
use super::value::Fault;
use super::{Config, foreign};

/// A directive: everything that is known about it.
pub(super) struct Directive {
    /// Lower-case name; Redis' wherever Redis has one.
    pub(super) name: &'static str,
    /// The default, as it would stand in a file after the name.
    pub(super) default: &'static str,
    /// One line for `--help`.
    pub(super) help: &'static str,
    /// Whether `CONFIG SET` may change it.
    pub(super) change: Change,
    /// How words become the value.
    pub(super) write: Write,
    /// The value as `CONFIG GET` prints it.
    pub(super) show: fn(&Config) -> String,
}

/// Directives of one subject.
pub(super) struct Section {
    /// The subject.
    pub(super) title: &'static str,
    /// In the order of `--help`.
    pub(super) directives: &'static [Directive],
}

/// Whether a running server takes a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// From the next turn on.
    Live,
    /// No: it is fixed at start.
    Immutable,
    /// No: a client that could write it could write files elsewhere.
    Protected,
}

/// How words become a value. A writer that fails changes nothing.
#[derive(Clone, Copy)]
pub(super) enum Write {
    /// Exactly one word.
    One(fn(&mut Config, &str) -> Result<(), Fault>),
    /// One word or more.
    Many(fn(&mut Config, &[&str]) -> Result<(), Fault>),
    /// One word or more, and each line adds to those before it.
    Lines {
        /// Adds a line.
        add: fn(&mut Config, &[&str]) -> Result<(), Fault>,
        /// Drops what is there, before a new source has its say.
        clear: fn(&mut Config),
    },
}

impl Directive {
    /// Sets the value from the words of one line.
    pub(super) fn apply(&self, config: &mut Config, words: &[&str]) -> Result<(), Fault> {
        match (self.write, words) {
            (Write::One(write), [word]) => write(config, word),
            (Write::One(_), _) | (Write::Many(_) | Write::Lines { .. }, []) => {
                Err(Fault::malformed("wrong number of arguments"))
            }
            (Write::Many(write), _) => write(config, words),
            (Write::Lines { add, .. }, _) => add(config, words),
        }
    }

    /// Sets the value from the one argument that `CONFIG SET` has for it; what was there before is gone.
    pub(super) fn replace(&self, config: &mut Config, argument: &str) -> Result<(), Fault> {
        self.clear(config);
        match self.write {
            Write::One(write) => write(config, argument),
            Write::Many(_) | Write::Lines { .. } => {
                self.apply(config, &argument.split(' ').collect::<Vec<_>>())
            }
        }
    }

    /// Drops the lines so far, where lines add up.
    pub(super) fn clear(&self, config: &mut Config) {
        match self.write {
            Write::Lines { clear, .. } => clear(config),
            Write::One(_) | Write::Many(_) => {}
        }
    }

    /// Whether `CONFIG GET` only tells that there is a value: clients of the one port have no business with the other's
    /// token.
    pub(super) fn is_hidden(&self) -> bool {
        self.name == "admin-token"
    }

    /// Whether the value must not be shown to whoever reads the log.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.name, "requirepass" | "admin-token" | "tls-key-file-pass" | "user")
    }
}

/// All directives, in the order of `--help`.
pub(super) fn all() -> impl Iterator<Item = &'static Directive> {
    SECTIONS.iter().flat_map(|section| section.directives)
}

/// The directive of this lower-case name.
pub(super) fn find(name: &str) -> Option<&'static Directive> {
    all().find(|directive| directive.name == name)
}

/// The name that was probably meant; ours before those that are only tolerated.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    // One slip in four letters: `prot` is port, while `bond` and `band` are still worth a guess.
    let tolerance = 1 + name.len() / 5;
    let ours = all().map(|directive| directive.name).chain(["include"]);
    ours.chain(foreign::names())
        .map(|candidate| (strsim::damerau_levenshtein(&name.to_ascii_lowercase(), candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::{all, nearest};

    #[test]
    fn every_default_parses_and_is_printed_back() {
        let defaults = Config::default();
        for directive in all() {
            let words = super::super::words::split(directive.default.as_bytes()).unwrap();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut config = defaults.clone();
            // As the first line of a source does.
            directive.clear(&mut config);
            directive
                .apply(&mut config, &words)
                .unwrap_or_else(|fault| panic!("{}: {fault:?}", directive.name));
            let shown = (directive.show)(&config);
            assert_eq!(shown, (directive.show)(&defaults), "{}: table and default differ", directive.name);
            assert!(config.warnings.is_empty(), "{}: a default warns", directive.name);
            // What is printed can be given back.
            directive
                .replace(&mut config, &shown)
                .unwrap_or_else(|fault| panic!("{}: {fault:?}", directive.name));
            assert_eq!((directive.show)(&config), shown, "{}", directive.name);
        }
    }

    #[test]
    fn names_are_unique_lower_case_and_not_foreign() {
        let mut names: Vec<&str> = all().map(|directive| directive.name).collect();
        for name in &names {
            assert_eq!(*name, name.to_ascii_lowercase());
            assert!(super::foreign::names().all(|foreign| foreign != *name), "{name}");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn near_misses_are_found() {
        for (name, meant) in [
            ("prot", Some("port")),
            ("maxclient", Some("maxclients")),
            ("max-clients", Some("maxclients")),
            ("Timeuot", Some("timeout")),
            ("requirepas", Some("requirepass")),
            ("proto-max-bulk-length", Some("proto-max-bulk-len")),
            ("includ", Some("include")),
            ("zzzzzz", None),
        ] {
            assert_eq!(nearest(name), meant, "{name}");
        }
    }
}
