//! What containers have in common: a name that does nothing by itself, and `HELP`, rendered from the command table alone.

use super::lookup::lookup;
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// A container, to which its subcommands are still to be added.
pub(super) const fn container(
    name: &'static str,
    summary: &'static str,
    since: &'static str,
    group: &'static str,
) -> Command {
    Command {
        name,
        arity: -2,
        flags: Flags::NONE,
        keys: Keys::NONE,
        access: &[],
        categories: &[],
        tips: &[],
        docs: Docs { summary, since, group, complexity: "Depends on subcommand.", arguments: &[] },
        run: bare,
        subcommands: &[],
    }
}

/// Replies for a container that was called without a subcommand, should its arity ever let that through.
pub(super) fn bare(call: &mut Call<'_>) -> Outcome {
    let name = call.command.name.as_bytes();
    call.reply.error_parts([b"ERR wrong number of arguments for '".as_slice(), name, b"' command"]);
    Outcome::Done
}

/// Replies for a subcommand whose arity lets more through than it takes.
pub(super) fn wrong_number(call: &mut Call<'_>) {
    let name = super::lookup::full_name_of(call.command);
    call.reply.error(format!("ERR wrong number of arguments for '{name}' command"));
}

/// The `HELP` subcommand of a container whose categories are `categories`.
pub(super) const fn help_of(
    since: &'static str,
    group: &'static str,
    categories: &'static [&'static str],
) -> Command {
    Command {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE),
        keys: Keys::NONE,
        access: &[],
        categories,
        tips: &[],
        docs: Docs { summary: "Lists the subcommands.", since, group, complexity: "O(1)", arguments: &[] },
        run: help,
        subcommands: &[],
    }
}

fn help(call: &mut Call<'_>) -> Outcome {
    let container = lookup(call.args.get(0)).expect("a subcommand was found by its container's name");
    let upper = container.name.to_ascii_uppercase();
    call.reply.array(1 + 2 * container.subcommands.len());
    call.reply.simple(&format!("{upper} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for command in container.subcommands {
        let mut usage = command.name.to_ascii_uppercase();
        for argument in command.docs.arguments {
            usage.push(' ');
            usage.push_str(&shape(argument));
        }
        call.reply.simple(&usage);
        call.reply.simple(&format!("    {}", command.docs.summary));
    }
    Outcome::Done
}

/// An argument as usage texts write it: `[TYPE (NORMAL|MASTER)]`.
fn shape(argument: &Argument) -> String {
    let parts = |separator: &str| argument.parts.iter().map(shape).collect::<Vec<_>>().join(separator);
    let value = match argument.kind {
        "pure-token" => None,
        "oneof" => Some(format!("({})", parts("|"))),
        "block" => Some(parts(" ")),
        _ => Some(format!("<{}>", argument.name)),
    };
    let mut text = match (argument.token, value) {
        (Some(token), Some(value)) => format!("{token} {value}"),
        (Some(token), None) => token.to_owned(),
        (None, value) => value.unwrap_or_default(),
    };
    if argument.multiple {
        text = format!("{text} [{text} ...]");
    }
    if argument.optional { format!("[{text}]") } else { text }
}
