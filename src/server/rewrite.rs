//! Writes a file anew so that it is the old one or the new one, whenever the power goes. Knows no directive.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, fchown};

/// Gives a file the text that `edit` makes of its own; one that is gone begins empty.
///
/// Mode and owner stay as they are, and a symbolic link stays one.
pub(super) fn rewrite(path: &Path, edit: impl FnOnce(&[u8]) -> Vec<u8>) -> io::Result<()> {
    let path = existing(path)?;
    let old = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let new = edit(&old);
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from_raw_os_error(Errno::EISDIR as i32));
    };
    let mut beside = name.to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = dir.join(beside);
    let written = write(&beside, &path, &new).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // The file is as it was; what was to replace it is of no use.
        let _gone = fs::remove_file(&beside);
        return written;
    }
    File::open(dir)?.sync_all()
}

/// Where the file itself is that a path names.
fn existing(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(path.to_owned()),
        found => found,
    }
}

/// Writes and syncs a file that takes the place of `path`.
fn write(beside: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let before = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        metadata => Some(metadata?),
    };
    match fs::remove_file(beside) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // What an attempt left that was cut off.
        removed => removed?,
    }
    // What holds a password is not to be read by others, not even for a moment.
    let mode = if before.is_some() { 0o600 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(beside)?;
    file.write_all(text)?;
    if let Some(before) = before {
        let owner = (Uid::from_raw(before.uid()), Gid::from_raw(before.gid()));
        match fchown(&file, Some(owner.0), Some(owner.1)) {
            // Only a privileged process gives files away; its own it keeps.
            Ok(()) | Err(Errno::EPERM) => {}
            Err(errno) => return Err(errno.into()),
        }
        file.set_permissions(Permissions::from_mode(before.mode() & 0o7777))?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::rewrite;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    /// A directory of its own for each test.
    fn dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("tallyring-rewrite-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn mode_and_link_stay() {
        let dir = dir("mode");
        let (file, link) = (dir.join("t.conf"), dir.join("link.conf"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        rewrite(&link, |old| [old, b" and new"].concat()).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"old and new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing is left beside it");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_file_that_is_gone_begins_anew() {
        let dir = dir("gone");
        rewrite(&dir.join("t.conf"), |old| {
            assert!(old.is_empty());
            b"new".to_vec()
        })
        .unwrap();
        assert_eq!(fs::read(dir.join("t.conf")).unwrap(), b"new");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn where_nothing_can_be_written_nothing_changes() {
        let dir = dir("failed");
        let error = rewrite(&dir.join("missing/t.conf"), |_| b"new".to_vec()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(2));
        assert!(rewrite(&dir, |_| unreachable!("a directory is not read")).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
