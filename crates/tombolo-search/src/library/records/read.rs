//! What searches and indexing ask of the records.

use std::collections::HashMap;

use blake3::Hash;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params};

use super::{Content, Found, Item, Known, Records, Stamp};
use crate::filter::Condition;

const ITEM: &str = "SELECT id, path, size, modified_ns, blake3, width, height, taken_at, camera, caption, vector_row, moment FROM items";

impl Records {
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

    /// Check sums of the rows of a generation, as far as they are known: a library may be older than they are.
    pub(crate) fn sums(&self, generation: u32) -> Found<HashMap<usize, i64>> {
        let read = || {
            let is_there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sums'";
            if !self.connection.prepare(is_there)?.exists([])? {
                return Ok(HashMap::new());
            }
            let sql = "SELECT vector_row, sum FROM sums WHERE generation = ?1";
            let mut sums = self.connection.prepare_cached(sql)?;
            sums.query_map([generation], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        self.check(read())
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

    /// Shows the row of each item that passes a filter, in no order.
    pub(crate) fn rows_of_items(
        &self,
        condition: &Condition,
        mut see: impl FnMut(usize),
    ) -> Found<()> {
        let sql = format!(
            "SELECT vector_row FROM items WHERE vector_row IS NOT NULL AND {}",
            condition.sql
        );
        let mut read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query(rusqlite::params_from_iter(&condition.values))?;
            while let Some(row) = rows.next()? {
                see(row.get(0)?);
            }
            Ok(())
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
