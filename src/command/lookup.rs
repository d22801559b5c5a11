//! Which commands there are, and how a name finds its command. Knows names only.
//!
//! The names are hashed when the crate is compiled; a look-up is a multiplication, usually one slot, and one
//! comparison.

use super::{
    Command, acl, bulk, clients, configure, counter, docs, expire, float, hash, increx, info, introspect,
    keyspace, latency, memory, monitor, object, once, operate, rename, save, scan, session, slowlog, string,
    substring, throttle, transaction, window,
};

use std::sync::LazyLock;

use crate::metrics::meters::Reading;

/// Every command, guards included, in the order in which `COMMAND` shows them.
pub static COMMANDS: [&Command; COUNT] = [
    &counter::INCR,
    &counter::DECR,
    &counter::INCRBY,
    &counter::DECRBY,
    &float::INCRBYFLOAT,
    &increx::INCREX,
    &once::INCRONCE,
    &once::MINCRONCE,
    &string::GET,
    &string::SET,
    &string::SETNX,
    &string::SETEX,
    &string::PSETEX,
    &string::GETSET,
    &string::GETDEL,
    &string::GETEX,
    &substring::STRLEN,
    &substring::APPEND,
    &substring::GETRANGE,
    &substring::SUBSTR,
    &substring::SETRANGE,
    &keyspace::GETTTL,
    &bulk::MGET,
    &bulk::MSET,
    &bulk::MSETNX,
    &bulk::MINCRBY,
    &bulk::DEL,
    &bulk::UNLINK,
    &bulk::EXISTS,
    &bulk::TOUCH,
    &keyspace::TYPE,
    &expire::EXPIRE,
    &expire::PEXPIRE,
    &expire::EXPIREAT,
    &expire::PEXPIREAT,
    &expire::TTL,
    &expire::PTTL,
    &expire::EXPIRETIME,
    &expire::PEXPIRETIME,
    &expire::PERSIST,
    &rename::RENAME,
    &rename::RENAMENX,
    &rename::COPY,
    &scan::SCAN,
    &scan::KEYS,
    &scan::RANDOMKEY,
    &object::OBJECT,
    &memory::MEMORY,
    &keyspace::DBSIZE,
    &keyspace::FLUSHALL,
    &keyspace::FLUSHDB,
    &hash::HSET,
    &hash::HMSET,
    &hash::HSETNX,
    &hash::HGET,
    &hash::HMGET,
    &hash::HGETALL,
    &hash::HDEL,
    &hash::HEXISTS,
    &hash::HLEN,
    &hash::HKEYS,
    &hash::HVALS,
    &hash::HSTRLEN,
    &hash::HINCRBY,
    &hash::HINCRBYFLOAT,
    &hash::HMINCRBY,
    &hash::HINCREX,
    &hash::HRANDFIELD,
    &hash::HSCAN,
    &hash::HGETSET,
    &hash::HGETDEL,
    &throttle::THROTTLE,
    &throttle::PEEK,
    &window::WINCRBY,
    &window::WGET,
    &transaction::MULTI,
    &transaction::EXEC,
    &transaction::DISCARD,
    &transaction::WATCH,
    &transaction::UNWATCH,
    &session::PING,
    &session::ECHO,
    &session::HELLO,
    &session::AUTH,
    &session::SELECT,
    &session::QUIT,
    &session::RESET,
    &acl::ACL,
    &clients::CLIENT,
    &configure::CONFIG,
    &docs::COMMAND,
    &info::INFO,
    &slowlog::SLOWLOG,
    &latency::LATENCY,
    &introspect::TIME,
    &monitor::MONITOR,
    &save::SAVE,
    &save::BGSAVE,
    &save::BGREWRITEAOF,
    &operate::LASTSAVE,
    &operate::ROLE,
    &operate::WAIT,
    &operate::WAITAOF,
    &operate::DEBUG,
    &operate::SHUTDOWN,
    &introspect::FUNCTION,
    &introspect::POST,
    &introspect::HOST,
];

const COUNT: usize = 108;

/// The commands a client may see: all but the guards.
pub fn visible() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().copied().filter(|command| !command.flags.has(super::Flags::HIDDEN))
}

/// Every command and subcommand, with its container where it is one: in the order of their numbers.
pub fn all() -> impl Iterator<Item = (Option<&'static Command>, &'static Command)> {
    COMMANDS.iter().copied().flat_map(|command| {
        let own = command.subcommands.iter().map(move |subcommand| (Some(command), subcommand));
        std::iter::once((None, command)).chain(own)
    })
}

/// A command's name as statistics show it: that of a subcommand behind its container's, with a bar.
pub fn full_name((container, command): (Option<&Command>, &Command)) -> String {
    container
        .map_or_else(|| command.name.to_owned(), |container| format!("{}|{}", container.name, command.name))
}

/// The number of a command or subcommand: its place in [`all`].
pub fn number_of(command: &'static Command) -> usize {
    let address = std::ptr::from_ref(command).addr();
    let at = NUMBERS.binary_search_by_key(&address, |(address, _)| *address);
    NUMBERS[at.expect("every command is in the list")].1
}

/// The numbers of all commands, by their addresses.
static NUMBERS: LazyLock<Vec<(usize, usize)>> = LazyLock::new(|| {
    let mut numbers: Vec<(usize, usize)> =
        all().map(|(_, command)| std::ptr::from_ref(command).addr()).zip(0..).collect();
    numbers.sort_unstable();
    numbers
});

/// The full name of a command or subcommand.
pub fn full_name_of(command: &'static Command) -> String {
    full_name(all().nth(number_of(command)).expect("numbers are places in the list"))
}

/// Readings with the names of their commands, in the commands' order.
pub fn named(readings: impl IntoIterator<Item = Reading>) -> impl Iterator<Item = (String, Reading)> {
    let all: Vec<(Option<&Command>, &Command)> = all().collect();
    readings.into_iter().map(move |reading| (full_name(all[reading.number]), reading))
}

/// The command of this name, in whatever case it is written.
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let mut slot = home(name);
    loop {
        let command = COMMANDS[usize::from(SLOTS[slot].checked_sub(1)?)];
        if command.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(command);
        }
        slot = (slot + 1) % SLOTS.len();
    }
}

/// Slot → 1 + position in [`COMMANDS`], 0 = empty. A name stands in its home slot or in the next free one.
static SLOTS: [u8; 512] = slots();

const fn slots() -> [u8; 512] {
    let mut slots = [0; 512];
    let mut index = 0;
    let mut number = 1;
    while index < COUNT {
        let mut slot = home(COMMANDS[index].name.as_bytes());
        while slots[slot] != 0 {
            slot = (slot + 1) % slots.len();
        }
        slots[slot] = number;
        index += 1;
        number += 1;
    }
    slots
}

/// The home slot of a name: its length, first and last bytes, mixed. Setting the bit that tells the cases of a
/// letter apart also changes other bytes, which is harmless: the names are compared afterwards.
#[inline]
const fn home(name: &[u8]) -> usize {
    let word = if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        let [a, b, c, d] = *first;
        let [e, f, g, h] = *last;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    } else {
        match *name {
            [a] => u64::from_le_bytes([a, 0, 0, 0, 0, 0, 0, 0]),
            [a, b] => u64::from_le_bytes([a, b, 0, 0, 0, 0, 0, 0]),
            [a, b, c] => u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]),
            _ => 0,
        }
    };
    let mixed = ((word | 0x2020_2020_2020_2020) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 55) as usize
}

#[cfg(test)]
mod tests {
    use super::{COMMANDS, SLOTS, home, lookup};

    #[test]
    fn every_command_is_found_in_any_case() {
        for command in COMMANDS {
            let lower = command.name.to_ascii_lowercase();
            let upper = command.name.to_ascii_uppercase();
            let mixed: String = (0_usize..)
                .zip(lower.chars())
                .map(|(i, c)| if i % 2 == 0 { c } else { c.to_ascii_uppercase() })
                .collect();
            for name in [lower, upper, mixed] {
                let found = lookup(name.as_bytes()).expect("a command that is in the table");
                assert!(std::ptr::eq(found, command), "{name}");
            }
        }
    }

    #[test]
    fn nothing_else_is_found() {
        for command in COMMANDS {
            let name = command.name.as_bytes();
            for near in [&name[1..], &name[..name.len() - 1], &[name, b"x"].concat(), &[b" ", name].concat()]
            {
                if let Some(found) = lookup(near) {
                    assert_eq!(found.name.as_bytes(), near);
                }
            }
            // Bytes that differ in the case bit alone are no letters of another case.
            let twisted: Vec<u8> = name
                .iter()
                .map(|byte| if byte.is_ascii_alphabetic() { *byte } else { byte ^ 0x20 })
                .collect();
            if twisted != name {
                assert!(lookup(&twisted).is_none(), "{twisted:?}");
            }
        }
        for name in [&b""[..], b"a", b"ge", b"ge\0", b"GE\x14", b"\xe7\xe5\xf4", &[b'a'; 70_000]] {
            assert!(lookup(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn names_stand_near_home() {
        let mut away = 0;
        for command in COMMANDS {
            let mut slot = home(command.name.as_bytes());
            while !std::ptr::eq(COMMANDS[usize::from(SLOTS[slot]) - 1], command) {
                slot = (slot + 1) % SLOTS.len();
                away += 1;
            }
        }
        assert!(away <= COMMANDS.len() / 2, "{away} steps for {} names", COMMANDS.len());
    }
}
