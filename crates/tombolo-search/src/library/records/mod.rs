//! One record per photo, in SQLite.

mod read;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use blake3::Hash;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::SearchError;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS items (
  id          TEXT PRIMARY KEY,
  path        TEXT NOT NULL UNIQUE,
  size        INTEGER NOT NULL,
  modified_ns INTEGER NOT NULL,
  caption_stamp INTEGER,
  blake3      BLOB,
  width       INTEGER,
  height      INTEGER,
  taken_at    TEXT,
  camera      TEXT,
  caption     TEXT,
  vector_row  INTEGER,
  state       TEXT NOT NULL CHECK (state IN ('ready', 'broken')),
  reason      TEXT,
  -- When it was taken, or else last changed.
  moment      TEXT AS (coalesce(substr(taken_at, 1, 19), strftime('%Y-%m-%dT%H:%M:%S', modified_ns / 1000000000, 'unixepoch'))) STORED,
  CHECK ((state = 'ready') = (vector_row IS NOT NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS items_by_row ON items (vector_row) WHERE vector_row IS NOT NULL;
CREATE INDEX IF NOT EXISTS items_by_content ON items (blake3);
CREATE INDEX IF NOT EXISTS items_by_moment ON items (moment, id) WHERE vector_row IS NOT NULL;
CREATE TABLE IF NOT EXISTS tags (path TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (path, tag)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS paths_by_tag ON tags (tag);
CREATE TABLE IF NOT EXISTS vectors (
  only       INTEGER PRIMARY KEY CHECK (only = 0),
  rows       INTEGER NOT NULL,
  generation INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO vectors VALUES (0, 0, 0);
-- Of vectors as they were written. Those of another generation say nothing.
CREATE TABLE IF NOT EXISTS sums (
  generation INTEGER NOT NULL,
  vector_row INTEGER NOT NULL,
  sum        INTEGER NOT NULL,
  PRIMARY KEY (generation, vector_row)
) STRICT, WITHOUT ROWID;
";

/// What is known of a photo in the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Stays the same while the path does: 16 hexadecimal digits of the path's BLAKE3.
    pub id: String,
    /// Absolute path of the file, or the name of an embedded picture.
    pub path: String,
    /// Bytes of the file.
    pub size: u64,
    /// When the file was last changed, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// BLAKE3 of the content, in hexadecimal.
    pub blake3: String,
    /// Columns, upright.
    pub width: u32,
    /// Rows, upright.
    pub height: u32,
    /// EXIF time of exposure in ISO 8601.
    pub taken_at: Option<String>,
    /// Make and model of the camera, from EXIF.
    pub camera: Option<String>,
    /// First line of the `.txt` beside it, or as given.
    pub caption: Option<String>,
    /// Where its raw vector is.
    pub(crate) vector_row: usize,
    /// When it was taken, or else last changed: what photos are sorted by.
    pub(crate) moment: String,
}

/// What shows, without reading a file, that it has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size: u64,
    pub(crate) modified_ns: i64,
    /// The same of the caption.
    pub(crate) caption: Option<i64>,
}

/// What follows from a photo's bytes alone, so that equal bytes need be encoded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) taken_at: Option<String>,
    pub(crate) camera: Option<String>,
    pub(crate) vector_row: usize,
}

/// A record to write.
#[derive(Debug, Clone)]
pub(crate) struct NewItem {
    pub(crate) path: String,
    pub(crate) stamp: Stamp,
    pub(crate) blake3: Option<Hash>,
    pub(crate) caption: Option<String>,
    /// The content, or why there is none.
    pub(crate) content: Result<Content, String>,
}

/// A record as the next indexing looks at it.
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) stamp: Stamp,
    /// Why the photo is left out, if it is.
    pub(crate) broken: Option<String>,
}

/// A connection to `items.sqlite`.
pub(crate) struct Records {
    path: PathBuf,
    connection: Connection,
}

type Found<T> = Result<T, SearchError>;

fn cannot_write(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly))
}

/// Refuses records whose last commits are in the write-ahead log alone: read as they are, they would lack these.
fn refuse_unread_log(path: &Path) -> Found<()> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match Path::new(&log).metadata().is_ok_and(|log| log.len() > 0) {
        true => Err(SearchError::UnreadLog { path: PathBuf::from(log) }),
        false => Ok(()),
    }
}

impl Records {
    /// Opens the records for writing, and makes them if they are not there.
    pub(crate) fn open_or_create(path: &Path) -> Found<Self> {
        let open = || {
            let mut connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // Committed must mean on disk, even when the power fails.
            connection.pragma_update(None, "synchronous", "FULL")?;
            // Readers lock for a moment too, when they mend the log's index. Only who asks at the beginning may wait for them.
            connection.set_transaction_behavior(TransactionBehavior::Immediate);
            let transaction = connection.transaction()?;
            transaction.execute_batch(SCHEMA)?;
            transaction.commit()?;
            Ok(connection)
        };
        Self::opened(path, open())
    }

    /// Opens the records for reading, from a read-only medium too.
    pub(crate) fn open(path: &Path) -> Found<Self> {
        // Readers of a write-ahead log share an index file, so they too open for writing, if they may.
        let shared = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.pragma_update(None, "query_only", true)?;
            connection.query_row("SELECT rows FROM vectors", [], |_| Ok(()))?;
            Ok(connection)
        };
        let immutable = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            let connection = Connection::open_with_flags(immutable_uri(path), flags)?;
            connection.query_row("SELECT rows FROM vectors", [], |_| Ok(()))?;
            Ok(connection)
        };
        let opened = match shared() {
            Err(error) if cannot_write(&error) && path.exists() => {
                refuse_unread_log(path)?;
                immutable()
            }
            opened => opened,
        };
        Self::opened(path, opened)
    }

    fn opened(path: &Path, connection: rusqlite::Result<Connection>) -> Found<Self> {
        match connection {
            Ok(connection) => Ok(Self { path: path.to_owned(), connection }),
            Err(source) => Err(SearchError::Records { path: path.to_owned(), source }),
        }
    }

    fn check<T>(&self, result: rusqlite::Result<T>) -> Found<T> {
        result.map_err(|source| SearchError::Records { path: self.path.clone(), source })
    }

    /// Changes when another connection has committed.
    pub(crate) fn version(&self) -> Found<i64> {
        self.check(self.connection.pragma_query_value(None, "data_version", |row| row.get(0)))
    }

    /// Committed rows of the segments: a row once given is never given again.
    pub(crate) fn rows(&self) -> Found<usize> {
        self.check(self.connection.query_row("SELECT rows FROM vectors", [], |row| row.get(0)))
    }

    /// Which folder of vectors the rows lie in.
    pub(crate) fn generation(&self) -> Found<u32> {
        let generation = "SELECT generation FROM vectors";
        self.check(self.connection.query_row(generation, [], |row| row.get(0)))
    }

    /// Committed rows, in ascending order those that an item refers to, and the generation, as of one moment.
    pub(crate) fn live_rows(&self) -> Found<(usize, Vec<usize>, u32)> {
        let read = || {
            let moment = self.connection.unchecked_transaction()?;
            let (rows, generation) =
                moment.query_row("SELECT rows, generation FROM vectors", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let mut live = moment.prepare_cached(
                "SELECT DISTINCT vector_row FROM items WHERE vector_row IS NOT NULL \
                 ORDER BY vector_row",
            )?;
            let mut live = live.query_map([], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
            // A damaged index says what it likes, in any order.
            live.sort_unstable();
            live.dedup();
            Ok((rows, live, generation))
        };
        self.check(read())
    }
}

/// SQLite's name for a file that nobody changes, so that it needs no lock and no index file.
fn immutable_uri(path: &Path) -> String {
    let name = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    if cfg!(windows) {
        format!("file:/{}?immutable=1", name.replace('\\', "/"))
    } else {
        format!("file:{name}?immutable=1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_waits_for_who_locks_for_a_moment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("items.sqlite");
        drop(Records::open_or_create(&path).unwrap());
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        std::thread::scope(|scope| {
            let opening = scope.spawn(|| Records::open_or_create(&path).map(drop));
            std::thread::sleep(Duration::from_millis(200));
            assert!(!opening.is_finished(), "it waits");
            other.execute_batch("COMMIT").unwrap();
            opening.join().unwrap().unwrap();
        });
    }

    #[test]
    fn commits_that_are_in_the_log_alone_are_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("items.sqlite");
        let log = dir.path().join("items.sqlite-wal");
        refuse_unread_log(&path).unwrap();
        std::fs::write(&log, "").unwrap();
        refuse_unread_log(&path).unwrap();
        std::fs::write(&log, "commits").unwrap();
        let error = refuse_unread_log(&path).unwrap_err();
        assert!(error.hint().unwrap().contains("where it may be written"), "{error}");
    }
}
