//! Users as they are kept: in the configuration, or in a file of their own. What their rules mean is not known here.

use std::fs;
use std::path::Path;

use super::ServerError;
use super::rewrite::rewrite;
use crate::command::acl::{Digest, User, Users, user_of};
use crate::config::{Config, Password};

/// The users that a start begins with.
pub(super) fn of(config: &Config) -> Result<Users, ServerError> {
    let password = match &config.requirepass_file {
        None => config.requirepass.digest().cloned(),
        Some(path) => password_in(path)?.digest().cloned(),
    };
    let users = Users::new(password);
    let mut listed = Vec::new();
    for line in &config.users {
        // Not the line: it may hold a password.
        let name = line.split_ascii_whitespace().next().unwrap_or_default();
        let text = |error: String| ServerError::new(format!("user {name}: {error}"));
        listed.push(read_line(line.as_bytes()).map_err(text)?);
    }
    if let Some(path) = &config.aclfile {
        listed = load(path).map_err(ServerError::new)?;
    }
    users.replace(listed);
    Ok(users)
}

/// The first line of a file.
fn password_in(path: &Path) -> Result<Password, ServerError> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        ServerError::new(format!(
            "cannot read requirepass-file {shown}: {error} (remedy: make it readable for this user)"
        ))
    })?;
    let wrong = |why: &str| ServerError::new(format!("requirepass-file {shown}: {why}"));
    let word = text.lines().next().unwrap_or_default();
    if word.is_empty() {
        return Err(wrong("its first line has no password (remedy: put one there, or remove the directive)"));
    }
    Password::of_file(word).map_err(|reason| wrong(&reason))
}

/// Reads name and rules.
fn read_line(line: &[u8]) -> Result<User, String> {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let name = words.next().unwrap_or_default();
    user_of(name, words)
        .map_err(|error| String::from_utf8_lossy(&error.redacted().text("user rule")).into_owned())
}

/// Reads a file of users: a line `user name rules` each, empty lines and comments aside. `Err` names every line that is wrong.
pub(super) fn load(path: &Path) -> Result<Vec<User>, String> {
    let shown = path.display();
    let text = fs::read(path).map_err(|error| format!("cannot read aclfile {shown}: {error}"))?;
    let mut users: Vec<User> = Vec::new();
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let user =
            match line.strip_prefix(b"user").filter(|rest| rest.starts_with(b" ") || rest.starts_with(b"\t"))
            {
                Some(rest) => read_line(rest),
                None => Err("line should start with user keyword".to_owned()),
            };
        match user {
            Ok(user) if users.iter().any(|known| known.name() == user.name()) => {
                wrong.push(format!(
                    "{shown}:{number}: user '{}' is defined twice",
                    user.name().escape_ascii()
                ));
            }
            Ok(user) => users.push(user),
            Err(error) => wrong.push(format!("{shown}:{number}: {error}")),
        }
    }
    if wrong.is_empty() { Ok(users) } else { Err(wrong.join(". ")) }
}

/// Writes users into such a file.
pub(super) fn save(path: &Path, users: &Users) -> std::io::Result<()> {
    let lines =
        users.all().into_iter().flat_map(|user| [b"user ".as_slice(), &user.describe(), b"\n"].concat());
    let text: Vec<u8> = lines.collect();
    rewrite(path, |_| text)
}

/// Where the default user's password comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// `requirepass`; `None`: it has none.
    Directive(Option<Digest>),
    /// `requirepass-file`, which the server does not write, and which says it at the next start.
    File,
}

/// The users as the configuration file has them: not the default one while it is what its password makes of it. `Err`: one
/// of them cannot stand there.
pub(super) fn lines(users: &Users, source: &Source) -> Result<Vec<String>, String> {
    let told = |user: &User| match source {
        Source::Directive(password) => user.describe() != User::default_user(password.clone()).describe(),
        Source::File => !user.is_usual(),
    };
    let text = |user: &User| {
        String::from_utf8(user.describe()).map_err(|error| {
            let line = error.as_bytes().escape_ascii();
            format!("user {line} is no UTF-8 text (remedy: keep users in an aclfile)")
        })
    };
    users.all().iter().filter(|user| told(user)).map(|user| text(user)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Digest, Source, User, Users, lines, load, save};

    #[test]
    fn a_file_that_is_wrong_names_its_lines() {
        let path = std::env::temp_dir().join(format!("tallyring-users-{}", std::process::id()));
        std::fs::write(&path, "# people\n\nuser a on >x +get\nuser a off\nusr b\nuser c +nope\n").unwrap();
        let error = load(&path).unwrap_err();
        for part in
            [":4: user 'a' is defined twice", ":5: line should start", ":6: Error in user rule '+nope'"]
        {
            assert!(error.contains(part), "{error}");
        }
        let users = Users::new(None);
        users
            .set(
                b"a",
                [&b"on"[..], b">x", b"(+get ~x)"].into_iter().flat_map(|word| word.split(|it| *it == b' ')),
            )
            .unwrap();
        save(&path, &users).unwrap();
        let again = load(&path).unwrap();
        let described: Vec<_> = again.iter().map(User::describe).collect();
        assert_eq!(described, users.all().iter().map(|user| user.describe()).collect::<Vec<_>>());
        std::fs::remove_file(&path).unwrap();
        let open = Source::Directive(None);
        assert_eq!(lines(&users, &open).unwrap().len(), 1, "the default user is as always");
        users.set_default_password(Some(Digest::of(b"p")));
        assert_eq!(lines(&users, &open).unwrap().len(), 2);
        assert_eq!(lines(&users, &Source::File).unwrap().len(), 1, "its password is for the file to say");
        users.set(User::DEFAULT, [&b"-@dangerous"[..]].into_iter()).unwrap();
        assert_eq!(lines(&users, &Source::File).unwrap().len(), 2, "it is not as a file makes it");
    }
}
