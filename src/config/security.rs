//! The directives about who may do what. Knows that users have rules, and not what those mean.

use super::Config;
use super::directive::Change::{Immutable, Live};
use super::directive::Directive;
use super::directive::Write::{Lines, One};
use super::kind::Password;
use super::table::{path_or_none, put, shown_path};
use super::value::{Fault, integer, yes_no, yes_no_name};
use crate::command::acl::user_of;

/// Entries of the log of denials; above any use, and little memory.
const DENIALS: i64 = 1_000_000;

pub(super) const SECURITY: &[Directive] = &[
    Directive {
        name: "requirepass",
        default: "\"\"",
        help: "password of the default user, or # and its SHA-256; \"\" = none",
        change: Live,
        write: One(|config, word| put(&mut config.requirepass, Password::parse(word))),
        show: |config| config.requirepass.shown(),
    },
    Directive {
        name: "requirepass-file",
        default: "\"\"",
        help: "file whose first line is that password; \"\" = none",
        change: Immutable,
        write: One(|config, word| put(&mut config.requirepass_file, Ok(path_or_none(word)))),
        show: |config| shown_path(config.requirepass_file.as_deref()),
    },
    Directive {
        name: "protected-mode",
        default: "yes",
        help: "without a password, serve only clients of this machine",
        change: Live,
        write: One(|config, word| put(&mut config.protected_mode, yes_no(word))),
        show: |config| yes_no_name(config.protected_mode),
    },
    Directive {
        name: "user",
        default: "\"\"",
        help: "name and rules of a user, as in Redis: alice on >password +@read ~views:*",
        change: Immutable,
        write: Lines { add: add_user, clear: |config| config.users.clear() },
        show: |config| config.users.join("\n"),
    },
    Directive {
        name: "aclfile",
        default: "\"\"",
        help: "file of users, a line \"user name rules\" each; \"\" = none",
        change: Immutable,
        write: One(|config, word| put(&mut config.aclfile, Ok(path_or_none(word)))),
        show: |config| shown_path(config.aclfile.as_deref()),
    },
    Directive {
        name: "acllog-max-len",
        default: "128",
        help: "entries of ACL LOG",
        change: Live,
        write: One(|config, word| put(&mut config.acllog_max_len, integer(word, 0..=DENIALS))),
        show: |config| config.acllog_max_len.to_string(),
    },
];

/// Takes a user whose rules are rules, and of whom nothing was said before.
fn add_user(config: &mut Config, words: &[&str]) -> Result<(), Fault> {
    let Some((name, rules)) = words.split_first().filter(|_| words != [""]) else { return Ok(()) };
    let user = user_of(name.as_bytes(), rules.iter().map(|rule| rule.as_bytes()))
        .map_err(|error| Fault::malformed(String::from_utf8_lossy(&error.text("user rule")).into_owned()))?;
    let line = String::from_utf8_lossy(&user.describe()).into_owned();
    let is_same = |known: &String| known.split(' ').next() == Some(name);
    if config.users.iter().any(is_same) {
        return Err(Fault::malformed(format!("user '{name}' is defined twice")));
    }
    config.users.push(line);
    Ok(())
}
