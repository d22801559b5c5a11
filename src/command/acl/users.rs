//! All users, shared by all workers, and the log of what was denied. Knows no connection and no file.
//!
//! A session keeps its user, and the version of the list that it took it from: as long as that is the current one, asking
//! costs one comparison.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use super::selector::RuleError;
use super::user::{Digest, User, merge};

/// Everybody the server knows.
#[derive(Debug)]
pub struct Users {
    /// Grows with every change.
    version: AtomicU32,
    list: RwLock<BTreeMap<Box<[u8]>, Arc<User>>>,
    denials: Mutex<VecDeque<Denial>>,
}

/// Why a user cannot be as it was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserError {
    /// Its name has blanks.
    Name,
    /// One of its rules is none.
    Rule(Vec<u8>, RuleError),
    /// A parenthesis is never closed, in the rule that begins so.
    Open(Vec<u8>),
}

impl UserError {
    /// The same for others than whoever wrote the rule: one that has to do with a password does not show it.
    pub fn redacted(self) -> Self {
        match self {
            Self::Rule(rule, error) if matches!(rule.first(), Some(b'>' | b'<' | b'#' | b'!')) => {
                Self::Rule([&rule[..1], b"(redacted)"].concat(), error)
            }
            Self::Name | Self::Rule(..) | Self::Open(_) => self,
        }
    }

    /// What a client is told, behind the code.
    pub fn text(&self, context: &str) -> Vec<u8> {
        match self {
            Self::Name => b"Usernames can't contain spaces or null characters".to_vec(),
            Self::Rule(rule, error) => {
                [format!("Error in {context} '").as_bytes(), rule, b"': ", error.text().as_bytes()].concat()
            }
            Self::Open(rule) => {
                [b"Unmatched parenthesis in acl selector starting at '", rule.as_slice(), b"'."].concat()
            }
        }
    }
}

impl Users {
    /// The default user alone, with this password, if any.
    pub fn new(password: Option<Digest>) -> Self {
        let user = User::default_user(password);
        Self {
            version: AtomicU32::new(0),
            list: RwLock::new(BTreeMap::from([(user.name().into(), Arc::new(user))])),
            denials: Mutex::default(),
        }
    }

    /// The version of the list. A session whose user is of an older one asks again.
    #[inline]
    pub fn version(&self) -> u32 {
        // Acquire: pairs with the Release of `change`, so that who sees the version finds the list of it.
        self.version.load(Ordering::Acquire)
    }

    /// The user of this name.
    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.list.read().expect("no holder of this lock panics").get(name).cloned()
    }

    /// The user that connections begin as.
    pub fn default_user(&self) -> Arc<User> {
        self.get(User::DEFAULT).expect("nothing removes it")
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.list.read().expect("no holder of this lock panics").values().cloned().collect()
    }

    /// The version that the change which is being made leads to.
    fn next(&self) -> u32 {
        // Relaxed: changes are made under the list's lock.
        self.version.load(Ordering::Relaxed).wrapping_add(1)
    }

    fn change<R>(&self, how: impl FnOnce(&mut BTreeMap<Box<[u8]>, Arc<User>>) -> R) -> R {
        let mut list = self.list.write().expect("no holder of this lock panics");
        let result = how(&mut list);
        // Release: see `version`. Under the lock: two changes are two versions.
        self.version.fetch_add(1, Ordering::Release);
        result
    }

    /// Makes or changes a user by rules, all or none.
    pub fn set<'w>(&self, name: &[u8], words: impl Iterator<Item = &'w [u8]>) -> Result<(), UserError> {
        if !User::is_name(name) {
            return Err(UserError::Name);
        }
        let rules = merge(words).map_err(UserError::Open)?;
        self.change(|list| {
            let new = || User::new(name).made(self.next());
            let mut user = list.get(name).map_or_else(new, |user| User::clone(user));
            apply(&mut user, &rules)?;
            list.insert(name.into(), Arc::new(user));
            Ok(())
        })
    }

    /// Gives the default user one password; `None`: any will do.
    pub fn set_default_password(&self, password: Option<Digest>) {
        self.change(|list| {
            let mut user = User::clone(&list[User::DEFAULT]);
            user.set_password(password);
            list.insert(User::DEFAULT.into(), Arc::new(user));
        });
    }

    /// Removes a user. False: there is none of this name.
    pub fn remove(&self, name: &[u8]) -> bool {
        self.change(|list| list.remove(name).is_some())
    }

    /// Puts others in the place of all; the default user stays if it is not among them.
    pub fn replace(&self, users: Vec<User>) {
        self.change(|list| {
            let made = |user: User| match list.get(user.name()) {
                Some(known) => user.made(known.version()),
                None => user.made(self.next()),
            };
            let users: Vec<User> = users.into_iter().map(made).collect();
            list.retain(|name, _| **name == *User::DEFAULT);
            list.extend(users.into_iter().map(|user| (user.name().into(), Arc::new(user))));
        });
    }

    /// Who has this name and this password. Takes as long if there is no such user.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let given = Digest::of(password);
        let user = self.get(name);
        let admits = user.as_ref().is_some_and(|user| user.admits(&given));
        user.filter(|_| admits)
    }

    /// Notes that something was denied; `most`: entries that are kept.
    pub fn note(&self, denial: Denial, most: usize) {
        let mut log = self.denials.lock().expect("no holder of this lock panics");
        // As in Redis: the same within a minute counts on, if it is not far down.
        let like = log.iter().take(ALIKE).position(|known| known.is_like(&denial));
        let count = like.and_then(|at| log.remove(at)).map_or(0, |known| known.count);
        log.push_front(Denial { count: count + 1, ..denial });
        log.truncate(most);
    }

    /// The newest denials.
    pub fn denials(&self, count: usize) -> Vec<Denial> {
        self.denials.lock().expect("no holder of this lock panics").iter().take(count).cloned().collect()
    }

    /// Forgets them.
    pub fn forget_denials(&self) {
        self.denials.lock().expect("no holder of this lock panics").clear();
    }
}

fn apply(user: &mut User, rules: &[Vec<u8>]) -> Result<(), UserError> {
    let rules: Vec<&[u8]> = rules.iter().map(Vec::as_slice).collect();
    user.apply(&rules).map_err(|(rule, error)| UserError::Rule(rule.to_vec(), error))
}

/// The user of a line in a file: its name, and rules.
pub fn user_of<'w>(name: &[u8], words: impl Iterator<Item = &'w [u8]>) -> Result<User, UserError> {
    if !User::is_name(name) {
        return Err(UserError::Name);
    }
    let mut user = User::new(name);
    apply(&mut user, &merge(words).map_err(UserError::Open)?)?;
    Ok(user)
}

/// Entries among which one is sought that a new one is like.
const ALIKE: usize = 10;

/// Milliseconds within which that holds.
const ALIKE_MS: u64 = 60_000;

/// Something that was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// How often.
    pub count: u64,
    /// `auth`, `command` or `key`.
    pub reason: &'static str,
    /// It was to be part of a transaction.
    pub in_transaction: bool,
    /// The command, the key, or how a password was given.
    pub object: Vec<u8>,
    /// Who it was, or wanted to be.
    pub user: Vec<u8>,
    /// The connection as `CLIENT LIST` shows it.
    pub client: Vec<u8>,
    /// When, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

impl Denial {
    fn is_like(&self, newer: &Self) -> bool {
        (self.reason, self.in_transaction, &self.object, &self.user)
            == (newer.reason, newer.in_transaction, &newer.object, &newer.user)
            && newer.unix_ms.saturating_sub(self.unix_ms) <= ALIKE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::{Denial, UserError, Users};

    fn words(text: &str) -> impl Iterator<Item = &[u8]> {
        text.split(' ').map(str::as_bytes)
    }

    #[test]
    fn each_change_is_a_version() {
        let users = Users::new(None);
        let first = users.version();
        users.set(b"a", words("on >p +get")).unwrap();
        let second = users.version();
        assert_ne!(first, second);
        assert!(matches!(users.set(b"a", words("+nope")), Err(UserError::Rule(..))));
        assert_eq!(users.set(b"a b", words("on")), Err(UserError::Name));
        assert_eq!(users.set(b"a", words("(+get")), Err(UserError::Open(b"(+get".to_vec())));
        assert!(users.authenticate(b"a", b"p").is_some());
        assert!(users.authenticate(b"a", b"q").is_none() && users.authenticate(b"b", b"p").is_none());
        assert!(users.remove(b"a") && !users.remove(b"a"));
        assert!(users.authenticate(b"default", b"whatever").is_some());
    }

    #[test]
    fn the_same_denial_within_a_minute_counts_on() {
        let users = Users::new(None);
        let denial = |object: &str, unix_ms| Denial {
            count: 0,
            reason: "command",
            in_transaction: false,
            object: object.into(),
            user: b"a".to_vec(),
            client: Vec::new(),
            unix_ms,
        };
        users.note(denial("get", 1000), 3);
        users.note(denial("set", 2000), 3);
        users.note(denial("get", 61_000), 3);
        users.note(denial("get", 121_001), 3);
        let seen = users.denials(10).into_iter().map(|it| (it.object, it.count)).collect::<Vec<_>>();
        assert_eq!(seen, [(b"get".to_vec(), 1), (b"get".to_vec(), 2), (b"set".to_vec(), 1)]);
        users.note(denial("del", 121_002), 3);
        assert_eq!(users.denials(10).len(), 3);
        users.forget_denials();
        assert!(users.denials(10).is_empty());
    }
}
