//! Files that are on disk when a function says so.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How names of files end that are being written.
const TEMPORARY: &str = ".tmp";

/// No file takes so long to be written.
const FORSAKEN: Duration = Duration::from_secs(24 * 3600);

/// Makes the names in a folder survive a power failure.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    // Windows has no such call: there, the file system's journal keeps names.
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// Writes a file whole or not at all: temporary name, fsync, rename. Two that write the same file do not meet.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    through_temporary(path, |temporary| {
        let mut file = File::create(temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    })
}

/// Renames what `write` has put on disk under the name that it is given; nothing is left of it if it fails.
pub(crate) fn through_temporary<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    remove_forsaken(path);
    let temporary = temporary(path);
    let written = write(&temporary).and_then(|()| Ok(fs::rename(&temporary, path)?));
    if written.is_err() {
        // The first error is the one worth reporting.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    Ok(path.parent().map_or(Ok(()), sync_dir)?)
}

/// A name that no other thread, process or machine gives but by chance: see [`is_temporary`].
fn temporary(path: &Path) -> PathBuf {
    // The standard library's only source of what differs from process to process and call to call.
    let random = RandomState::new().hash_one(std::process::id());
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{random:016x}{TEMPORARY}"));
    PathBuf::from(name)
}

/// Removes what writers of the same file left that were killed more than a day ago.
fn remove_forsaken(path: &Path) {
    let (Some(parent), Some(of)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
        return;
    };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        let ours = entry.file_name().to_str().is_some_and(|name| is_temporary(name, of));
        if ours && age().is_some_and(|age| age > FORSAKEN) {
            // Another may be faster.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes a folder, if it is there. What a search beside this puts in after it was listed, is removed too.
pub(crate) fn remove_folder(dir: &Path) -> io::Result<()> {
    let mut attempts = 3;
    loop {
        attempts -= 1;
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && attempts > 0 => {}
            done => return done,
        }
    }
}

/// Whether a name is one under which a file of the name `of` was being written.
pub(crate) fn is_temporary(name: &str, of: &str) -> bool {
    name.strip_prefix(of).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(TEMPORARY))
}
