//! Files that are on disk when a function says so.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

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
    let temporary = temporary(path);
    let written = write(&temporary).and_then(|()| Ok(fs::rename(&temporary, path)?));
    if written.is_err() {
        // The first error is the one worth reporting.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    Ok(path.parent().map_or(Ok(()), sync_dir)?)
}

/// A name that no other thread and no other process gives: see [`is_temporary`].
fn temporary(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{count}{TEMPORARY}", std::process::id()));
    PathBuf::from(name)
}

const TEMPORARY: &str = ".tmp";

/// Whether a name is one under which a file of the name `of` was being written.
pub(crate) fn is_temporary(name: &str, of: &str) -> bool {
    name.strip_prefix(of).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(TEMPORARY))
}
