//! What indexing and maintenance write: each call at once or not at all.

use rusqlite::{Connection, named_params, params};

use super::{Found, NewItem, Records};

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

/// Gives the tags of a record to others of the same bytes that have none.
const HAND_OVER: &str = "\
INSERT OR IGNORE INTO tags SELECT heir.path, tag
FROM items AS gone JOIN tags ON tags.path = gone.path JOIN items AS heir ON heir.blake3 = gone.blake3 AND heir.id <> gone.id
WHERE gone.id = ?1 AND NOT EXISTS (SELECT 1 FROM tags AS own WHERE own.path = heir.path)";

/// The check sum of a row of the present generation, or else this one, for its number in another.
const CARRY_SUM: &str = "\
INSERT OR REPLACE INTO sums VALUES (?1, ?2, coalesce(
  (SELECT sum FROM sums JOIN vectors USING (generation) WHERE vector_row = ?3), ?4))";

impl Records {
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

    /// Writes records, and the check sums of the rows from `first` on, which are now committed, at once or not at all.
    pub(crate) fn commit(&mut self, items: &[NewItem], first: usize, sums: &[i64]) -> Found<()> {
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            items.iter().try_for_each(|item| upsert(&transaction, item))?;
            for (row, sum) in (first..).zip(sums) {
                let sql = "INSERT OR REPLACE INTO sums SELECT generation, ?1, ?2 FROM vectors";
                transaction.prepare_cached(sql)?.execute(params![row, sum])?;
            }
            transaction.execute("UPDATE vectors SET rows = ?1", [first + sums.len()])?;
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

    /// Gives the rows of `live`, in ascending order, the numbers from 0 on in another generation, at once or not at all. A row
    /// keeps its check sum; where none is known, that of `sums` is its first.
    pub(crate) fn renumber(&mut self, live: &[usize], sums: &[i64], generation: u32) -> Found<()> {
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for (new, old) in live.iter().enumerate().filter(|(new, old)| new != *old) {
                // Ascending, so that a number is free before it is given again.
                let sql = "UPDATE items SET vector_row = ?1 WHERE vector_row = ?2";
                transaction.prepare_cached(sql)?.execute([&new, old])?;
            }
            for (new, (old, sum)) in live.iter().zip(sums).enumerate() {
                let values = params![generation, new, old, sum];
                transaction.prepare_cached(CARRY_SUM)?.execute(values)?;
            }
            transaction.execute("DELETE FROM sums WHERE generation <> ?1", [generation])?;
            let sql = "UPDATE vectors SET rows = ?1, generation = ?2";
            transaction.execute(sql, params![live.len(), generation])?;
            transaction.commit()
        };
        let result = write(&mut self.connection);
        self.check(result)
    }

    /// Deletes records, at once or not at all. What else has the same bytes, as a photo has that was renamed, takes over their
    /// tags where it has none.
    pub(crate) fn delete(&mut self, ids: &[String]) -> Found<()> {
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for id in ids {
                transaction.prepare_cached(HAND_OVER)?.execute([id])?;
                transaction.prepare_cached("DELETE FROM items WHERE id = ?1")?.execute([id])?;
            }
            transaction.commit()
        };
        let result = write(&mut self.connection);
        self.check(result)
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
