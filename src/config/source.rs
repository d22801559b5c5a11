//! Turns configuration files into lines of words, and follows `include`. Knows no other directive.

use super::error::{ConfigError, Origin};
use super::words;
use std::fs::File;
use std::io::{self, Read};

/// Includes inside of includes. A file that includes itself ends here.
const DEPTH: usize = 16;

/// Bytes of one file. The example file of Redis has a hundred thousand.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Lines of all files together: an include of an include of many files multiplies.
const LINES: usize = 1_000_000;

/// One line of configuration.
#[derive(Debug)]
pub(super) struct Line {
    /// Where it stands.
    pub(super) origin: Origin,
    /// The directive's name, in lower case.
    pub(super) name: String,
    /// What follows it.
    pub(super) words: Vec<String>,
}

impl Line {
    /// The error that this line is.
    pub(super) fn invalid(&self, reason: String) -> ConfigError {
        ConfigError::Invalid { origin: self.origin.clone(), name: self.name.clone(), reason }
    }
}

/// The lines of the file that the command line names, `-` being standard input, and of those it includes.
pub(super) fn read(path: &str, lines: &mut Vec<Line>) -> Result<(), ConfigError> {
    let (shown, text) =
        if path == "-" { ("<stdin>", contents(io::stdin().lock())) } else { (path, open(path)) };
    let text = text.map_err(|error| unreadable(None, path, &error))?;
    parse(shown, &text, 0, lines)
}

/// The lines of a file's text, and of those it includes. What cannot be read is left out.
pub(super) fn read_leniently(text: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    for raw in text.split(|byte| *byte == b'\n') {
        // One line at a time: an error ends the line it is in.
        let _unreadable = parse("", raw, 0, &mut lines);
    }
    lines
}

/// Adds a line from the command line, or what it includes.
pub(super) fn push(line: Line, lines: &mut Vec<Line>) -> Result<(), ConfigError> {
    follow(line, 0, lines)
}

/// Adds the lines of a file's text.
fn parse(path: &str, text: &[u8], depth: usize, lines: &mut Vec<Line>) -> Result<(), ConfigError> {
    for (index, raw) in text.split(|byte| *byte == b'\n').enumerate() {
        // A comment has a line of its own: behind a value, `#` is a word like any other.
        if raw.trim_ascii_start().first().is_none_or(|byte| *byte == b'#') {
            continue;
        }
        let origin = Origin::File { path: path.to_owned(), line: index + 1 };
        let mut words = words::split(raw).map_err(|why| invalid(&origin, "", why.reason()))?.into_iter();
        let Some(name) = words.next() else { continue };
        let line = Line { origin, name: name.to_ascii_lowercase(), words: words.collect() };
        follow(line, depth, lines)?;
    }
    Ok(())
}

/// Adds `line`, or in its place the lines it includes.
fn follow(line: Line, depth: usize, lines: &mut Vec<Line>) -> Result<(), ConfigError> {
    if line.name != "include" {
        if lines.len() == LINES {
            return Err(invalid(
                &line.origin,
                &line.name,
                &format!("more than {LINES} lines of configuration"),
            ));
        }
        lines.push(line);
        return Ok(());
    }
    let [path] = line.words.as_slice() else {
        return Err(line.invalid("wrong number of arguments; give one path".to_owned()));
    };
    if depth == DEPTH {
        return Err(
            line.invalid(format!("more than {DEPTH} files inside each other; does one include itself?"))
        );
    }
    for path in expand(path, &line.origin)? {
        let text = open(&path).map_err(|error| unreadable(Some(&line.origin), &path, &error))?;
        parse(&path, &text, depth + 1, lines)?;
    }
    Ok(())
}

/// The files that a path with wildcards stands for, in alphabetical order: none is no error, as in Redis.
/// A path without wildcards stands for itself, relative to the working directory of the process.
fn expand(path: &str, origin: &Origin) -> Result<Vec<String>, ConfigError> {
    if !path.contains(['*', '?', '[']) {
        return Ok(vec![path.to_owned()]);
    }
    let found = glob::glob(path).map_err(|error| invalid(origin, "include", &error.to_string()))?;
    let mut paths = Vec::new();
    for entry in found {
        let entry = entry
            .map_err(|error| unreadable(Some(origin), &error.path().to_string_lossy(), error.error()))?;
        let Some(text) = entry.to_str() else {
            return Err(invalid(origin, "include", &format!("{} is not UTF-8 text", entry.display())));
        };
        paths.push(text.to_owned());
    }
    Ok(paths)
}

/// The contents of a file.
fn open(path: &str) -> io::Result<Vec<u8>> {
    contents(File::open(path)?)
}

/// Everything that `from` has, up to the bound.
fn contents(from: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    from.take(FILE_BYTES + 1).read_to_end(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|bytes| bytes > FILE_BYTES) {
        return Err(io::Error::other(format!("longer than {FILE_BYTES} bytes")));
    }
    Ok(text)
}

fn unreadable(origin: Option<&Origin>, path: &str, error: &io::Error) -> ConfigError {
    ConfigError::Unreadable { origin: origin.cloned(), path: path.to_owned(), reason: error.to_string() }
}

fn invalid(origin: &Origin, name: &str, reason: &str) -> ConfigError {
    ConfigError::Invalid { origin: origin.clone(), name: name.to_owned(), reason: reason.to_owned() }
}
