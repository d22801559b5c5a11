//! `tallyring check`: whether a start would load a directory, and what it would find there.

use std::fmt::Write as _;
use std::path::Path;

use super::data::{Data, Read};
use super::{Terminal, ToolError, written};
use crate::journal::snapshot::name_of;
use crate::table::effect::Effect;

/// Names of the kinds of effects, in the order of [`kind_of`].
const KINDS: [&str; 9] =
    ["set", "deadline", "remove", "field", "field removed", "splice", "window bucket", "token", "flush"];

fn kind_of(effect: &Effect<'_>) -> usize {
    match effect {
        Effect::Set { .. } => 0,
        Effect::Deadline { .. } => 1,
        Effect::Remove { .. } => 2,
        Effect::Field { .. } => 3,
        Effect::RemoveField { .. } => 4,
        Effect::Splice { .. } => 5,
        Effect::Bucket { .. } => 6,
        Effect::Token { .. } => 7,
        Effect::Flush => 8,
    }
}

/// Checks the directory at `path`.
pub(super) fn run(path: &Path, terminal: &mut Terminal<'_>) -> Result<(), ToolError> {
    let data = Data::look(path)?;
    let mut kinds = [0; KINDS.len()];
    let read = data.read(&mut |effect: &Effect<'_>| kinds[kind_of(effect)] += 1);
    let text = match &read {
        Ok(read) => report(path, read, &kinds),
        Err(_) => format!("{}: damaged\n  readable before   {}\n", path.display(), counted(&kinds)),
    };
    match read {
        Err(error) if error.exit != crate::config::Exit::Damaged => Err(error),
        _ => written(terminal.out.write_all(text.as_bytes())).and(read.map(|_| ())),
    }
}

/// Effects by kind.
fn counted(kinds: &[u64]) -> String {
    let all: u64 = kinds.iter().sum();
    let mut text = format!("{all} changes");
    for (place, (count, name)) in kinds.iter().zip(KINDS).filter(|(count, _)| **count > 0).enumerate() {
        let separator = if place == 0 { ": " } else { ", " };
        write!(text, "{separator}{count} {name}").expect("a string can be written to");
    }
    text
}

fn report(path: &Path, read: &Read, kinds: &[u64]) -> String {
    let Read { snapshot, log } = read;
    let report = &log.report;
    let snapshot = snapshot.as_ref().map_or_else(
        || "none".to_owned(),
        |it| {
            let (start, end) = (it.head.start, it.end);
            let (name, totals) = (name_of(start), &it.totals);
            format!("{name}: {} keys, {} tokens, positions {start} to {end}", totals.keys, totals.tokens)
        },
    );
    let tail = match &report.cut {
        None => "nothing is cut".to_owned(),
        Some(cut) => format!(
            "{} bytes of {} from byte {} on would be cut: they were written and never synced{}",
            cut.bytes,
            cut.path.display(),
            cut.offset,
            if cut.groups > 0 {
                format!(" ({} groups among them are whole)", cut.groups)
            } else {
                String::new()
            }
        ),
    };
    let mut ring = match report.ring_frames {
        0 => "nothing that the files lack".to_owned(),
        frames => format!("{frames} frames that a killed server had not yet written to files"),
    };
    if report.ring_holes > 0 {
        write!(ring, ", {} bytes that were not complete", report.ring_holes)
            .expect("a string can be written to");
    }
    let lost = report.lost.map_or(String::new(), |(from, to)| {
        format!(
            "  lost              positions {from} to {to}: written, never synced, and gone with the power\n"
        )
    });
    format!(
        "{}: fine\n  last position     {}\n  snapshot          {snapshot}\n  segments          {}\n  bytes             {}\n  frames            {}\n  \
         effects           {}\n  closed cleanly    {}\n  tail              {tail}\n  log ring          {ring}\n{lost}",
        path.display(),
        log.last(),
        report.files,
        report.bytes,
        report.frames,
        counted(kinds),
        if report.closed { "yes" } else { "no" },
    )
}
