//! The tools beside the server: what an operator does with a data directory. Each is a word behind the program's name;
//! none of them serves anybody.
//!
//! To read: `arguments` (what each is called with), `data` (a directory of a server that does not run), `check`, `dump`
//! and `quote`, `backup`, `import`.

use std::ffi::OsString;
use std::io::{self, Write};

use crate::config::Exit;

mod arguments;
mod backup;
mod check;
mod data;
mod dump;
pub mod import;

use arguments::Tool;

/// Why a tool could not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolError {
    /// How the process ends.
    pub exit: Exit,
    /// The one line that says why.
    pub line: String,
}

impl ToolError {
    fn failed(why: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Failure, line: why.to_string() }
    }

    fn usage(why: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Usage, line: why.to_string() }
    }
}

/// Where a tool's words go.
pub struct Terminal<'t> {
    /// What was asked for.
    pub out: &'t mut dyn Write,
    /// What there is to say besides.
    pub err: &'t mut dyn Write,
    /// Somebody watches `err` as it comes.
    pub watched: bool,
}

impl std::fmt::Debug for Terminal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("watched", &self.watched).finish_non_exhaustive()
    }
}

impl Terminal<'_> {
    /// Says a line. If even that cannot be said, the exit code must do.
    fn say(&mut self, line: &str) {
        let _ = writeln!(self.err, "tallyring: {line}");
    }
}

/// Runs the tool that the arguments after the program's name ask for. `None`: they name none.
pub fn run(args: &[OsString], terminal: &mut Terminal<'_>) -> Option<Result<(), ToolError>> {
    let tool = match arguments::parse(args)? {
        Ok(tool) => tool,
        Err(error) => return Some(Err(error)),
    };
    Some(match tool {
        Tool::Help(text) => written(terminal.out.write_all(text.as_bytes())),
        Tool::Check { dir } => check::run(&dir, terminal),
        Tool::Dump { dir, pipe } => dump::run(&dir, pipe, terminal),
        Tool::Backup { from, to } => backup::run(&from, &to, terminal),
        Tool::Import(order) => import::run(&order, terminal),
    })
}

/// What became of writing on standard output. A reader that went away wanted no more.
fn written(result: io::Result<()>) -> Result<(), ToolError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(ToolError::failed(format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
