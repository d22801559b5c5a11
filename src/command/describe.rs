//! One command as `COMMAND INFO` and `COMMAND DOCS` describe it, derived from its entry in the command table.
//! Nothing is known about any one command.

use crate::resp::encode::Encoder;

use super::lookup::{lookup, visible};
use super::resolve::subcommand;
use super::{Argument, Command, Flags, Keys};

/// Flags as `COMMAND INFO` names them, in Redis' order. Those that are ours alone are not shown.
const FLAG_NAMES: [(Flags, &str); 14] = [
    (Flags::WRITE, "write"),
    (Flags::READONLY, "readonly"),
    (Flags::DENYOOM, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::NOSCRIPT, "noscript"),
    (Flags::LOADING, "loading"),
    (Flags::STALE, "stale"),
    (Flags::SKIP_MONITOR, "skip_monitor"),
    (Flags::SKIP_SLOWLOG, "skip_slowlog"),
    (Flags::FAST, "fast"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::NO_ASYNC_LOADING, "no_async_loading"),
    (Flags::NO_MULTI, "no_multi"),
    (Flags::ALLOW_BUSY, "allow_busy"),
];

/// ACL categories in Redis' order; some have no command here.
pub(super) const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// Whether a command belongs to an ACL category, by its flags or because it says so.
pub(super) fn in_category(command: &Command, category: &str) -> bool {
    let implied = match category {
        "read" => command.flags.has(Flags::READONLY),
        "write" => command.flags.has(Flags::WRITE),
        "admin" | "dangerous" => command.flags.has(Flags::ADMIN),
        "fast" => command.flags.has(Flags::FAST),
        "slow" => !command.flags.has(Flags::FAST),
        _ => false,
    };
    implied || command.categories.contains(&category)
}

/// A command as it is shown: a subcommand under its container's name.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    /// The container of a subcommand.
    pub(super) container: Option<&'static Command>,
    /// The command or subcommand itself.
    pub(super) command: &'static Command,
}

impl Shown {
    /// The command of this full name (`get`, `client|id`), in whatever case it is written.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let (head, tail) = match memchr::memchr(b'|', name) {
            Some(bar) => (&name[..bar], Some(&name[bar + 1..])),
            None => (name, None),
        };
        let command = lookup(head).filter(|command| !command.flags.has(Flags::HIDDEN))?;
        match tail {
            None => Some(Self { container: None, command }),
            Some(tail) => Some(Self { container: Some(command), command: subcommand(command, tail)? }),
        }
    }

    /// All commands, without subcommands.
    pub(super) fn tops() -> impl Iterator<Item = Self> {
        visible().map(|command| Self { container: None, command })
    }

    /// The subcommands of a container.
    pub(super) fn subcommands(self) -> impl Iterator<Item = Self> {
        let container = Some(self.command);
        self.command.subcommands.iter().map(move |command| Self { container, command })
    }

    /// The full name.
    pub(super) fn name(self) -> String {
        match self.container {
            Some(container) => format!("{}|{}", container.name, self.command.name),
            None => self.command.name.to_owned(),
        }
    }
}

/// The ten elements of `COMMAND INFO`.
pub(super) fn describe(shown: Shown, reply: &mut Encoder<'_>) {
    let command = shown.command;
    reply.array(10);
    reply.bulk(shown.name().as_bytes());
    reply.integer(i64::from(command.arity));
    let flags: Vec<&str> =
        FLAG_NAMES.iter().filter_map(|&(flag, name)| command.flags.has(flag).then_some(name)).collect();
    simple_set(&flags, reply);
    reply.count(command.keys.first);
    reply.integer(i64::from(command.keys.last));
    reply.count(command.keys.step);
    let categories: Vec<String> = CATEGORIES
        .iter()
        .filter(|category| in_category(command, category))
        .map(|category| format!("@{category}"))
        .collect();
    simple_set(&categories, reply);
    reply.set(command.tips.len());
    for tip in command.tips {
        reply.bulk(tip.as_bytes());
    }
    key_specs(command, reply);
    if command.subcommands.is_empty() {
        reply.set(0);
    } else {
        reply.array(command.subcommands.len());
        for shown in shown.subcommands() {
            describe(shown, reply);
        }
    }
}

fn simple_set(names: &[impl AsRef<str>], reply: &mut Encoder<'_>) {
    reply.set(names.len());
    for name in names {
        reply.simple(name.as_ref());
    }
}

/// Where the keys are, in the terms of Redis 7: begin at an index, find a range. A last key is counted from
/// the first one here, unless it is counted from the end.
fn key_specs(command: &Command, reply: &mut Encoder<'_>) {
    let Keys { first, last, step } = command.keys;
    if first == 0 {
        return reply.set(0);
    }
    reply.set(1);
    reply.map(3);
    reply.bulk(b"flags");
    simple_set(command.access, reply);
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"index");
    reply.bulk(b"spec");
    reply.map(1);
    reply.bulk(b"index");
    reply.count(first);
    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"range");
    reply.bulk(b"spec");
    reply.map(3);
    reply.bulk(b"lastkey");
    reply.integer(match usize::try_from(last) {
        Ok(last) => i64::try_from(last.saturating_sub(first)).unwrap_or(i64::MAX),
        Err(_) => i64::from(last),
    });
    reply.bulk(b"keystep");
    reply.count(step);
    reply.bulk(b"limit");
    reply.integer(0);
}

/// A name and what is documented about it, one entry of a map.
pub(super) fn document(shown: Shown, reply: &mut Encoder<'_>) {
    let Command { docs, subcommands, .. } = shown.command;
    reply.bulk(shown.name().as_bytes());
    reply.map(4 + usize::from(!docs.arguments.is_empty()) + usize::from(!subcommands.is_empty()));
    for (field, text) in [
        ("summary", docs.summary),
        ("since", docs.since),
        ("group", docs.group),
        ("complexity", docs.complexity),
    ] {
        reply.bulk(field.as_bytes());
        reply.bulk(text.as_bytes());
    }
    arguments(docs.arguments, reply);
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        for shown in shown.subcommands() {
            document(shown, reply);
        }
    }
}

/// The field `arguments`, left out where there are none.
fn arguments(arguments: &[Argument], reply: &mut Encoder<'_>) {
    if arguments.is_empty() {
        return;
    }
    reply.bulk(b"arguments");
    reply.array(arguments.len());
    for argument in arguments {
        describe_argument(argument, reply);
    }
}

fn describe_argument(argument: &Argument, reply: &mut Encoder<'_>) {
    let is_key = argument.kind == "key";
    let flagged = argument.optional || argument.multiple;
    let fields = [is_key, argument.token.is_some(), flagged, !argument.parts.is_empty()];
    reply.map(2 + fields.into_iter().filter(|present| *present).count());
    for (field, text) in [("name", argument.name), ("type", argument.kind)] {
        reply.bulk(field.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if is_key {
        reply.bulk(b"key_spec_index");
        reply.integer(0);
    }
    if let Some(token) = argument.token {
        reply.bulk(b"token");
        reply.bulk(token.as_bytes());
    }
    if flagged {
        reply.bulk(b"flags");
        let flags = [(argument.optional, "optional"), (argument.multiple, "multiple")];
        let set: Vec<&str> = flags.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
        simple_set(&set, reply);
    }
    arguments(argument.parts, reply);
}

#[cfg(test)]
mod tests {
    use super::{Argument, Command, Flags, Shown, lookup};
    use crate::command::lookup::COMMANDS;

    fn each(visit: &mut dyn FnMut(&Command)) {
        for command in COMMANDS {
            visit(command);
            command.subcommands.iter().for_each(&mut *visit);
        }
    }

    /// Fewest arguments that a description asks for.
    fn least(arguments: &[Argument]) -> usize {
        arguments.iter().filter(|argument| !argument.optional).map(least_of).sum()
    }

    fn least_of(argument: &Argument) -> usize {
        let value = match argument.kind {
            "pure-token" => 0,
            "oneof" => argument.parts.iter().map(least_of).min().unwrap_or(0),
            "block" => least(argument.parts),
            _ => 1,
        };
        value + usize::from(argument.token.is_some())
    }

    #[test]
    fn every_command_is_documented() {
        each(&mut |command| {
            let docs = &command.docs;
            assert!(docs.summary.ends_with('.') && !docs.summary.contains('\n'), "{}", command.name);
            assert!(docs.since.split('.').count() == 3 && !docs.complexity.is_empty(), "{}", command.name);
            let groups = ["string", "hash", "generic", "connection", "server", "scripting", "transactions"];
            assert!(groups.contains(&docs.group), "{}", command.name);
        });
    }

    #[test]
    fn arity_agrees_with_the_arguments() {
        for command in COMMANDS {
            let subcommands = command.subcommands.iter().map(|subcommand| (2, subcommand));
            for (names, command) in subcommands.chain([(1, command)]) {
                if !command.subcommands.is_empty() || command.flags.has(Flags::HIDDEN) {
                    continue;
                }
                let arguments = command.docs.arguments;
                let fixed = arguments.iter().all(|argument| !argument.optional && !argument.multiple);
                let least = i32::try_from(names + least(arguments)).unwrap();
                // QUIT takes and ignores arguments; the last one of GETKEYS is the key that it looks for.
                match command.name {
                    "quit" => assert_eq!(command.arity, -1),
                    "getkeys" => assert_eq!(command.arity, -4),
                    "kill" | "setinfo" => assert!(command.arity.abs() >= least),
                    name => assert_eq!(command.arity, if fixed { least } else { -least }, "{name}"),
                }
            }
        }
    }

    #[test]
    fn keys_agree_with_flags_and_arguments() {
        each(&mut |command| {
            let name = command.name;
            let keys = command.keys;
            let documented = command.docs.arguments.iter().any(|argument| {
                argument.kind == "key" || argument.parts.iter().any(|part| part.kind == "key")
            });
            assert_eq!(keys.first != 0, documented, "{name}");
            assert_eq!(keys.first == 0, keys.step == 0, "{name}");
            assert_eq!(keys.first == 0, command.access.is_empty(), "{name}");
            // To watch is neither.
            if keys.first != 0 && name != "watch" {
                assert!(command.flags.has(Flags::WRITE) != command.flags.has(Flags::READONLY), "{name}");
                assert!(["RO", "RW", "OW", "RM"].contains(&command.access[0]), "{name}");
                assert_eq!(command.access[0] == "RO", command.flags.has(Flags::READONLY), "{name}");
            }
            assert!(!command.flags.has(Flags::STREAMS) || keys.last == -1, "{name}");
        });
    }

    #[test]
    fn names_are_lower_case_and_unique() {
        let mut names: Vec<String> = Shown::tops()
            .flat_map(|top| std::iter::once(top).chain(top.subcommands()))
            .map(Shown::name)
            .collect();
        assert!(names.iter().all(|name| *name == name.to_ascii_lowercase()));
        assert!(names.iter().all(|name| Shown::named(name.as_bytes()).is_some()));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn guards_are_hidden() {
        assert!(lookup(b"post").is_some() && Shown::named(b"post").is_none());
        assert!(lookup(b"HOST:").is_some() && Shown::named(b"host:").is_none());
    }
}
