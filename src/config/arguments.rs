//! The command line: groups `--name value …` as Redis does, and lets clap judge names and print help. Knows of a
//! directive only its name and help.

use super::error::{ConfigError, Origin};
use super::kind::{Forced, ForcedRung};
use super::source::Line;
use super::table::SECTIONS;
use super::value::{self, Fault};
use super::{directive, foreign, words};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction};
use std::ffi::OsString;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Did what it was asked to, an orderly shutdown included.
    Ok,
    /// Could not start or could not go on.
    Failure,
    /// The command line or a configuration file is wrong.
    Usage,
    /// The journal could not be written or synced.
    Journal,
    /// A data directory is damaged.
    Damaged,
}

impl Exit {
    /// Each of them.
    const ALL: [Self; 5] = [Self::Ok, Self::Failure, Self::Usage, Self::Journal, Self::Damaged];

    /// What the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Journal => 3,
            Self::Damaged => 4,
        }
    }

    /// For `--help`, here and of the tools.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Failure => "cannot start or cannot go on",
            Self::Usage => "the command line or a configuration file is wrong",
            Self::Journal => "the journal could not be written or synced",
            Self::Damaged => "the data directory is damaged",
        }
    }
}

/// What the command line asks for.
pub(super) enum Request {
    /// Print this and end.
    Print(String),
    /// Read the configuration.
    Configure {
        /// The configuration file.
        file: Option<String>,
        /// The flags that are directives, in their order.
        flags: Vec<Line>,
        /// Stop after checking.
        check_only: bool,
        /// What a test makes the engine do with.
        forced: Forced,
    },
}

/// `--name` and the words that belong to it.
struct Flag {
    name: String,
    words: Vec<String>,
}

const CHECK: &str = "check-config";

/// Flags for tests: neither directives nor in `--help`.
const RUNG: &str = "force-rung";
const ENTRIES: &str = "force-entries";

/// Reads the arguments after the program's name.
pub(super) fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Request, ConfigError> {
    let (mut file, mut flags) = group(argv)?;
    let matches = match command().try_get_matches_from(for_clap(file.as_deref(), &flags)) {
        Ok(matches) => matches,
        Err(error) => return refused(&error),
    };
    for flag in flags.extract_if(.., |flag| flag.name == CHECK) {
        // `--check-config FILE` is what a hand types.
        for word in flag.words {
            if file.replace(word).is_some() {
                return Err(ConfigError::Usage(format!("--{CHECK}: give one configuration file")));
            }
        }
    }
    let mut forced = Forced::default();
    for Flag { name, words } in flags.extract_if(.., |flag| [RUNG, ENTRIES].contains(&flag.name.as_str())) {
        let reason = |fault: Fault| ConfigError::Usage(format!("--{name}: {}", fault.into_reason()));
        let word = words.join(" ");
        if name == RUNG {
            forced.rung = Some(value::choice(&word, ForcedRung::NAMES).map_err(reason)?);
        } else {
            forced.entries = Some(value::integer(&word, 1..=1024).map_err(reason)?);
        }
    }
    let lines = flags.into_iter().map(|flag| Line {
        origin: Origin::Flag(flag.name.clone()),
        name: flag.name,
        words: flag.words,
    });
    Ok(Request::Configure { file, flags: lines.collect(), check_only: matches.get_flag(CHECK), forced })
}

/// Splits the arguments into the file, which comes first, and flags: what follows `--name` and does not start
/// with `--` belongs to it, so that `--bind -::1` and `--save ""` need no quoting.
fn group(argv: impl IntoIterator<Item = OsString>) -> Result<(Option<String>, Vec<Flag>), ConfigError> {
    let mut file = None;
    let mut flags: Vec<Flag> = Vec::new();
    for argument in argv {
        let argument = argument.into_string().map_err(|raw| {
            ConfigError::Usage(format!(
                "argument '{}' is not UTF-8 text",
                raw.to_string_lossy().escape_debug()
            ))
        })?;
        if let Some(text) = argument.strip_prefix("--") {
            flags.push(flag(text)?);
        } else if let Some(flag) = flags.last_mut() {
            flag.words.push(argument);
        } else if argument == "-h" {
            flags.push(Flag { name: "help".to_owned(), words: Vec::new() });
        } else if argument == "-v" || argument == "-V" {
            flags.push(Flag { name: "version".to_owned(), words: Vec::new() });
        } else if argument.starts_with('-') && argument != "-" {
            let argument = argument.escape_debug();
            return Err(ConfigError::Usage(format!("'{argument}' is no option: they begin with two dashes")));
        } else if let Some(first) = file.replace(argument) {
            let reason = format!("one configuration file at most, and '{}' is one", first.escape_debug());
            return Err(ConfigError::Usage(reason));
        }
    }
    Ok((file, flags))
}

/// Reads what follows `--`: a name, `name=value`, or a whole line in one argument (`"--port 7000"`).
fn flag(text: &str) -> Result<Flag, ConfigError> {
    let end = text.find(|symbol: char| symbol == '=' || symbol.is_ascii_whitespace()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let name = name.to_ascii_lowercase();
    if name.is_empty() {
        return Err(ConfigError::Usage(format!("'--{}' names no directive", text.escape_debug())));
    }
    let words = match rest.strip_prefix('=') {
        Some(value) => vec![value.to_owned()],
        None => words::split(rest.as_bytes()).map_err(|why| ConfigError::Invalid {
            origin: Origin::Flag(name.clone()),
            name: name.clone(),
            reason: why.reason().to_owned(),
        })?,
    };
    Ok(Flag { name, words })
}

/// The arguments as clap can read them. It judges the names; values keep their bounds between words only in
/// [`Flag`], so they are not read back.
fn for_clap(file: Option<&str>, flags: &[Flag]) -> Vec<String> {
    let plain = |name: &str| matches!(name, CHECK | "help" | "version");
    let flags = flags.iter().map(|Flag { name, words }| {
        if plain(name) { format!("--{name}") } else { format!("--{name}={}", words.join(" ")) }
    });
    ["tallyring"].into_iter().chain(file).map(str::to_owned).chain(flags).collect()
}

/// What clap did not take: a wish for help or version, or an unknown name.
fn refused(error: &clap::Error) -> Result<Request, ConfigError> {
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _) => {
            Ok(Request::Print(error.render().to_string()))
        }
        (ErrorKind::UnknownArgument, Some(ContextValue::String(argument))) => {
            let name = argument.trim_start_matches('-').to_owned();
            let suggestion = nearest(&name);
            Err(ConfigError::Unknown { origin: Origin::Flag(name.clone()), name, suggestion })
        }
        _ => {
            let text = error.render().to_string();
            let line = text.lines().next().unwrap_or_default();
            Err(ConfigError::Usage(line.trim_start_matches("error: ").to_owned()))
        }
    }
}

/// The flag that was probably meant.
fn nearest(name: &str) -> Option<&'static str> {
    if strsim::damerau_levenshtein(name, CHECK) <= 2 { Some(CHECK) } else { directive::nearest(name) }
}

/// The command line as clap sees it.
fn command() -> clap::Command {
    let mut command = clap::Command::new("tallyring")
        .version(clap::crate_version!())
        .about("A counter server that speaks the Redis protocol")
        .override_usage("tallyring [FILE] [--DIRECTIVE VALUE...]...")
        .arg(Arg::new("file").value_name("FILE").help(
            "Configuration file in the form of redis.conf, - = standard input; the directives below override it",
        ))
        .arg(
            Arg::new(CHECK)
                .long(CHECK)
                .action(ArgAction::SetTrue)
                .help("Check file and directives, and end without starting"),
        );
    for section in SECTIONS {
        for directive in section.directives {
            let help = format!("{} [default: {}]", directive.help, directive.default);
            command = command.arg(with_value(directive.name).help(help).help_heading(section.title));
        }
    }
    command = command.arg(with_value("include").help("Another configuration file, or several by wildcards"));
    for name in foreign::names().chain([RUNG, ENTRIES]) {
        command = command.arg(with_value(name).hide(true));
    }
    let codes = Exit::ALL.map(|exit| format!("  {}  {}", exit.code(), exit.meaning())).join("\n");
    command.after_help(format!(
        "Each directive is also a line `name value ...` of a file. Directives of Redis that have no meaning here\n\
         are accepted with a warning; those that would promise what this server does not do are refused.\n\n\
         Tools, each with a --help of its own (a configuration file of such a name is ./NAME):\n\
         \x20 check DIR                reads a data directory, and says whether it is whole\n\
         \x20 dump DIR                 prints what it holds\n\
         \x20 backup --from DIR NEW    copies it while its server runs\n\
         \x20 import SOURCE            fills it from an RDB file, or from a running Redis\n\n\
         Exit codes:\n{codes}"
    ))
}

/// A flag with a value, as often as one likes.
fn with_value(name: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("VALUE")
        .num_args(1)
        .allow_hyphen_values(true)
        .action(ArgAction::Append)
}
