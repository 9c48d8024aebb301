//! One record per photo, in SQLite.

use std::path::{Path, PathBuf};
use std::time::Duration;

use blake3::Hash;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, named_params, params};

use crate::SearchError;
use crate::filter::Condition;

const SCHEMA: &str = "
BEGIN;
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
COMMIT;
";

const ITEM: &str = "SELECT id, path, size, modified_ns, blake3, width, height, taken_at, camera, caption, vector_row, moment FROM items";

const UPSERT: &str = "
INSERT INTO items (id, path, size, modified_ns, caption_stamp, blake3, width, height, taken_at, camera, caption, vector_row,
                   state, reason)
VALUES (:id, :path, :size, :modified_ns, :caption_stamp, :blake3, :width, :height, :taken_at, :camera, :caption, :vector_row,
        :state, :reason)
ON CONFLICT (path) DO UPDATE SET
  size = excluded.size, modified_ns = excluded.modified_ns, caption_stamp = excluded.caption_stamp,
  blake3 = excluded.blake3, width = excluded.width, height = excluded.height,
  taken_at = excluded.taken_at, camera = excluded.camera, caption = excluded.caption,
  vector_row = excluded.vector_row,
  state = excluded.state, reason = excluded.reason";

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

impl Records {
    /// Opens the records for writing, and makes them if they are not there.
    pub(crate) fn open_or_create(path: &Path) -> Found<Self> {
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // Committed must mean on disk, even when the power fails.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(SCHEMA)?;
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
        let opened = shared().or_else(|error: rusqlite::Error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly)
                if path.exists() =>
            {
                immutable()
            }
            _ => Err(error),
        });
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
            let live = live.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok((rows, live, generation))
        };
        self.check(read())
    }

    /// Photos that can be found.
    pub(crate) fn count(&self) -> Found<usize> {
        let count = "SELECT count(*) FROM items WHERE vector_row IS NOT NULL";
        self.check(self.connection.query_row(count, [], |row| row.get(0)))
    }

    /// Photos that could not be decoded.
    pub(crate) fn broken(&self) -> Found<usize> {
        let count = "SELECT count(*) FROM items WHERE state = 'broken'";
        self.check(self.connection.query_row(count, [], |row| row.get(0)))
    }

    /// What SQLite finds wrong with its file.
    pub(crate) fn damage(&self) -> Found<Vec<String>> {
        let said = self.texts("PRAGMA integrity_check", params![])?;
        Ok(said
            .into_iter()
            .filter(|line| line != "ok")
            .map(|line| format!("records: {line}"))
            .collect())
    }

    /// The items that share a vector row, by path.
    pub(crate) fn items_at_row(&self, row: usize) -> Found<Vec<Item>> {
        self.items("WHERE vector_row = ?1 ORDER BY path", params![row])
    }

    /// The item of this id.
    pub(crate) fn item(&self, id: &str) -> Found<Option<Item>> {
        let found = self.items("WHERE id = ?1 AND state = 'ready'", params![id])?;
        Ok(found.into_iter().next())
    }

    /// Items by path, those after `path`, at most `limit`.
    pub(crate) fn items_after(&self, path: &str, limit: usize) -> Found<Vec<Item>> {
        let condition = "WHERE path > ?1 AND state = 'ready' ORDER BY path LIMIT ?2";
        self.items(condition, params![path, limit])
    }

    /// The items that share a vector row and pass a filter, by path.
    pub(crate) fn items_where(&self, row: usize, condition: &Condition) -> Found<Vec<Item>> {
        let sql = format!("WHERE vector_row = ? AND {} ORDER BY path", condition.sql);
        let row = Value::from(row as i64);
        let values = std::iter::once(&row).chain(&condition.values);
        let read = || {
            let mut statement = self.connection.prepare_cached(&format!("{ITEM} {sql}"))?;
            statement.query_map(rusqlite::params_from_iter(values), item_of_row)?.collect()
        };
        self.check(read())
    }

    /// In ascending order the rows of the items that pass a filter.
    pub(crate) fn rows_where(&self, condition: &Condition) -> Found<Vec<usize>> {
        let sql = format!(
            "SELECT DISTINCT vector_row FROM items WHERE vector_row IS NOT NULL AND {} ORDER BY vector_row",
            condition.sql
        );
        let read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let values = rusqlite::params_from_iter(&condition.values);
            statement.query_map(values, |row| row.get(0))?.collect()
        };
        self.check(read())
    }

    /// Shows items that pass a filter by time, the latest or the earliest first, those after a time and id, until `see`
    /// has seen enough.
    pub(crate) fn by_moment(
        &self,
        newest: bool,
        after: Option<(&str, &str)>,
        condition: &Condition,
        mut see: impl FnMut(Item) -> bool,
    ) -> Found<()> {
        let (order, comparison) = if newest { ("DESC", "<") } else { ("ASC", ">") };
        let (moment, id) = after.unwrap_or(if newest { ("~", "") } else { ("", "") });
        let sql = format!(
            "{ITEM} WHERE vector_row IS NOT NULL AND (moment, id) {comparison} (?, ?) AND {} \
             ORDER BY moment {order}, id {order}",
            condition.sql
        );
        let ends = [moment, id].map(|text| Value::from(text.to_owned()));
        let mut read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let values = ends.iter().chain(&condition.values);
            let mut rows = statement.query(rusqlite::params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                if !see(item_of_row(row)?) {
                    break;
                }
            }
            Ok(())
        };
        let result = read();
        self.check(result)
    }

    /// Tags of the item at a path, in order.
    pub(crate) fn tags(&self, path: &str) -> Found<Vec<String>> {
        self.texts("SELECT tag FROM tags WHERE path = ?1 ORDER BY tag", params![path])
    }

    /// The first column of what a query finds.
    pub(crate) fn texts(&self, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Found<Vec<String>> {
        let read = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map(params, |row| row.get(0))?.collect()
        };
        self.check(read())
    }

    /// Gives each of these paths these tags and no others, at once or not at all.
    pub(crate) fn set_tags(&mut self, tags: &[(String, Vec<String>)]) -> Found<()> {
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for (path, tags) in tags {
                transaction.prepare_cached("DELETE FROM tags WHERE path = ?1")?.execute([path])?;
                let mut insert =
                    transaction.prepare_cached("INSERT OR IGNORE INTO tags VALUES (?1, ?2)")?;
                tags.iter().try_for_each(|tag| insert.execute([path, tag]).map(drop))?;
            }
            transaction.commit()
        };
        let result = write(&mut self.connection);
        self.check(result)
    }

    fn items(&self, condition: &str, params: &[&dyn rusqlite::ToSql]) -> Found<Vec<Item>> {
        let read = || {
            let mut statement = self.connection.prepare_cached(&format!("{ITEM} {condition}"))?;
            statement.query_map(params, item_of_row)?.collect()
        };
        self.check(read())
    }

    /// What is known of this content from any photo that has it.
    pub(crate) fn content(&self, blake3: &Hash) -> Found<Option<Content>> {
        let read = || {
            let mut statement = self.connection.prepare_cached(
                "SELECT width, height, taken_at, camera, vector_row FROM items \
                 WHERE blake3 = ?1 AND state = 'ready' LIMIT 1",
            )?;
            let content = |row: &Row<'_>| {
                Ok(Content {
                    width: row.get(0)?,
                    height: row.get(1)?,
                    taken_at: row.get(2)?,
                    camera: row.get(3)?,
                    vector_row: row.get(4)?,
                })
            };
            statement.query_row([blake3.as_bytes()], content).optional()
        };
        self.check(read())
    }

    /// Calls `see` with every record, by path in order of bytes.
    pub(crate) fn for_each(&self, mut see: impl FnMut(Known)) -> Found<()> {
        let mut read = || {
            let mut statement = self.connection.prepare(
                "SELECT id, path, size, modified_ns, caption_stamp, reason FROM items ORDER BY path",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (size, modified_ns, caption) = (row.get(2)?, row.get(3)?, row.get(4)?);
                let stamp = Stamp { size, modified_ns, caption };
                see(Known { id: row.get(0)?, path: row.get(1)?, stamp, broken: row.get(5)? });
            }
            Ok(())
        };
        let result = read();
        self.check(result)
    }

    /// Writes records, and the number of rows that are now committed, at once or not at all.
    pub(crate) fn commit(&mut self, items: &[NewItem], rows: usize) -> Found<()> {
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            items.iter().try_for_each(|item| upsert(&transaction, item))?;
            transaction.execute("UPDATE vectors SET rows = ?1", [rows])?;
            transaction.commit()
        };
        let result = write(&mut self.connection);
        self.check(result)
    }

    /// Deletes the records of these rows, at once or not at all. Returns how many there were.
    pub(crate) fn delete_rows(&mut self, rows: &[usize]) -> Found<usize> {
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            let mut deleted = 0;
            for row in rows {
                let mut delete =
                    transaction.prepare_cached("DELETE FROM items WHERE vector_row = ?1")?;
                deleted += delete.execute([row])?;
            }
            transaction.commit()?;
            Ok(deleted)
        };
        let result = write(&mut self.connection);
        self.check(result)
    }

    /// Gives the rows of `live`, in ascending order, the numbers from 0 on in another generation, at once or not at all.
    pub(crate) fn renumber(&mut self, live: &[usize], generation: u32) -> Found<()> {
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for (new, old) in live.iter().enumerate().filter(|(new, old)| new != *old) {
                // Ascending, so that a number is free before it is given again.
                let sql = "UPDATE items SET vector_row = ?1 WHERE vector_row = ?2";
                transaction.prepare_cached(sql)?.execute([&new, old])?;
            }
            let sql = "UPDATE vectors SET rows = ?1, generation = ?2";
            transaction.execute(sql, params![live.len(), generation])?;
            transaction.commit()
        };
        let result = write(&mut self.connection);
        self.check(result)
    }

    /// Deletes records, at once or not at all.
    pub(crate) fn delete(&mut self, ids: &[String]) -> Found<()> {
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for id in ids {
                transaction.prepare_cached("DELETE FROM items WHERE id = ?1")?.execute([id])?;
            }
            transaction.commit()
        };
        let result = write(&mut self.connection);
        self.check(result)
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

fn upsert(connection: &Connection, item: &NewItem) -> rusqlite::Result<()> {
    let content = item.content.as_ref();
    let id = &blake3::hash(item.path.as_bytes()).to_hex()[..16];
    connection.prepare_cached(UPSERT)?.execute(named_params! {
        ":id": id,
        ":path": item.path,
        ":size": item.stamp.size,
        ":modified_ns": item.stamp.modified_ns,
        ":caption_stamp": item.stamp.caption,
        ":blake3": item.blake3.as_ref().map(|hash| hash.as_bytes()),
        ":width": content.ok().map(|content| content.width),
        ":height": content.ok().map(|content| content.height),
        ":taken_at": content.ok().and_then(|content| content.taken_at.as_ref()),
        ":camera": content.ok().and_then(|content| content.camera.as_ref()),
        ":caption": item.caption,
        ":vector_row": content.ok().map(|content| content.vector_row),
        ":state": if content.is_ok() { "ready" } else { "broken" },
        ":reason": content.err(),
    })?;
    Ok(())
}

fn item_of_row(row: &Row<'_>) -> rusqlite::Result<Item> {
    let blake3: [u8; 32] = row.get(4)?;
    Ok(Item {
        id: row.get(0)?,
        path: row.get(1)?,
        size: row.get(2)?,
        modified_ns: row.get(3)?,
        blake3: Hash::from(blake3).to_hex().to_string(),
        width: row.get(5)?,
        height: row.get(6)?,
        taken_at: row.get(7)?,
        camera: row.get(8)?,
        caption: row.get(9)?,
        vector_row: row.get(10)?,
        moment: row.get(11)?,
    })
}
