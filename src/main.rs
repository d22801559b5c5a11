//! The server's command line: arguments, start, exit codes. Knows what to say when a start is refused, and nothing
//! about serving.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use tallyring::config::{Config, Exit, Invocation};
use tallyring::tools::{self, Terminal};
use tallyring::{logging, server};

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    if let Some(exit) = run_tool(&args) {
        return ExitCode::from(exit.code());
    }
    let exit = match Config::from_args(args) {
        Ok(Invocation::Run(config)) => run(*config),
        Ok(Invocation::CheckOnly(config)) => check(&config),
        Ok(Invocation::Print(text)) => print(&text),
        Err(error) => {
            complain(&error.to_string());
            Exit::Usage
        }
    };
    ExitCode::from(exit.code())
}

/// Runs the tool that the arguments name. `None`: they name none.
fn run_tool(args: &[OsString]) -> Option<Exit> {
    let (out, err) = (&mut io::stdout(), &mut io::stderr());
    let watched = err.is_terminal();
    let outcome = tools::run(args, &mut Terminal { out, err, watched })?;
    Some(outcome.map_or_else(
        |error| {
            complain(&error.line);
            error.exit
        },
        |()| Exit::Ok,
    ))
}

/// Says whether a server would start with this configuration, as far as that can be told without starting one.
fn check(config: &Config) -> Exit {
    for warning in &config.warnings {
        complain(warning);
    }
    match server::check(config) {
        Ok(()) => print("configuration is fine\n"),
        Err(error) => {
            complain(&error.to_string());
            Exit::Usage
        }
    }
}

/// Serves until told to stop.
fn run(config: Config) -> Exit {
    if let Err(error) = logging::start(config.loglevel, config.log_format, config.logfile.as_deref()) {
        let path = config.logfile.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
        if config.logfile.is_some() {
            complain(&format!("cannot write to logfile '{}': {error}", path.escape_debug()));
        } else {
            complain(&format!("cannot write to the system's journal: {error} (remedy: another log-format)"));
        }
        return Exit::Failure;
    }
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    // The server itself: everything from here on is its story.
    let elsewhere = config.logfile.is_some();
    match server::run(config) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            log::error!("{error}");
            // Whoever started it by hand looks here, not into the file.
            if elsewhere {
                complain(&error.to_string());
            }
            error.exit()
        }
    }
}

/// Prints on standard output. A reader that went away wanted no more.
fn print(text: &str) -> Exit {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => {
            complain(&format!("cannot write to standard output: {error}"));
            Exit::Failure
        }
    }
}

/// Says one line on standard error; if even that is gone, the exit code must do.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "tallyring: {line}");
}
