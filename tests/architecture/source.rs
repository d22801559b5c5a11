//! The package's sources as text: files, modules, words and the paths they name. Knows as much of Rust's grammar as
//! that takes, and no rule.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file.
pub(crate) struct Source {
    /// From the package's root.
    pub(crate) path: PathBuf,
    /// `engine::uring::probe`; `main` for the program, empty for the crate's root.
    pub(crate) module: String,
    pub(crate) text: String,
    /// The text with comments and string contents blanked, line by line as in the file.
    pub(crate) code: String,
}

impl Source {
    /// The module under the crate's root that it belongs to.
    pub(crate) fn top(&self) -> &str {
        self.module.split("::").next().unwrap_or_default()
    }

    /// Number of the line, counted from 1, that holds the byte at `offset`.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// The code that ships: all before the unit tests, which come last in a file or have one of their own.
    pub(crate) fn shipped(&self) -> &str {
        if self.module.split("::").any(|name| name == "tests") {
            return "";
        }
        self.code.find("#[cfg(test)]").map_or(&self.code, |tests| &self.code[..tests])
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `dir` with this extension, in order; those of others, which a build leaves, not among them.
pub(crate) fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for entry in entries {
        let path = entry.expect("a directory can be listed").path();
        if path.is_dir() {
            // What cargo marks its output with.
            if path.join("CACHEDIR.TAG").exists() {
                continue;
            }
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Every file of `src`.
pub(crate) fn sources() -> Vec<Source> {
    let src = root().join("src");
    let found: Vec<Source> = files(&src, "rs")
        .into_iter()
        .map(|path| {
            let text = read(&path);
            let inside = path.strip_prefix(&src).expect("it was found there").with_extension("");
            let mut parts: Vec<&str> = inside.iter().filter_map(|part| part.to_str()).collect();
            if parts.last().is_some_and(|last| ["mod", "lib"].contains(last)) {
                parts.pop();
            }
            let path = path.strip_prefix(root()).expect("src is in the package").to_owned();
            Source { path, module: parts.join("::"), code: blank(&text), text }
        })
        .collect();
    assert!(found.len() > 10, "the sources were found");
    found
}

/// Replaces comments, and what stands in strings and characters, by blanks; line ends stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + token_to_blank(&bytes[at..], at > 0 && is_word(bytes[at - 1]));
        if end == at {
            at += 1;
            continue;
        }
        code[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8(code).expect("whole characters were blanked")
}

/// Length of the comment, string or character literal that `rest` begins with, 0 if it begins with none.
fn token_to_blank(rest: &[u8], inside_word: bool) -> usize {
    let until = |from: usize, end: &[u8]| {
        rest[from..]
            .windows(end.len())
            .position(|window| window == end)
            .map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with(b"//") {
        return rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return until(2, b"*/");
    }
    let prefix =
        if inside_word { 0 } else { rest.iter().take(2).take_while(|byte| b"br".contains(byte)).count() };
    let hashes = rest[prefix..].iter().take_while(|&&byte| byte == b'#').count();
    let raw = rest[..prefix].contains(&b'r');
    let opened = rest.get(prefix + hashes) == Some(&b'"');
    if opened && raw {
        return until(prefix + hashes + 1, &[b"\"", &b"#".repeat(hashes)[..]].concat());
    }
    if opened && hashes == 0 {
        return prefix + 1 + quoted(&rest[prefix + 1..], b'"');
    }
    // A quote opens a character, unless it opens a lifetime: then no second quote follows the next character.
    match rest {
        [b'\'', b'\\', ..] => 1 + quoted(&rest[1..], b'\''),
        [b'\'', first, ..] => {
            let width = first.leading_ones().max(1) as usize;
            if rest.get(1 + width) == Some(&b'\'') { 2 + width } else { 0 }
        }
        _ => 0,
    }
}

/// Length up to and with the closing quote, backslashes skipping what they escape.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `word` stands in `code` as a word of its own. An end that is no letter borders on anything.
pub(crate) fn words<'c>(code: &'c str, word: &'c str) -> impl Iterator<Item = usize> + 'c {
    let bytes = code.as_bytes();
    let borders =
        |inside: u8, outside: Option<&u8>| !is_word(inside) || outside.is_none_or(|&byte| !is_word(byte));
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).and_then(|index| bytes.get(index));
        let end = at + word.len();
        borders(bytes[at], before) && borders(bytes[end - 1], bytes.get(end))
    })
}

/// The paths that stand at `text`, just after a `crate::` or `super::`: one, or each of a `{…}` group.
fn paths_at(text: &str) -> Vec<String> {
    let text = text.trim_start();
    let Some(group) = text.strip_prefix('{') else {
        let name_end = text.bytes().position(|byte| !is_word(byte)).unwrap_or(text.len());
        let (name, rest) = text.split_at(name_end);
        let Some(below) = rest.strip_prefix("::") else { return vec![name.to_owned()] };
        return paths_at(below).iter().map(|path| format!("{name}::{path}")).collect();
    };
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b',' | b'}' if depth == 0 => {
                found.extend(paths_at(&group[start..at]).into_iter().filter(|path| !path.is_empty()));
                start = at + 1;
                if byte == b'}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

/// Every path of the crate that a file names, from the crate's root, and where.
pub(crate) fn named_paths(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for root in ["crate::", "tallyring::"] {
        for at in words(&source.code, root) {
            let paths = paths_at(&source.code[at + root.len()..]);
            found.extend(paths.into_iter().map(|path| (at, path)));
        }
    }
    for at in words(&source.code, "super::").filter(|&at| !source.code[..at].ends_with("super::")) {
        let mut rest = &source.code[at..];
        // Inline modules, such as the unit tests, are one deeper than their file.
        let inline = source.code[..at].contains("#[cfg(test)]");
        let mut base: Vec<&str> = source.module.split("::").filter(|part| !part.is_empty()).collect();
        if inline {
            base.push("tests");
        }
        while let Some(below) = rest.strip_prefix("super::") {
            base.pop();
            rest = below;
        }
        found.extend(paths_at(rest).into_iter().map(|path| {
            let path = base.iter().copied().chain([path.as_str()]).collect::<Vec<_>>().join("::");
            (at, path)
        }));
    }
    found
}

/// Whether `path` is `module` or below it.
pub(crate) fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn comments_and_strings_are_not_code() {
    let text = "a // unsafe\n\"unsafe \\\" unsafe\" b 'x' '\\'' 'a str r#\"unsafe\"unsafe\"# b\"\\\\\" /* unsafe */ c";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "'a", "str", "c"]);
    assert_eq!(words("unsafe_code unsafe { x } deny(unsafe)", "unsafe").count(), 2);
}

#[test]
fn import_groups_are_taken_apart() {
    assert_eq!(paths_at("a::{b, c::{d, e}, self}; f"), ["a::b", "a::c::d", "a::c::e", "a::self"]);
    assert_eq!(paths_at("limits::BLOCK_BYTES + 1"), ["limits::BLOCK_BYTES"]);
    assert_eq!(paths_at("{\n    a,\n    b::C,\n}"), ["a", "b::C"]);
    let code = "use super::Value; use super::super::limits;".to_owned();
    let source =
        Source { path: PathBuf::new(), module: "table::effect".to_owned(), text: String::new(), code };
    let paths: Vec<String> = named_paths(&source).into_iter().map(|(_, path)| path).collect();
    assert_eq!(paths, ["table::Value", "limits"]);
}
