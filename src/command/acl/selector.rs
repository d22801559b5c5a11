//! What a set of rules permits: commands, first arguments of commands, keys. Knows no user and no password.
//!
//! The rules are those of Redis' ACL. A selector keeps what they come to, as a bit for each command and subcommand, and
//! what they were, to be shown.

use std::collections::BTreeMap;

use crate::resp::args::Args;

use super::super::describe::{CATEGORIES, in_category};
use super::super::glob::{self, Case};
use super::super::lookup::{self, lookup};
use super::super::resolve::subcommand;
use super::super::{Command, Flags};

/// Why a rule is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// No such command or category.
    Unknown,
    /// Not in the form of any rule.
    Syntax,
    /// A pattern of keys where all keys are allowed already.
    AfterAllKeys,
    /// The same of channels.
    AfterAllChannels,
    /// A first argument of a subcommand.
    FirstArgument,
    /// A hash that is none.
    Hash,
    /// A password to be removed that the user does not have.
    NoPassword,
}

impl RuleError {
    /// The words of Redis.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown command or category name in ACL",
            Self::Syntax => "Syntax error",
            Self::AfterAllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::AfterAllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::FirstArgument => "Allowing first-arg of a subcommand is not supported",
            Self::Hash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Self::NoPassword => "The password you are trying to remove from the user does not exist",
        }
    }
}

/// Why a request is not permitted; the worse is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The command, or the command with this first argument.
    Command,
    /// The argument of this index, a key.
    Key(usize),
}

/// What is done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    /// Something of its value is told.
    reads: bool,
    /// Its value is changed, or it goes.
    writes: bool,
}

impl Access {
    const ALL: Self = Self { reads: true, writes: true };

    const fn covers(self, needed: Self) -> bool {
        (self.reads || !needed.reads) && (self.writes || !needed.writes)
    }
}

/// `~pattern`, `%R~pattern`, `%W~pattern`
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    allows: Access,
    pattern: Box<[u8]>,
}

/// Words of 64 commands.
const WORDS: usize = 4;

/// One bit for each command and subcommand, by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bits([u64; WORDS]);

impl Bits {
    /// Every command, also those to come.
    const ALL: Self = Self([u64::MAX; WORDS]);

    fn has(self, number: usize) -> bool {
        self.0[number / 64] >> (number % 64) & 1 == 1
    }

    fn set(&mut self, number: usize, value: bool) {
        let bit = 1 << (number % 64);
        if value {
            self.0[number / 64] |= bit;
        } else {
            self.0[number / 64] &= !bit;
        }
    }
}

/// Rules, and what they come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    commands: Bits,
    /// Commands that are allowed with these first arguments only, by their numbers.
    first_arguments: BTreeMap<usize, Vec<Box<[u8]>>>,
    all_keys: bool,
    keys: Vec<KeyPattern>,
    all_channels: bool,
    channels: Vec<Box<[u8]>>,
    /// The rules about commands begin with all of them.
    from_all: bool,
    /// The rules behind that, each with its sign: the last about a name stands.
    rules: Vec<String>,
}

impl Selector {
    /// Everything is permitted.
    pub(super) fn unrestricted() -> Self {
        Self { commands: Bits::ALL, all_keys: true, all_channels: true, from_all: true, ..Self::default() }
    }

    /// Whether everything is permitted.
    pub(super) fn is_unrestricted(&self) -> bool {
        self.commands == Bits::ALL && self.all_keys
    }

    /// Whether it tells keys apart.
    pub(super) fn is_about_keys(&self) -> bool {
        !self.all_keys
    }

    /// Takes one rule.
    pub(super) fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule {
            _ if is(rule, "allkeys") || rule == b"~*" => {
                self.all_keys = true;
                self.keys.clear();
            }
            _ if is(rule, "resetkeys") => {
                self.all_keys = false;
                self.keys.clear();
            }
            _ if is(rule, "allchannels") || rule == b"&*" => {
                self.all_channels = true;
                self.channels.clear();
            }
            _ if is(rule, "resetchannels") => {
                self.all_channels = false;
                self.channels.clear();
            }
            _ if is(rule, "allcommands") || is(rule, "+@all") => self.begin_with(true),
            _ if is(rule, "nocommands") || is(rule, "-@all") => self.begin_with(false),
            [b'~', pattern @ ..] => return self.allow_keys(Access::ALL, pattern),
            [b'%', rest @ ..] => {
                let (allows, pattern) = access_of(rest)?;
                return self.allow_keys(allows, pattern);
            }
            [b'&', pattern @ ..] => return self.allow_channels(pattern),
            [sign @ (b'+' | b'-'), b'@', category @ ..] => return self.categorize(*sign == b'+', category),
            [sign @ (b'+' | b'-'), name @ ..] => return self.choose(*sign == b'+', name),
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    fn begin_with(&mut self, all: bool) {
        self.commands = if all { Bits::ALL } else { Bits::default() };
        self.from_all = all;
        self.first_arguments.clear();
        self.rules.clear();
    }

    fn allow_keys(&mut self, allows: Access, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::AfterAllKeys);
        }
        if allows == Access::ALL && pattern == b"*" {
            self.all_keys = true;
            self.keys.clear();
            return Ok(());
        }
        if has_blanks(pattern) {
            return Err(RuleError::Syntax);
        }
        // Twice the same pattern allows what both allow.
        match self.keys.iter_mut().find(|known| *known.pattern == *pattern) {
            Some(known) => {
                known.allows.reads |= allows.reads;
                known.allows.writes |= allows.writes;
            }
            None => self.keys.push(KeyPattern { allows, pattern: pattern.into() }),
        }
        Ok(())
    }

    fn allow_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::AfterAllChannels);
        }
        if has_blanks(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| **known == *pattern) {
            self.channels.push(pattern.into());
        }
        Ok(())
    }

    /// `+@category`, `-@category`
    fn categorize(&mut self, allowed: bool, category: &[u8]) -> Result<(), RuleError> {
        let category = category.to_ascii_lowercase();
        let known = CATEGORIES.into_iter().find(|known| known.as_bytes() == category);
        let category = known.ok_or(RuleError::Unknown)?;
        for top in lookup::visible().filter(|command| in_category(command, category)) {
            self.set(top, allowed);
        }
        for top in lookup::visible() {
            for part in top.subcommands.iter().filter(|part| in_category(part, category)) {
                self.set(part, allowed);
            }
        }
        self.note(allowed, &format!("@{category}"));
        Ok(())
    }

    /// `+name`, `-name`, `+name|subcommand`, `-name|subcommand`, `+name|argument`
    fn choose(&mut self, allowed: bool, name: &[u8]) -> Result<(), RuleError> {
        let name = String::from_utf8(name.to_ascii_lowercase()).map_err(|_| RuleError::Unknown)?;
        let (head, tail) = match name.split_once('|') {
            Some((head, tail)) => (head, Some(tail)),
            None => (name.as_str(), None),
        };
        let found = lookup(head.as_bytes()).filter(|command| !command.flags.has(Flags::HIDDEN));
        let command = found.ok_or(RuleError::Unknown)?;
        match tail {
            None => self.set(command, allowed),
            Some("") => return Err(RuleError::Syntax),
            Some(tail) => {
                let part = tail.split('|').next().unwrap_or(tail);
                match subcommand(command, part.as_bytes()) {
                    Some(_) if part != tail => return Err(RuleError::FirstArgument),
                    Some(part) => self.set(part, allowed),
                    None if !command.subcommands.is_empty() || !allowed || part != tail => {
                        return Err(RuleError::Unknown);
                    }
                    None => {
                        let arguments = self.first_arguments.entry(lookup::number_of(command)).or_default();
                        if !arguments.iter().any(|known| **known == *tail.as_bytes()) {
                            arguments.push(tail.as_bytes().into());
                        }
                    }
                }
            }
        }
        self.note(allowed, &name);
        Ok(())
    }

    /// Allows a command with all of its subcommands, or none of it.
    fn set(&mut self, command: &'static Command, allowed: bool) {
        for command in std::iter::once(command).chain(command.subcommands) {
            let number = lookup::number_of(command);
            self.commands.set(number, allowed);
            self.first_arguments.remove(&number);
        }
    }

    /// Remembers a rule, in the place of those that it makes pointless.
    fn note(&mut self, allowed: bool, name: &str) {
        self.rules.retain(|rule| {
            let known = &rule[1..];
            known != name && !known.strip_prefix(name).is_some_and(|rest| rest.starts_with('|'))
        });
        self.rules.push(format!("{}{name}", if allowed { '+' } else { '-' }));
    }

    /// Whether a request may be executed. `args` holds the name.
    pub(super) fn permits(&self, command: &'static Command, args: &Args<'_>) -> Result<(), Denied> {
        if !command.flags.has(Flags::NO_AUTH) && !self.allows(command, args) {
            return Err(Denied::Command);
        }
        if self.all_keys || command.keys.first == 0 {
            return Ok(());
        }
        for (place, key) in command.keys_of(args).enumerate() {
            let needed = needed(command, place, args);
            let fits = |pattern: &KeyPattern| {
                pattern.allows.covers(needed) && glob::matches(&pattern.pattern, key, Case::Sensitive)
            };
            if !self.keys.iter().any(fits) {
                return Err(Denied::Key(command.keys.first + place * command.keys.step));
            }
        }
        Ok(())
    }

    fn allows(&self, command: &'static Command, args: &Args<'_>) -> bool {
        let number = lookup::number_of(command);
        self.commands.has(number)
            || self.first_arguments.get(&number).is_some_and(|allowed| {
                args.len() > 1 && allowed.iter().any(|known| known.eq_ignore_ascii_case(args.get(1)))
            })
    }

    /// The rules, as they can be given again.
    pub(super) fn describe(&self, out: &mut Vec<u8>) {
        let keys = self.describe_keys();
        let channels = self.describe_channels();
        let reset: &[u8] = if self.all_channels { b"" } else { b"resetchannels" };
        for part in [&keys[..], reset, &channels] {
            out.extend_from_slice(part);
            if !part.is_empty() {
                out.push(b' ');
            }
        }
        out.extend_from_slice(self.describe_commands().as_bytes());
    }

    /// The rules about commands.
    pub(super) fn describe_commands(&self) -> String {
        let base = if self.from_all { "+@all" } else { "-@all" };
        std::iter::once(base).chain(self.rules.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
    }

    /// Those about keys.
    pub(super) fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let sign = |allows: Access| match (allows.reads, allows.writes) {
            (true, true) => &b"~"[..],
            (true, false) => b"%R~",
            _ => b"%W~",
        };
        let patterns = self.keys.iter().map(|known| [sign(known.allows), &known.pattern].concat());
        patterns.collect::<Vec<_>>().join(&b' ')
    }

    /// Those about channels, of which this server has none.
    pub(super) fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        self.channels.iter().map(|pattern| [b"&", &**pattern].concat()).collect::<Vec<_>>().join(&b' ')
    }
}

/// Whether a rule is this word, in whatever case.
pub(super) fn is(rule: &[u8], word: &str) -> bool {
    rule.eq_ignore_ascii_case(word.as_bytes())
}

/// What could not stand in a line of rules.
pub(super) fn has_blanks(text: &[u8]) -> bool {
    // C's isspace: vertical tabs, too.
    text.iter().any(|byte| matches!(byte, b'\0' | b'\t'..=b'\r' | b' '))
}

/// Reads `R~pattern`, `W~pattern`, `RW~pattern`.
fn access_of(rest: &[u8]) -> Result<(Access, &[u8]), RuleError> {
    let tilde = memchr::memchr(b'~', rest).ok_or(RuleError::Syntax)?;
    let mut allows = Access { reads: false, writes: false };
    for letter in &rest[..tilde] {
        match letter.to_ascii_uppercase() {
            b'R' if !allows.reads => allows.reads = true,
            b'W' if !allows.writes => allows.writes = true,
            _ => return Err(RuleError::Syntax),
        }
    }
    if tilde == 0 { Err(RuleError::Syntax) } else { Ok((allows, &rest[tilde + 1..])) }
}

/// What a command does to its key of this place among its keys.
fn needed(command: &Command, place: usize, args: &Args<'_>) -> Access {
    let does = |what: &[&str]| command.access.iter().any(|word| what.contains(word));
    let (reads, writes) = (does(&["access"]), does(&["insert", "update", "delete"]));
    match (command.name, place) {
        // Redis tells the two keys apart.
        ("copy", 0) => Access { reads: true, writes: false },
        ("copy" | "rename" | "renamenx", 1) => Access { reads: false, writes: true },
        // Only with `GET` something is told.
        ("set", _) => Access { reads: args.tail(1).skip(2).any(|word| is(word, "get")), writes },
        _ => Access { reads, writes },
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::lookup;
    use super::{RuleError, Selector, WORDS, lookup as command_of, needed};
    use crate::resp::args::{Args, Span};

    fn selector(rules: &str) -> Selector {
        let mut selector = Selector::default();
        for rule in rules.split(' ') {
            selector.apply(rule.as_bytes()).unwrap_or_else(|error| panic!("{rule}: {error:?}"));
        }
        selector
    }

    fn described(rules: &str) -> String {
        let mut out = Vec::new();
        selector(rules).describe(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn there_is_a_bit_for_every_command() {
        assert!(lookup::all().count() <= WORDS * 64);
    }

    #[test]
    fn rules_are_shown_so_that_they_give_the_same_again() {
        for (rules, shown) in [
            ("+@all", "resetchannels +@all"),
            (
                "~x:* %R~r +@all -@dangerous +config|get",
                "~x:* %R~r resetchannels +@all -@dangerous +config|get",
            ),
            ("%R~a %W~a &c allcommands", "~a resetchannels &c +@all"),
            ("+get +set -get", "resetchannels -@all +set -get"),
            ("+config|get +config|set -config", "resetchannels -@all -config"),
            ("+@read +@write -mget", "resetchannels -@all +@read +@write -mget"),
            ("+select|0 +SELECT|1", "resetchannels -@all +select|0 +select|1"),
            ("allkeys allchannels +@all +get", "~* &* +@all +get"),
            ("+get -@all", "resetchannels -@all"),
        ] {
            assert_eq!(described(rules), shown);
            assert_eq!(described(shown), shown);
            assert_eq!(selector(rules).commands, selector(shown).commands, "{rules}");
        }
    }

    #[test]
    fn what_is_no_rule_changes_nothing() {
        for (rules, rule, error) in [
            ("+get", "+nope", RuleError::Unknown),
            ("+get", "-@nope", RuleError::Unknown),
            ("+get", "+get|", RuleError::Syntax),
            ("+get", "-get|x", RuleError::Unknown),
            ("+get", "+get|x|y", RuleError::Unknown),
            ("+get", "+config|nope", RuleError::Unknown),
            ("+get", "+config|get|x", RuleError::FirstArgument),
            ("+get", "get", RuleError::Syntax),
            ("+get", "", RuleError::Syntax),
            ("+get", "~a b", RuleError::Syntax),
            ("+get", "%~a", RuleError::Syntax),
            ("+get", "%RR~a", RuleError::Syntax),
            ("+get", "%R", RuleError::Syntax),
            ("+get", "+post", RuleError::Unknown),
            ("~*", "~a", RuleError::AfterAllKeys),
            ("&*", "&a", RuleError::AfterAllChannels),
        ] {
            let before = selector(rules);
            let mut after = before.clone();
            assert_eq!(after.apply(rule.as_bytes()), Err(error), "{rule}");
            assert_eq!(after, before, "{rule}");
        }
    }

    #[test]
    fn keys_of_a_command_may_differ() {
        let text = b"set k v get";
        let spans: Vec<Span> =
            [(0, 3), (4, 1), (6, 1), (8, 3)].map(|(at, len)| Span { start: at, len }).to_vec();
        let set = command_of(b"set").unwrap();
        assert!(needed(set, 0, &Args::new(text, &spans, 4)).reads);
        assert!(!needed(set, 0, &Args::new(text, &spans[..3], 3)).reads);
    }
}
