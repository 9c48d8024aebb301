//! Which photos may be found at all.

use rusqlite::types::Value;
use serde::Deserialize;

use crate::SearchError;

/// What a photo must be, by its record. An empty filter lets all pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// A pattern of the whole path: `*` for any characters, `?` for one, `[abc]` for one of these.
    pub path: Option<String>,
    /// A folder that it lies in or below.
    pub folder: Option<String>,
    /// Taken then or later: `2019`, `2019-05`, `2019-05-31` or `2019-05-31T18:03:59`. A photo without a time of
    /// exposure passes no filter by time.
    pub taken_from: Option<String>,
    /// Taken then or before; `2019` includes all of it.
    pub taken_to: Option<String>,
    /// Columns, at least.
    pub min_width: Option<u32>,
    /// Rows, at least.
    pub min_height: Option<u32>,
    /// Which side is longer.
    pub orientation: Option<Orientation>,
    /// What the camera's name contains, in whatever case.
    pub camera: Option<String>,
    /// Tags, all of which it has.
    pub tags: Vec<String>,
}

/// Which side of a photo is longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orientation {
    /// Wider than high.
    Landscape,
    /// Higher than wide.
    Portrait,
    /// As wide as high.
    Square,
}

impl Orientation {
    /// Of width less height.
    pub(crate) fn sign(self) -> i64 {
        match self {
            Self::Landscape => 1,
            Self::Portrait => -1,
            Self::Square => 0,
        }
    }
}

/// A condition of SQL and the values of its question marks.
pub(crate) struct Condition {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
}

/// Tags that a photo may be asked to have.
const MAX_TAGS: usize = 64;
/// Bytes of a pattern, a folder, a camera or a tag.
const MAX_TEXT: usize = 4_096;

impl Filter {
    /// Whether all photos pass.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Makes sure that its times are times, and that it is not longer than a database takes.
    ///
    /// # Errors
    /// [`SearchError::Time`] or [`SearchError::Filter`] naming the field.
    pub fn check(&self) -> Result<(), SearchError> {
        if self.tags.len() > MAX_TAGS {
            let (expected, found) = (format!("at most {MAX_TAGS}"), self.tags.len());
            return Err(SearchError::Filter { field: "tags", expected, found });
        }
        let texts = [("path", &self.path), ("folder", &self.folder), ("camera", &self.camera)];
        let texts = texts.into_iter().filter_map(|(field, text)| Some((field, text.as_ref()?)));
        let texts = texts.chain(self.tags.iter().map(|tag| ("tags", tag)));
        if let Some((field, text)) = texts.into_iter().find(|(_, text)| text.len() > MAX_TEXT) {
            let (expected, found) = (format!("at most {MAX_TEXT} bytes"), text.len());
            return Err(SearchError::Filter { field, expected, found });
        }
        for (field, time) in [("taken_from", &self.taken_from), ("taken_to", &self.taken_to)] {
            if let Some(found) = time.as_ref().filter(|time| !is_time(time)) {
                return Err(SearchError::Time { field, found: found.clone() });
            }
        }
        Ok(())
    }

    /// What SQLite asks of a record; `true` if nothing.
    pub(crate) fn condition(&self) -> Condition {
        let mut condition = Condition { sql: "true".to_owned(), values: Vec::new() };
        let mut add = |sql: &str, value: Value| {
            condition.sql.push_str(" AND ");
            condition.sql.push_str(sql);
            condition.values.push(value);
        };
        if let Some(pattern) = &self.path {
            add("path GLOB ?", pattern.clone().into());
        }
        if let Some(folder) = &self.folder {
            let separator = std::path::MAIN_SEPARATOR;
            let below = format!("{}{separator}", folder.trim_end_matches(separator));
            add("instr(path, ?) = 1", below.into());
        }
        if let Some(time) = &self.taken_from {
            add("substr(taken_at, 1, 19) >= ?", time.clone().into());
        }
        if let Some(time) = &self.taken_to {
            add("substr(taken_at, 1, 19) < ?", format!("{time}~").into());
        }
        if let Some(width) = self.min_width {
            add("width >= ?", i64::from(width).into());
        }
        if let Some(height) = self.min_height {
            add("height >= ?", i64::from(height).into());
        }
        if let Some(orientation) = self.orientation {
            let longer = "(width > height) - (width < height) = ?";
            add(longer, orientation.sign().into());
        }
        if let Some(camera) = &self.camera {
            add("instr(lower(camera), lower(?)) > 0", camera.clone().into());
        }
        for tag in &self.tags {
            let tagged = "EXISTS (SELECT 1 FROM tags WHERE tags.path = items.path AND tag = ?)";
            add(tagged, tag.clone().into());
        }
        condition
    }
}

/// The beginning of an ISO time, cut after one of its parts, each within what a calendar and a clock have.
fn is_time(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00";
    let fits = |(found, form): (u8, &u8)| match form {
        b'0' => found.is_ascii_digit(),
        other => found == *other,
    };
    let in_form = [4, 7, 10, 13, 16, 19].contains(&text.len()) && text.bytes().zip(FORM).all(fits);
    let limits = [(5, 1..=12), (8, 1..=31), (11, 0..=23), (14, 0..=59), (17, 0..=60)];
    let possible = |(start, range): &(usize, std::ops::RangeInclusive<u8>)| {
        text.get(*start..start + 2)
            .is_none_or(|part| part.parse().is_ok_and(|n| range.contains(&n)))
    };
    in_form && limits.iter().all(possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_cut_after_any_part() {
        let good = ["2019", "2019-05", "2019-05-31", "2019-05-31T18", "2019-05-31T18:03:59"];
        assert!(good.iter().all(|time| is_time(time)));
        assert!(!["2020-13-45", "2020-00", "2020-01-01T24"].iter().any(|time| is_time(time)));
        assert!(!["", "19", "2019-5", "31.5.2019", "2019-05-31 18:03"].iter().any(|t| is_time(t)));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let error = toml::from_str::<Filter>("camra = 'x'").unwrap_err();
        assert!(error.to_string().contains("camra"));
    }
}
