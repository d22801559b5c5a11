//! The command lines of the tools, and their help.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::ToolError;
use crate::config::{Config, Exit, Invocation};

/// What is to be done.
#[derive(Debug)]
pub(super) enum Tool {
    /// Print this.
    Help(String),
    /// Say whether a directory is whole.
    Check {
        /// The directory.
        dir: PathBuf,
    },
    /// Print what is in a directory.
    Dump {
        /// The directory.
        dir: PathBuf,
        /// As requests for `redis-cli --pipe`.
        pipe: bool,
    },
    /// Copy a directory whose server may run.
    Backup {
        /// The directory.
        from: PathBuf,
        /// The copy.
        to: PathBuf,
    },
    /// Fill a directory.
    Import(Box<Order>),
}

/// What is to be imported.
#[derive(Debug)]
pub(super) struct Order {
    /// A file, or `redis://…`.
    pub(super) source: String,
    /// The database of it that is taken.
    pub(super) db: u64,
    /// Keys are added to those that are there.
    pub(super) merge: bool,
    /// Where to, and how large its files are.
    pub(super) config: Config,
}

/// The tools, and what each is for.
const TOOLS: [(&str, &str); 4] = [
    (
        "check",
        "Reads the data directory of a server that does not run, changes nothing, and says whether it is whole",
    ),
    (
        "dump",
        "Prints what a start would load from a data directory: key, kind, value and deadline, a line each",
    ),
    (
        "backup",
        "Copies the data directory of a server, which may run: the copy is a directory that a server starts from",
    ),
    (
        "import",
        "Fills a data directory from an RDB file of Redis, or from a running server that speaks its protocol",
    ),
];

/// What the arguments ask for. `None`: the first one names no tool.
pub(super) fn parse(args: &[OsString]) -> Option<Result<Tool, ToolError>> {
    let (name, rest) = args.split_first()?;
    let (name, about) = *TOOLS.iter().find(|(tool, _)| name == tool)?;
    let command = command(name).about(about).disable_version_flag(true);
    if name == "import" {
        return Some(import(command, rest));
    }
    let words = std::iter::once(OsString::from(format!("tallyring {name}"))).chain(rest.iter().cloned());
    Some(match command.try_get_matches_from(words) {
        Ok(matches) => Ok(tool(name, &matches)),
        Err(error) => refused(&error),
    })
}

fn directory(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(name).required(true).value_parser(value_parser!(PathBuf)).help(help)
}

fn command(name: &'static str) -> Command {
    let codes = |codes: &[Exit]| {
        let lines = codes.iter().map(|exit| format!("  {}  {}", exit.code(), exit.meaning()));
        format!("Exit codes:\n{}", lines.collect::<Vec<_>>().join("\n"))
    };
    let reads = codes(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Damaged]);
    let command = Command::new(name).bin_name(format!("tallyring {name}"));
    match name {
        "check" => command.arg(directory("DIR", "The data directory")).after_help(reads),
        "dump" => {
            let pipe = Arg::new("pipe").long("pipe").action(ArgAction::SetTrue);
            let pipe = pipe.help("Print requests for `redis-cli --pipe` instead (SET, HSET, PEXPIREAT)");
            command.arg(directory("DIR", "The data directory")).arg(pipe).after_help(reads)
        }
        "backup" => command
            .arg(directory("from", "The data directory of the server").long("from").value_name("DATADIR"))
            .arg(directory("DIR", "The copy: a directory that is empty, or not there yet"))
            .after_help(format!(
                "Files that do not change any more are linked where both directories are on one file system, and copied\n\
                 elsewhere. The copy has every change that was written when it began; those of the last hundredth of a\n\
                 second may be on their way, unless the server runs with appendfsync always.\n\n{reads}"
            )),
        _ => command
            .override_usage("tallyring import SOURCE [--db N] [--merge] [FILE] [--DIRECTIVE VALUE...]...")
            .arg(Arg::new("SOURCE").help("FILE.rdb, or redis://[[USER]:PASSWORD@]HOST[:PORT]"))
            .arg(Arg::new("FILE").help("Configuration file of the server that is to start"))
            .arg(Arg::new("db").long("db").value_name("N").help("Database of the source [default: 0]"))
            .arg(
                Arg::new("merge")
                    .long("merge")
                    .action(ArgAction::SetTrue)
                    .help("Add to what the data directory holds; keys that are there are replaced"),
            )
            .arg(Arg::new("dir").long("dir").value_name("DIR").help("The data directory, as for the server"))
            .after_help(format!(
                "Counters, strings and hashes are taken, with their deadlines. What has no place here (lists, sets, sorted\n\
                 sets, streams, modules, hashes whose fields have deadlines, other databases, what is longer than\n\
                 proto-max-bulk-len) is left out and counted. No server may use the data directory meanwhile. A password\n\
                 may also stand in the environment, as REDISCLI_AUTH.\n\n{}",
                codes(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Damaged])
            )),
    }
}

fn tool(name: &str, matches: &ArgMatches) -> Tool {
    let path = |name| matches.get_one::<PathBuf>(name).cloned().expect("it is required");
    match name {
        "check" => Tool::Check { dir: path("DIR") },
        "dump" => Tool::Dump { dir: path("DIR"), pipe: matches.get_flag("pipe") },
        _ => Tool::Backup { from: path("from"), to: path("DIR") },
    }
}

/// Help, or what is wrong with the words, in one line.
fn refused(error: &clap::Error) -> Result<Tool, ToolError> {
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelp {
        return Ok(Tool::Help(text));
    }
    // The message is the first paragraph; names of what is missing stand in lines of their own.
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    let line = lines.collect::<Vec<_>>().join(" ");
    Err(ToolError::usage(line.trim_start_matches("error: ")))
}

/// Takes out what belongs to the tool; the rest is a server's command line.
fn import(mut command: Command, args: &[OsString]) -> Result<Tool, ToolError> {
    let (mut merge, mut db, mut rest) = (false, "0".to_owned(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--help" | "-h") => return Ok(Tool::Help(command.render_long_help().to_string())),
            Some("--merge") => merge = true,
            Some("--db") => {
                let number = args.next().and_then(|number| number.to_str());
                db = number.ok_or_else(|| ToolError::usage("--db: give a number"))?.to_owned();
            }
            Some(text) if text.starts_with("--db=") => text["--db=".len()..].clone_into(&mut db),
            _ => rest.push(arg.clone()),
        }
    }
    let db =
        db.parse().map_err(|_| ToolError::usage(format!("--db: '{}' is no number", db.escape_debug())))?;
    let source =
        (!rest.is_empty()).then(|| rest.remove(0)).filter(|word| !word.as_encoded_bytes().starts_with(b"--"));
    let source =
        source.ok_or_else(|| ToolError::usage("import: name a source: FILE.rdb, or redis://HOST:PORT"))?;
    let source =
        source.into_string().map_err(|_| ToolError::usage("import: the source is not UTF-8 text"))?;
    match Config::from_args(rest).map_err(ToolError::usage)? {
        Invocation::Run(config) | Invocation::CheckOnly(config) if config.appendonly => {
            Ok(Tool::Import(Box::new(Order { source, db, merge, config: *config })))
        }
        Invocation::Run(_) | Invocation::CheckOnly(_) => {
            Err(ToolError::usage("import: with appendonly no, a server would load nothing"))
        }
        Invocation::Print(text) => Ok(Tool::Help(text)),
    }
}
