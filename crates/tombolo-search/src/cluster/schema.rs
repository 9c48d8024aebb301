//! The fields of a collection, and how records become their columns and come back.

use milvus::v2::error::Result as Answer;
use milvus::v2::{CollectionSchema, DataType, FieldData, FieldSchema, ResultRow};
use serde_json::Value;

use crate::Item;

pub(super) const VECTOR: &str = "vector";
/// The camera in lower case, to look for.
pub(super) const CAMERA_KEY: &str = "camera_key";
/// What changes with anything that is known of a photo.
pub(super) const DIGEST: &str = "digest";

/// What a record is read from.
pub(super) const RECORD: [&str; 12] = [
    "id",
    "path",
    "blake3",
    "size",
    "modified_ns",
    "width",
    "height",
    "taken_at",
    "moment",
    "camera",
    "caption",
    "row",
];

/// What decides whether and where a photo comes.
pub(super) const GLANCE: [&str; 5] = ["id", "path", CAMERA_KEY, "moment", "row"];

const MAX_TEXT: u32 = 65_535;
/// Longer captions are cut: an answer of many records must fit a message.
const MAX_CAPTION: u32 = 4_096;
const MAX_NAME: u32 = 1_024;
const MAX_KEY: u32 = 64;

/// A photo as a cluster keeps it.
pub(super) struct Photo {
    pub(super) item: Item,
    pub(super) tags: Vec<String>,
    pub(super) digest: String,
    /// After the map.
    pub(super) vector: Vec<f32>,
}

/// A photo as a search first sees it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Glance {
    pub(super) id: String,
    pub(super) path: String,
    /// In lower case; empty if it is not known.
    pub(super) camera: String,
    pub(super) moment: String,
    pub(super) row: usize,
    pub(super) score: f32,
}

/// Texts are empty where nothing is known.
pub(super) fn schema(dim: usize) -> CollectionSchema {
    let text = |name: &str, max_length: u32| {
        FieldSchema::new().name(name).data_type(DataType::VarChar).max_length(max_length)
    };
    let number = |name: &str| FieldSchema::new().name(name).data_type(DataType::Int64);
    let vector = FieldSchema::new().name(VECTOR).data_type(DataType::FloatVector);
    let tags = FieldSchema::new().name("tags").data_type(DataType::Json);
    CollectionSchema::new().enable_dynamic_field(false).fields(vec![
        text("id", MAX_KEY).primary_key(true),
        vector.dimension(dim as u32),
        text("path", MAX_TEXT),
        text("blake3", MAX_KEY),
        number("size"),
        number("modified_ns"),
        number("width"),
        number("height"),
        text("taken_at", MAX_KEY),
        text("moment", MAX_KEY),
        text("camera", MAX_NAME),
        text(CAMERA_KEY, MAX_NAME),
        text("caption", MAX_CAPTION),
        tags,
        number("row"),
        text(DIGEST, MAX_KEY),
    ])
}

pub(super) fn columns(photos: &[Photo]) -> Vec<FieldData> {
    let text = |name: &str, of: &dyn Fn(&Item) -> String| {
        FieldData::varchar(name, photos.iter().map(|photo| of(&photo.item)).collect())
    };
    let number = |name: &str, of: &dyn Fn(&Item) -> i64| {
        FieldData::int64(name, photos.iter().map(|photo| of(&photo.item)).collect())
    };
    let camera = |item: &Item| cut(item.camera.as_deref(), MAX_NAME);
    vec![
        text("id", &|item| item.id.clone()),
        FieldData::float_vector(VECTOR, photos.iter().map(|photo| photo.vector.clone()).collect()),
        text("path", &|item| item.path.clone()),
        text("blake3", &|item| item.blake3.clone()),
        number("size", &|item| item.size as i64),
        number("modified_ns", &|item| item.modified_ns),
        number("width", &|item| i64::from(item.width)),
        number("height", &|item| i64::from(item.height)),
        text("taken_at", &|item| cut(item.taken_at.as_deref(), MAX_KEY)),
        text("moment", &|item| item.moment.clone()),
        text("camera", &camera),
        text(CAMERA_KEY, &|item| camera(item).to_ascii_lowercase()),
        text("caption", &|item| cut(item.caption.as_deref(), MAX_CAPTION)),
        FieldData::json("tags", photos.iter().map(|photo| photo.tags.clone().into()).collect()),
        number("row", &|item| item.vector_row as i64),
        FieldData::varchar(DIGEST, photos.iter().map(|photo| photo.digest.clone()).collect()),
    ]
}

/// Reads what [`RECORD`] asked for.
pub(super) fn item(row: &ResultRow<'_>) -> Answer<Item> {
    let text = |name: &str| row.get_str(name).map(str::to_owned);
    let known = |name: &str| text(name).map(|text| Some(text).filter(|text| !text.is_empty()));
    Ok(Item {
        id: text("id")?,
        path: text("path")?,
        size: row.get_i64("size")? as u64,
        modified_ns: row.get_i64("modified_ns")?,
        blake3: text("blake3")?,
        width: row.get_i64("width")? as u32,
        height: row.get_i64("height")? as u32,
        taken_at: known("taken_at")?,
        camera: known("camera")?,
        caption: known("caption")?,
        vector_row: row.get_i64("row")? as usize,
        moment: text("moment")?,
    })
}

/// Reads what [`GLANCE`] asked for.
pub(super) fn glance(row: &ResultRow<'_>, score: f32) -> Answer<Glance> {
    Ok(Glance {
        id: row.get_str("id")?.to_owned(),
        path: row.get_str("path")?.to_owned(),
        camera: row.get_str(CAMERA_KEY)?.to_owned(),
        moment: row.get_str("moment")?.to_owned(),
        row: row.get_i64("row")? as usize,
        score,
    })
}

pub(super) fn tags(row: &ResultRow<'_>) -> Answer<Vec<String>> {
    let texts = row.get_json("tags")?.as_array().into_iter().flatten();
    Ok(texts.filter_map(Value::as_str).map(str::to_owned).collect())
}

/// So much of a text as a field holds.
fn cut(text: Option<&str>, max_bytes: u32) -> String {
    let text = text.unwrap_or_default();
    let mut end = text.len().min(max_bytes as usize);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut(Some("daß"), 3), "da");
        assert_eq!(cut(Some("daß"), 4), "daß");
        assert_eq!(cut(None, 4), "");
    }

    #[test]
    fn there_is_a_column_for_each_field() {
        let fields = schema(2);
        let fields: Vec<&str> = fields.get_fields().iter().map(|field| field.get_name()).collect();
        let columns = columns(&[]);
        assert_eq!(columns.iter().map(FieldData::name).collect::<Vec<_>>(), fields);
        assert!(RECORD.iter().chain(&GLANCE).all(|name| fields.contains(name)));
    }
}
