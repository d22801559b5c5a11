//! From arguments to a command, or to the reason why there is none: name, subcommand, number of arguments,
//! length of keys, permission. Runs nothing and allocates nothing.

use arrayvec::ArrayVec;

use crate::limits::KEY_BYTES;
use crate::resp::args::Args;
use crate::resp::encode::Encoder;

use super::acl::Denied;
use super::lookup::lookup;
use super::session::Session;
use super::texts::quotable;
use super::transaction::{ABORTED, is_exec};
use super::{Command, Flags};

/// Bytes of a name and of all arguments together that the error for an unknown command quotes, as in Redis.
const QUOTED: usize = 128;

/// Why a request does not reach a command.
#[derive(Clone, Copy, Debug)]
pub enum Refusal<'a> {
    /// No command of this name; these are all the arguments.
    UnknownCommand(Args<'a>),
    /// The container has no subcommand of this name.
    UnknownSubcommand(&'static Command, &'a [u8]),
    /// Too few or too many arguments for this command, of this container where it is a subcommand.
    Arity(Option<&'static Command>, &'static Command),
    /// A key of so many bytes.
    LongKey(usize),
}

/// Finds the command that `args` name, a subcommand where there is one, and checks that it can be run with
/// them. `args` holds at least the name.
pub fn resolve<'a>(args: &Args<'a>) -> Result<&'static Command, Refusal<'a>> {
    let Some(command) = lookup(args.get(0)) else {
        return Err(Refusal::UnknownCommand(*args));
    };
    let (container, command) = if command.subcommands.is_empty() || args.len() == 1 {
        (None, command)
    } else {
        let name = args.get(1);
        match subcommand(command, name) {
            Some(found) => (Some(command), found),
            None => return Err(Refusal::UnknownSubcommand(command, name)),
        }
    };
    if !command.accepts(args.len()) {
        return Err(Refusal::Arity(container, command));
    }
    // No key of a short request is too long, and most requests are short.
    if args.extent() > KEY_BYTES
        && let Some(key) = command.keys_of(args).find(|key| key.len() > KEY_BYTES)
    {
        return Err(Refusal::LongKey(key.len()));
    }
    Ok(command)
}

/// What can be said of a request of `declared` arguments of which only the first, `args`, have arrived: its command, or
/// why it will be refused. `None`: too early to say.
pub fn foresee<'a>(args: &Args<'a>, declared: usize) -> Result<Option<&'static Command>, Refusal<'a>> {
    let Some(command) = lookup(args.get(0)) else {
        let quoted: usize = args.tail(1).map(|argument| argument.len() + 3).sum();
        // The error quotes arguments, and is the same however the request arrives.
        let enough = quoted >= QUOTED || args.len() == declared;
        return if enough { Err(Refusal::UnknownCommand(*args)) } else { Ok(None) };
    };
    let (container, command) = match (command.subcommands, args.len()) {
        ([], _) => (None, command),
        (_, 1) => return Ok(None),
        _ => match subcommand(command, args.get(1)) {
            Some(found) => (Some(command), found),
            None => return Err(Refusal::UnknownSubcommand(command, args.get(1))),
        },
    };
    if !command.accepts(declared) {
        return Err(Refusal::Arity(container, command));
    }
    Ok(Some(command))
}

/// The length of a key that is too long among `args`, which are a part of a request without its name.
pub fn long_key(command: &Command, args: &Args<'_>) -> Option<usize> {
    let keys = args.tail(0).step_by(command.keys.step);
    keys.map(<[u8]>::len).find(|len| *len > KEY_BYTES)
}

/// What a client is told whose key has `len` bytes.
pub fn long_key_error(len: usize) -> String {
    format!("ERR key is too long ({len} bytes, at most {KEY_BYTES})")
}

/// The subcommand of this name, in whatever case it is written.
pub fn subcommand(container: &'static Command, name: &[u8]) -> Option<&'static Command> {
    container.subcommands.iter().find(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

/// Why a session may not run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// It has not authenticated.
    Stranger,
    /// Its user may not.
    Denied(Denied),
}

impl Forbidden {
    /// The error to reply with.
    pub fn text(self, command: &'static Command) -> String {
        let text = match self {
            Self::Stranger => "NOAUTH Authentication required.".to_owned(),
            Self::Denied(denied) => denied.text(command),
        };
        if is_exec(command) { ABORTED.to_owned() + &text } else { text }
    }
}

/// Whether this session may run this command with these arguments, of which the name is the first.
#[inline]
pub fn permit(session: &Session, command: &'static Command, args: &Args<'_>) -> Result<(), Forbidden> {
    if !session.authenticated && !command.flags.has(Flags::NO_AUTH) {
        Err(Forbidden::Stranger)
    } else if session.user.is_unrestricted() {
        Ok(())
    } else {
        session.user.permits(command, args).map_err(Forbidden::Denied)
    }
}

impl Refusal<'_> {
    /// The command that was meant, where that is known.
    pub fn command(&self) -> Option<&'static Command> {
        match self {
            Self::Arity(_, command) => Some(command),
            Self::UnknownCommand(_) | Self::UnknownSubcommand(..) | Self::LongKey(_) => None,
        }
    }

    /// Replies with the error.
    pub fn encode(&self, reply: &mut Encoder<'_>) {
        match *self {
            Self::UnknownCommand(args) => unknown_command(args, reply),
            Self::UnknownSubcommand(container, name) => {
                let mut upper: ArrayVec<u8, QUOTED> = container.name.bytes().take(QUOTED).collect();
                upper.make_ascii_uppercase();
                reply.error_parts([
                    b"ERR unknown subcommand '".as_slice(),
                    shortened(name, QUOTED),
                    b"'. Try ",
                    &upper,
                    b" HELP.",
                ]);
            }
            Self::Arity(container, command) => {
                let code = if is_exec(command) { ABORTED } else { "ERR " };
                let (container, bar) = container.map_or(("", ""), |container| (container.name, "|"));
                reply.error_parts(
                    [code, "wrong number of arguments for '", container, bar, command.name, "' command"]
                        .map(str::as_bytes),
                );
            }
            Self::LongKey(len) => reply.error(long_key_error(len)),
        }
    }
}

/// At most `limit` bytes of what error texts quote of an argument.
fn shortened(argument: &[u8], limit: usize) -> &[u8] {
    quotable(&argument[..argument.len().min(limit)])
}

fn unknown_command(args: Args<'_>, reply: &mut Encoder<'_>) {
    let head = [
        b"ERR unknown command '".as_slice(),
        shortened(args.get(0), QUOTED),
        b"', with args beginning with: ",
    ];
    // Redis goes on while what it has quoted, quotes and blanks included, is shorter than the bound.
    let mut quoted = 0;
    let quotes = args.tail(1).map_while(|argument| {
        let room = QUOTED.checked_sub(quoted).filter(|room| *room > 0)?;
        let argument = shortened(argument, room);
        quoted += argument.len() + 3;
        Some([b"'".as_slice(), argument, b"' "])
    });
    reply.error_parts(head.into_iter().chain(quotes.flatten()));
}
