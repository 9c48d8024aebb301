//! Waiting for photos to change.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecursiveMode, Watcher};
use tombolo_data::image::is_photo;

use super::failure::Misuse;
use crate::library::known_path;

/// How long it must be quiet before a change is taken for done: a copy goes on for a while.
const QUIET: Duration = Duration::from_secs(1);

/// So long after the first change it is looked at in any case: somewhere something is always being written.
const LONGEST: Duration = Duration::from_secs(30);

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

    /// Waits until something has changed and it has been quiet since, or has not been for long. False once nothing can change
    /// any more.
    pub fn wait(&self) -> bool {
        match self.changes.recv_timeout(PATIENCE) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        settle(&self.changes, QUIET, LONGEST);
        true
    }

    /// Lets the next wait end at once, but for the quiet.
    pub fn again(&self) {
        let _ = self.again.send(());
    }
}

/// Takes up changes until none comes for as long as `quiet`, or `longest` is over.
fn settle(changes: &Receiver<()>, quiet: Duration, longest: Duration) {
    let end = Instant::now() + longest;
    while Instant::now() < end && changes.recv_timeout(quiet).is_ok() {}
}

/// Whether something that may be a photo, its caption or a folder was written, moved or removed outside of the library; or
/// nobody knows, because there was more news than could be kept.
fn is_change(event: &Event, library: &Path) -> bool {
    if event.need_rescan() {
        return true;
    }
    let written = match event.kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    // What is gone may have been a folder, whatever its name.
    let gone = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
    let matters = |path: &PathBuf| {
        let caption = path.extension().is_none_or(|ending| ending.eq_ignore_ascii_case("txt"));
        !path.starts_with(library) && (gone || caption || is_photo(path) || path.is_dir())
    };
    written && event.paths.iter().any(matters)
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, Flag, RenameMode};

    use super::*;

    #[test]
    fn what_never_falls_quiet_is_looked_at_nevertheless() {
        let (sender, changes) = channel();
        let busy = std::thread::spawn(move || {
            for _ in 0..2_000 {
                if sender.send(()).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let started = Instant::now();
        settle(&changes, Duration::from_secs(2), Duration::from_millis(200));
        assert!(started.elapsed() < Duration::from_secs(5), "the noise lasts twice as long");
        drop(changes);
        busy.join().unwrap();
    }

    #[test]
    fn photos_captions_folders_and_what_is_not_known_are_changes() {
        let library = Path::new("/photos/.tombolo");
        let created =
            |path: &str| Event::new(EventKind::Create(CreateKind::Any)).add_path(path.into());
        for path in ["/photos/a.jpg", "/photos/a.TXT", "/photos/2024"] {
            assert!(is_change(&created(path), library), "{path}");
        }
        for path in ["/photos/server.log", "/photos/.tombolo/items.sqlite"] {
            assert!(!is_change(&created(path), library), "{path}");
        }
        let moved = EventKind::Modify(ModifyKind::Name(RenameMode::From));
        assert!(is_change(&Event::new(moved).add_path("/photos/2024.05".into()), library));
        assert!(is_change(&Event::new(EventKind::Other).set_flag(Flag::Rescan), library));
    }
}
