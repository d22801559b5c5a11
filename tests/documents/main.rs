//! The documents name all there is: README.md every command, it or the example configuration every directive, and
//! `docs/commands.md` what the command table says of each.
//!
//! Knows the server's own lists of both; reads the documents as text.

use std::fs;
use std::path::{Path, PathBuf};

mod commands;

/// Where a document of the package is.
fn path(document: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(document)
}

/// A document of the package.
fn read(document: &str) -> String {
    fs::read_to_string(path(document)).unwrap_or_else(|error| panic!("cannot read {document}: {error}"))
}

/// Whether `name` stands in `text` as a word of its own; a hyphen or underscore next to it makes another word.
fn is_named(text: &str, name: &str) -> bool {
    let part =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    let bytes = text.as_bytes();
    text.match_indices(name).any(|(at, _)| {
        let before = at.checked_sub(1).and_then(|index| bytes.get(index));
        !part(before) && !part(bytes.get(at + name.len()))
    })
}

/// Rows of the Markdown tables in a document.
fn table_rows(document: &str) -> Vec<String> {
    read(document).lines().filter(|line| line.trim_start().starts_with('|')).map(str::to_owned).collect()
}

#[test]
fn the_readme_lists_every_command() {
    let rows = table_rows("README.md");
    let mut missing = Vec::new();
    for command in tallyring::command::lookup::visible() {
        let name = command.name.to_uppercase();
        let own: Vec<&String> = rows.iter().filter(|row| is_named(row, &name)).collect();
        if own.is_empty() {
            missing.push(name.clone());
        }
        for subcommand in command.subcommands.iter().map(|subcommand| subcommand.name.to_uppercase()) {
            if subcommand != "HELP" && !own.iter().any(|row| is_named(row, &subcommand)) {
                missing.push(format!("{name} {subcommand}"));
            }
        }
    }
    assert!(missing.is_empty(), "README.md: no row of a table names these commands: {missing:?}");
}

#[test]
fn every_directive_is_documented() {
    let readme = read("README.md");
    let example = read("deploy/tallyring.conf");
    let missing: Vec<&str> = tallyring::config::directives()
        .map(|(name, _)| name)
        .filter(|name| [&readme, &example].iter().all(|text| !is_named(text, name)))
        .collect();
    assert!(
        missing.is_empty(),
        "neither README.md nor deploy/tallyring.conf names these directives: {missing:?}"
    );
}

#[test]
fn words_are_found_whole() {
    assert!(is_named("| `GET` SET |", "GET") && is_named("port 6379", "port"));
    assert!(!is_named("GETSET MGET", "GET") && !is_named("tls-port 0", "port"));
}
