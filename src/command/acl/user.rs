//! A named user: its passwords and what it may do. Knows no connection.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::resp::args::Args;
use crate::resp::quote::hex;

use super::super::Command;
use super::selector::{Denied, RuleError, Selector, has_blanks, is};

/// The SHA-256 of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hexadecimal digits of one.
    pub const DIGITS: usize = 64;

    /// Of this password.
    pub fn of(password: &[u8]) -> Self {
        Self(Sha256::digest(password).into())
    }

    /// Reads lower-case hexadecimal digits.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = digits.as_chunks::<2>();
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }

    /// As it is read.
    pub fn text(&self) -> String {
        hex(&self.0)
    }

    /// Compares in time that tells nothing of either.
    pub fn fits(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// A user. It does not change: a change makes another one of the same name.
#[derive(Clone, Debug)]
pub struct User {
    name: Box<[u8]>,
    enabled: bool,
    /// Any password will do.
    open: bool,
    /// `sanitize-payload` and its opposite, of which nothing follows here; `None`: neither was said.
    sanitizes: Option<bool>,
    passwords: Vec<Digest>,
    /// The first one has the rules that stand for themselves. A request is permitted that one of them permits.
    selectors: Vec<Selector>,
    /// Everything is permitted.
    unrestricted: bool,
    /// The version of the list in which it was made: one that is removed and made again is another one.
    made: u32,
}

impl User {
    /// The one that every connection begins as.
    pub const DEFAULT: &'static [u8] = b"default";

    /// A user that may nothing.
    pub fn new(name: &[u8]) -> Self {
        Self {
            name: name.into(),
            enabled: false,
            open: false,
            sanitizes: None,
            passwords: Vec::new(),
            selectors: vec![Selector::default()],
            unrestricted: false,
            made: 0,
        }
    }

    /// The default user as it is before anything is said of it: it may everything, and needs this password, if any.
    pub fn default_user(password: Option<Digest>) -> Self {
        let mut user = Self {
            enabled: true,
            selectors: vec![Selector::unrestricted()],
            unrestricted: true,
            ..Self::new(Self::DEFAULT)
        };
        user.set_password(password);
        user
    }

    /// What it is called.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The same, made in this version of the list.
    pub(super) fn made(mut self, version: u32) -> Self {
        self.made = version;
        self
    }

    /// The version that it was made in.
    pub(super) fn version(&self) -> u32 {
        self.made
    }

    /// Whether it is what became of the other one, which has its name.
    pub fn is_same(&self, other: &Self) -> bool {
        self.made == other.made
    }

    /// Whether it is the default user as it is before anything but a password is said of it.
    pub fn is_usual(&self) -> bool {
        self.name() == Self::DEFAULT
            && self.describe() == Self::default_user(self.passwords.first().cloned()).describe()
    }

    /// Whether its name can be one.
    pub fn is_name(name: &[u8]) -> bool {
        !has_blanks(name)
    }

    /// Gives it one password in place of those it has; `None`: any will do.
    pub fn set_password(&mut self, password: Option<Digest>) {
        self.open = password.is_none();
        self.passwords = password.into_iter().collect();
    }

    /// Whether a connection is this user without having said so.
    pub fn needs_no_password(&self) -> bool {
        self.enabled && self.open
    }

    /// Whether any password will do, were it enabled.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether this is its password. Takes as long whatever the answer.
    pub fn admits(&self, password: &Digest) -> bool {
        let fits = self.passwords.iter().fold(false, |fits, known| fits | known.fits(password));
        self.enabled && (self.open || fits)
    }

    /// Whether everything is permitted.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// Whether some keys are permitted and others not.
    pub fn is_about_keys(&self) -> bool {
        !self.unrestricted && self.selectors.iter().any(Selector::is_about_keys)
    }

    /// Whether it may execute a request; if not, the worst of the reasons that its selectors have. `args` holds the name.
    pub fn permits(&self, command: &'static Command, args: &Args<'_>) -> Result<(), Denied> {
        let mut worst = Denied::Command;
        for selector in &self.selectors {
            match selector.permits(command, args) {
                Ok(()) => return Ok(()),
                Err(denied) => worst = worst.max(denied),
            }
        }
        Err(worst)
    }

    /// Takes rules in order, all or none. `Err`: which of them is none, and why.
    pub fn apply<'r>(&mut self, rules: &[&'r [u8]]) -> Result<(), (&'r [u8], RuleError)> {
        let mut changed = self.clone();
        for rule in rules {
            changed.apply_one(rule).map_err(|error| (*rule, error))?;
        }
        changed.unrestricted = changed.selectors.iter().any(Selector::is_unrestricted);
        *self = changed;
        Ok(())
    }

    fn apply_one(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule {
            _ if is(rule, "on") => self.enabled = true,
            _ if is(rule, "off") => self.enabled = false,
            _ if is(rule, "nopass") => self.set_password(None),
            _ if is(rule, "resetpass") => {
                self.open = false;
                self.passwords.clear();
            }
            _ if is(rule, "sanitize-payload") => self.sanitizes = Some(true),
            _ if is(rule, "skip-sanitize-payload") => self.sanitizes = Some(false),
            _ if is(rule, "clearselectors") => self.selectors.truncate(1),
            _ if is(rule, "reset") => {
                *self = Self { sanitizes: Some(true), ..Self::new(&self.name) };
            }
            [b'>', password @ ..] => self.add(Digest::of(password)),
            [b'#', digits @ ..] => self.add(Digest::parse(digits).ok_or(RuleError::Hash)?),
            [b'<', password @ ..] => return self.remove(&Digest::of(password)),
            [b'!', digits @ ..] => return self.remove(&Digest::parse(digits).ok_or(RuleError::Hash)?),
            [b'(', inner @ .., b')'] => {
                let mut selector = Selector::default();
                for rule in inner.split(|byte| *byte == b' ').filter(|rule| !rule.is_empty()) {
                    selector.apply(rule)?;
                }
                self.selectors.push(selector);
            }
            _ => return self.selectors[0].apply(rule),
        }
        Ok(())
    }

    fn add(&mut self, password: Digest) {
        self.open = false;
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
    }

    fn remove(&mut self, password: &Digest) -> Result<(), RuleError> {
        let before = self.passwords.len();
        self.passwords.retain(|known| known != password);
        if self.passwords.len() == before { Err(RuleError::NoPassword) } else { Ok(()) }
    }

    /// Words that stand before its rules.
    pub(super) fn flags(&self) -> impl Iterator<Item = &'static str> {
        let sanitizes =
            self.sanitizes.map(|does| if does { "sanitize-payload" } else { "skip-sanitize-payload" });
        [Some(if self.enabled { "on" } else { "off" }), self.open.then_some("nopass"), sanitizes]
            .into_iter()
            .flatten()
    }

    /// The hashes of its passwords.
    pub(super) fn passwords(&self) -> &[Digest] {
        &self.passwords
    }

    /// Its own rules, and its other sets of them.
    pub(super) fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// Name and rules, as they stand behind `user` in a file.
    pub fn describe(&self) -> Vec<u8> {
        let mut out = self.name.to_vec();
        for flag in self.flags() {
            out.push(b' ');
            out.extend_from_slice(flag.as_bytes());
        }
        for password in &self.passwords {
            out.extend_from_slice(format!(" #{}", password.text()).as_bytes());
        }
        for (index, selector) in self.selectors.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b" " } else { b" (" });
            selector.describe(&mut out);
            if index > 0 {
                out.push(b')');
            }
        }
        out
    }
}

/// Rules of which those between parentheses are one. `Err`: the first word of one whose end is missing.
pub(super) fn merge<'w>(words: impl Iterator<Item = &'w [u8]>) -> Result<Vec<Vec<u8>>, Vec<u8>> {
    let mut rules: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<(Vec<u8>, Vec<u8>)> = None;
    for word in words {
        let (first, rule) = match open.take() {
            None => (word.to_vec(), word.to_vec()),
            Some((first, so_far)) => (first, [so_far.as_slice(), b" ", word].concat()),
        };
        if rule.first() == Some(&b'(') && rule.last() != Some(&b')') {
            open = Some((first, rule));
        } else {
            rules.push(rule);
        }
    }
    match open {
        Some((first, _)) => Err(first),
        None => Ok(rules),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::resolve::resolve;
    use super::{Denied, Digest, RuleError, User, merge};
    use crate::resp::args::{Args, Span};

    fn user(rules: &str) -> User {
        let mut user = User::new(b"u");
        let rules = merge(rules.split(' ').map(str::as_bytes)).unwrap();
        let rules: Vec<&[u8]> = rules.iter().map(Vec::as_slice).collect();
        user.apply(&rules).unwrap();
        user
    }

    fn permits(user: &User, request: &str) -> Result<(), Denied> {
        let (mut spans, mut at) = (Vec::new(), 0);
        for word in request.split(' ') {
            let len = u32::try_from(word.len()).unwrap();
            spans.push(Span { start: at, len });
            at += len + 1;
        }
        let args = Args::new(request.as_bytes(), &spans, spans.len());
        user.permits(resolve(&args).unwrap(), &args)
    }

    #[test]
    fn permissions_mean_what_they_mean_in_redis() {
        let (no_command, key) = (Err(Denied::Command), |at| Err(Denied::Key(at)));
        for (rules, request, expected) in [
            ("+get ~x*", "GET x1", Ok(())),
            ("+get ~x*", "GET y", key(1)),
            ("+get ~x*", "SET x 1", no_command),
            ("+@read ~x*", "MGET x1 x2 y", key(3)),
            ("+@all ~x*", "MSET x1 1 x2 2", Ok(())),
            ("+@all ~x*", "MSET x1 1 y 2", key(3)),
            ("+@all -@dangerous ~*", "FLUSHALL", no_command),
            ("+@all -@dangerous ~*", "PING", Ok(())),
            ("+@all -config", "CONFIG GET port", no_command),
            ("-@all +config|get", "CONFIG GET port", Ok(())),
            ("-@all +config|get", "CONFIG SET port 1", no_command),
            ("+@all -config|set", "CONFIG SET port 1", no_command),
            ("+@all -config|set", "CONFIG GET port", Ok(())),
            ("-@all", "AUTH x", Ok(())),
            ("-@all", "HELLO", Ok(())),
            ("-@all", "PING", no_command),
            ("-@all +select|0", "SELECT 0", Ok(())),
            ("-@all +select|0", "SELECT 1", no_command),
            ("+@all %R~x", "GET x", Ok(())),
            ("+@all %R~x", "INCR x", key(1)),
            ("+@all %R~x", "SET x 1", key(1)),
            ("+@all %W~x", "SET x 1", Ok(())),
            ("+@all %W~x", "SET x 1 GET", key(1)),
            ("+@all %W~x", "GET x", key(1)),
            ("+@all %W~x", "EXISTS x", Ok(())),
            ("+@all %R~x %W~y", "COPY x y", Ok(())),
            ("+@all %R~x %W~y", "COPY y x", key(1)),
            ("+@all ~x %W~y", "RENAME x y", Ok(())),
            ("+@all %R~x %W~y", "RENAME x y", key(1)),
            ("-@all (+get ~x) (+set ~y)", "GET x", Ok(())),
            ("-@all (+get ~x) (+set ~y)", "SET y 1", Ok(())),
            ("-@all (+get ~x) (+set ~y)", "SET x 1", key(1)),
            ("-@all (+get ~x) (+set ~y)", "DEL x", no_command),
            ("+@all ~x*", "SCAN 0", Ok(())),
            ("+@all ~x*", "DBSIZE", Ok(())),
            ("+@read +@write +@admin -@dangerous ~p*", "MINCRBY p1 1 p2 2", Ok(())),
            ("+@read +@write +@admin -@dangerous ~p*", "MINCRBY p1 1 q 2", key(3)),
            ("+@read +@write +@admin -@dangerous ~p*", "SHUTDOWN", no_command),
        ] {
            assert_eq!(permits(&user(rules), request), expected, "{rules}: {request}");
        }
    }

    #[test]
    fn passwords_are_added_and_removed() {
        let fits = |user: &User, password: &str| user.admits(&Digest::of(password.as_bytes()));
        let mut user = user("on >a >b >a");
        assert_eq!(user.passwords().len(), 2);
        assert!(fits(&user, "a") && fits(&user, "b") && !fits(&user, "c"));
        user.apply(&[b"<a"]).unwrap();
        assert!(!fits(&user, "a") && fits(&user, "b"));
        let digits = Digest::of(b"c").text();
        user.apply(&[format!("#{digits}").as_bytes()]).unwrap();
        assert!(fits(&user, "c"));
        user.apply(&[format!("!{digits}").as_bytes()]).unwrap();
        assert!(!fits(&user, "c"));
        assert_eq!(user.apply(&[b"<c"]), Err((&b"<c"[..], RuleError::NoPassword)));
        assert_eq!(user.apply(&[b"#abc"]), Err((&b"#abc"[..], RuleError::Hash)));
        user.apply(&[b"nopass"]).unwrap();
        assert!(fits(&user, "whatever") && user.passwords().is_empty());
        user.apply(&[b"off"]).unwrap();
        assert!(!fits(&user, "whatever"), "nobody is a user that is off");
        user.apply(&[b"resetpass", b"on"]).unwrap();
        assert!(!fits(&user, "") && !user.needs_no_password());
        assert!(!format!("{user:?}").contains(&digits[..8]), "hashes are in no log");
    }

    #[test]
    fn descriptions_give_the_same_user_again() {
        for rules in
            ["on >a ~x* +@all -@dangerous", "off nopass", "reset", "-@all (+get ~x &c) (%W~y +@write)"]
        {
            let described = String::from_utf8(user(rules).describe()).unwrap();
            let again = user(described.strip_prefix("u ").unwrap());
            assert_eq!(String::from_utf8(again.describe()).unwrap(), described);
        }
        let all = User::default_user(None);
        assert_eq!(all.describe(), b"default on nopass ~* &* +@all");
        assert!(all.is_unrestricted() && all.needs_no_password());
        assert!(user("+@all ~*").is_unrestricted() && !user("+@all").is_unrestricted());
        assert!(user("-@all (+@all ~*)").is_unrestricted());
    }

    #[test]
    fn all_rules_are_taken_or_none() {
        let mut user = user("on +get");
        let before = user.describe();
        assert_eq!(user.apply(&[b"off", b"+set", b"+nope"]), Err((&b"+nope"[..], RuleError::Unknown)));
        assert_eq!(user.describe(), before);
    }

    #[test]
    fn parentheses_keep_rules_together() {
        let words = |text: &'static str| merge(text.split(' ').map(str::as_bytes));
        assert_eq!(words("on (+get ~x) off").unwrap(), [&b"on"[..], b"(+get ~x)", b"off"]);
        assert_eq!(words("(+get (~x").unwrap_err(), b"(+get");
    }
}
