//! Waiting for photos to change.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecursiveMode, Watcher};

use super::failure::Misuse;
use crate::library::known_path;

/// How long it must be quiet before a change is taken for done: a copy goes on for a while.
const QUIET: Duration = Duration::from_secs(1);

/// Without news it is looked anyway this often: network drives tell nothing.
const PATIENCE: Duration = Duration::from_secs(600);

/// Folders and photos that are watched.
pub struct Watch {
    changes: Receiver<()>,
    again: Sender<()>,
    _watcher: notify::RecommendedWatcher,
}

impl Watch {
    /// Watches paths, folders with all that is below them, but not the library itself.
    pub fn start(paths: &[PathBuf], library: &Path) -> anyhow::Result<Self> {
        let (again, changes) = channel();
        let sender = again.clone();
        // Events name files below the paths that are watched, so these and the library are spelled alike.
        let library = known_path(library)?;
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_change(&event, &library)) {
                // There is nobody to tell once the program ends.
                let _ = sender.send(());
            }
        })?;
        for path in paths {
            watcher.watch(&known_path(path)?, RecursiveMode::Recursive).map_err(|error| {
                let what = format!("{}: cannot be watched: {error}", path.display());
                Misuse::new(what, "index without --watch, or raise the system's limit of watches")
            })?;
        }
        Ok(Self { changes, again, _watcher: watcher })
    }

    /// Waits until something has changed and it has been quiet since. False once nothing can change any more.
    pub fn wait(&self) -> bool {
        match self.changes.recv_timeout(PATIENCE) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        while self.changes.recv_timeout(QUIET).is_ok() {}
        true
    }

    /// Lets the next wait end at once, but for the quiet.
    pub fn again(&self) {
        let _ = self.again.send(());
    }
}

/// Whether something was written, moved or removed outside of the library.
fn is_change(event: &Event, library: &Path) -> bool {
    let written = match event.kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    written && event.paths.iter().any(|path| !path.starts_with(library))
}
