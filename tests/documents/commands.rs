//! `docs/commands.md` has a row for every command: what the command table says of it, and what differs from Redis.
//!
//! Syntax, complexity, origin and summary are written from the command table; only the last column, and all that stands
//! above the tables, is kept by hand. To write the page anew after a change to the command table:
//!
//! ```text
//! UPDATE_DOCS=1 cargo test --test documents
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tallyring::command::lookup::visible;
use tallyring::command::{Argument, Command};

use super::{path, read};

const PAGE: &str = "docs/commands.md";

/// From this line on the page is written by [`page`].
const DERIVED: &str =
    "<!-- From here on written by `UPDATE_DOCS=1 cargo test --test documents`, but for the last column. -->";

/// Headings of the families, by Redis' names for them.
const HEADINGS: &[(&str, &str)] = &[
    ("string", "Counters and strings"),
    ("generic", "Keys"),
    ("hash", "Hashes"),
    ("transactions", "Transactions"),
    ("connection", "Connections"),
    ("server", "The server"),
    ("scripting", "Scripting"),
];

#[test]
fn the_page_of_commands_is_that_of_the_command_table() {
    let is = read(PAGE);
    let (by_hand, derived) = is.split_once(DERIVED).unwrap_or((&is, ""));
    let should = page(by_hand, &differences(derived));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path(PAGE), should).expect("the page is writable");
        return;
    }
    let differs = is.lines().zip(should.lines()).find(|(is, should)| is != should);
    assert!(
        is == should,
        "{PAGE} is not what the command table says; UPDATE_DOCS=1 cargo test --test documents writes it anew.\n\
         first difference: {differs:#?}"
    );
}

/// What the last column says of each command, by its name.
fn differences(derived: &str) -> BTreeMap<String, String> {
    let rows = derived.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let difference = cells.get(4).map_or("", |cell| cell.trim());
        (name_in(cells[0]).to_owned(), difference.to_owned())
    })
    .collect()
}

/// The name that a cell of syntax begins with: its words up to the first argument, all in capitals.
fn name_in(syntax: &str) -> &str {
    syntax.split('`').next().unwrap_or_default()
}

fn page(by_hand: &str, differences: &BTreeMap<String, String>) -> String {
    let mut page = format!("{by_hand}{DERIVED}\n");
    for (group, heading) in HEADINGS {
        write!(
            page,
            "\n## {heading}\n\n| command | complexity | since | what it is for | how it differs |\n|---|---|---|---|---|\n"
        )
        .expect("a string can be written to");
        for command in visible().filter(|command| command.docs.group == *group) {
            let name = command.name.to_uppercase();
            // A container alone does nothing, but for those that do.
            if command.subcommands.is_empty() || command.arity == -1 {
                row(&mut page, &name, command, differences);
            }
            for subcommand in command.subcommands.iter().filter(|subcommand| subcommand.name != "help") {
                row(
                    &mut page,
                    &format!("{name} {}", subcommand.name.to_uppercase()),
                    subcommand,
                    differences,
                );
            }
        }
    }
    page
}

fn row(page: &mut String, name: &str, command: &Command, differences: &BTreeMap<String, String>) {
    let docs = &command.docs;
    let mut syntax = format!("`{name}`");
    if !docs.arguments.is_empty() {
        let arguments: Vec<String> = docs.arguments.iter().map(spelled).collect();
        // A bar would end the cell.
        write!(syntax, " `{}`", arguments.join(" ").replace('|', "\\|")).expect("a string can be written to");
    }
    let since = if docs.since.starts_with("0.") { "ours" } else { docs.since };
    let difference = differences.get(name).map_or("", String::as_str);
    let cells = [&syntax, docs.complexity.trim_end_matches('.'), since, docs.summary, difference];
    writeln!(page, "| {} |", cells.join(" | ")).expect("a string can be written to");
}

/// An argument as Redis' own pages write it: `[EX seconds | PX milliseconds]`, `key [key ...]`.
fn spelled(argument: &Argument) -> String {
    let parts = |between: &str| argument.parts.iter().map(spelled).collect::<Vec<_>>().join(between);
    let value = match argument.kind {
        "pure-token" => String::new(),
        // Alternatives that may all be left out, or come together.
        "oneof" if argument.parts.iter().all(|part| part.optional) => return parts(" "),
        "oneof" if argument.optional && argument.token.is_none() => parts(" | "),
        "oneof" => format!("<{}>", parts(" | ")),
        "block" => parts(" "),
        _ => argument.name.to_owned(),
    };
    let mut text = [argument.token.unwrap_or_default(), &value].join(" ").trim().to_owned();
    if argument.multiple {
        text = format!("{text} [{text} ...]");
    }
    if argument.optional { format!("[{text}]") } else { text }
}

#[test]
fn every_family_has_a_heading() {
    for command in visible() {
        let (name, group) = (command.name, command.docs.group);
        assert!(HEADINGS.iter().any(|(family, _)| *family == group), "{name}: no heading for {group}");
    }
}

#[test]
fn names_are_read_out_of_rows() {
    assert_eq!(
        [name_in("GET` `key`"), name_in("CLIENT NO-EVICT` `<ON \\| OFF>`"), name_in("PING`")],
        ["GET", "CLIENT NO-EVICT", "PING"]
    );
    let row = "| `GET` `key` | O(1) | 1.0.0 | Shows. | none, `a` \\| b |";
    assert_eq!(differences(row)["GET"], "none, `a` \\| b");
}
