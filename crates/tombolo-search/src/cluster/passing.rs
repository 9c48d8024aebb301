//! A filter in the words of a cluster.

use rusqlite::Connection;

use super::schema;
use crate::{Filter, SearchError};

/// Which photos pass a filter: first by an expression that lets all of them through and few others, then by a look at each.
///
/// A pattern of Milvus knows `%` and `_` alone, and servers differ in how to write these two themselves. So the
/// expression asks for less, any character in their place, and what comes back is compared with the pattern that the
/// user gave, by the same rules as in a library on disk.
pub(super) struct Passing {
    expression: String,
    path: Option<String>,
    camera: Option<String>,
    sqlite: Option<Connection>,
}

impl Passing {
    pub(super) fn new(filter: &Filter) -> Result<Self, SearchError> {
        let sqlite = match filter.path {
            Some(_) => Some(Connection::open_in_memory().map_err(failed)?),
            None => None,
        };
        let camera = filter.camera.as_ref().map(|camera| camera.to_ascii_lowercase());
        Ok(Self { expression: expression(filter)?, path: filter.path.clone(), camera, sqlite })
    }

    /// For the server; empty if all photos pass.
    pub(super) fn expression(&self) -> &str {
        &self.expression
    }

    /// Whether a photo that passed the expression passes the filter; `camera` in lower case.
    pub(super) fn holds(&self, path: &str, camera: &str) -> Result<bool, SearchError> {
        if self.camera.as_ref().is_some_and(|part| !camera.contains(part.as_str())) {
            return Ok(false);
        }
        let (Some(pattern), Some(sqlite)) = (&self.path, &self.sqlite) else { return Ok(true) };
        let glob = || {
            let mut statement = sqlite.prepare_cached("SELECT ?1 GLOB ?2")?;
            statement.query_row([path, pattern.as_str()], |row| row.get(0))
        };
        glob().map_err(failed)
    }
}

fn failed(source: rusqlite::Error) -> SearchError {
    SearchError::Records { path: ":memory:".into(), source }
}

/// Two expressions of which both must hold.
pub(super) fn both(a: &str, b: &str) -> String {
    match (a, b) {
        ("", only) | (only, "") => only.to_owned(),
        _ => format!("{a} and {b}"),
    }
}

/// A string in an expression, its quotation marks included.
///
/// # Errors
/// [`SearchError::Inexpressible`] for a zero byte, which no string of a server holds.
pub(super) fn quoted(field: &'static str, text: &str) -> Result<String, SearchError> {
    if text.contains('\0') {
        return Err(SearchError::Inexpressible { field, found: text.to_owned() });
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

/// `field in ["…", "…"]`.
pub(super) fn one_of(field: &'static str, texts: &[String]) -> Result<String, SearchError> {
    let quoted = texts.iter().map(|text| quoted(field, text)).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("{field} in [{}]", quoted.join(", ")))
}

fn expression(filter: &Filter) -> Result<String, SearchError> {
    let mut parts = Vec::new();
    if let Some(pattern) = &filter.path {
        parts.push(format!("path like {}", quoted("path", &wildcards(pattern))?));
    }
    if let Some(folder) = &filter.folder {
        parts.push(below(folder)?);
    }
    if let Some(time) = &filter.taken_from {
        parts.push(format!("taken_at >= {}", quoted("taken_from", time)?));
    }
    if let Some(time) = &filter.taken_to {
        // What is unknown is empty, and would come before all times.
        let end = quoted("taken_to", &format!("{time}~"))?;
        parts.push(format!("taken_at > \"\" and taken_at < {end}"));
    }
    if let Some(width) = filter.min_width {
        parts.push(format!("width >= {width}"));
    }
    if let Some(height) = filter.min_height {
        parts.push(format!("height >= {height}"));
    }
    if let Some(orientation) = filter.orientation {
        let comparison = ["<", "==", ">"][(orientation.sign() + 1) as usize];
        parts.push(format!("width {comparison} height"));
    }
    if let Some(camera) = &filter.camera {
        let part: String = camera.to_ascii_lowercase().chars().map(plain).collect();
        let pattern = quoted("camera", &format!("%{part}%"))?;
        parts.push(format!("camera > \"\" and {} like {pattern}", schema::CAMERA_KEY));
    }
    for tag in &filter.tags {
        parts.push(format!("json_contains(tags, {})", quoted("tags", tag)?));
    }
    Ok(parts.join(" and "))
}

/// All paths in a folder or below it: those from `FOLDER/` on, before the first that begins with another character in the
/// place of the separator.
fn below(folder: &str) -> Result<String, SearchError> {
    let separator = std::path::MAIN_SEPARATOR;
    let next = char::from(separator as u8 + 1);
    let folder = folder.trim_end_matches(separator);
    let first = quoted("folder", &format!("{folder}{separator}"))?;
    let end = quoted("folder", &format!("{folder}{next}"))?;
    Ok(format!("path >= {first} and path < {end}"))
}

/// What stands for a character in a pattern of Milvus: itself, or any where it would mean something else.
fn plain(c: char) -> char {
    if matches!(c, '%' | '_' | '\\') { '_' } else { c }
}

/// A pattern of Milvus that all paths match which match this one of `*`, `?` and `[…]`.
fn wildcards(pattern: &str) -> String {
    let mut wildcards = String::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            // Of `?`, servers may count bytes; a class may name characters of several.
            '*' | '?' => wildcards.push('%'),
            '[' => {
                wildcards.push('%');
                skip_class(&mut rest);
            }
            c => wildcards.push(plain(c)),
        }
    }
    wildcards
}

/// Goes on after the `]` of a class; one that stands first belongs to it. Without one, nothing matches, whatever is asked.
fn skip_class(rest: &mut std::str::Chars<'_>) {
    let mut ahead = rest.clone();
    let mut first = ahead.next();
    if first == Some('^') {
        first = ahead.next();
    }
    if first.is_some() {
        ahead.by_ref().find(|&c| c == ']');
    }
    *rest = ahead;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Orientation;

    fn of(filter: Filter) -> String {
        Passing::new(&filter).unwrap().expression().to_owned()
    }

    #[test]
    fn strings_cannot_end_early() {
        assert_eq!(quoted("x", "plain dog").unwrap(), r#""plain dog""#);
        assert_eq!(quoted("x", r#"a" or "b"#).unwrap(), r#""a\" or \"b""#);
        assert_eq!(quoted("x", r"C:\photos\").unwrap(), r#""C:\\photos\\""#);
        assert_eq!(quoted("x", "a\nb\rc\td").unwrap(), r#""a\nb\rc\td""#);
        assert_eq!(quoted("x", r#"\"; drop"#).unwrap(), r#""\\\"; drop""#);
        assert_eq!(quoted("x", "it's 100% {x} $meta ü").unwrap(), "\"it's 100% {x} $meta ü\"");
        assert!(matches!(quoted("x", "a\0b"), Err(SearchError::Inexpressible { field: "x", .. })));
        let ids = ["a".to_owned(), "b\"".to_owned()];
        assert_eq!(one_of("id", &ids).unwrap(), r#"id in ["a", "b\""]"#);
    }

    #[test]
    fn every_field_has_its_words() {
        assert_eq!(of(Filter::default()), "");
        let filter = Filter {
            folder: Some("/photos/a\"b/".to_owned()),
            taken_from: Some("2019".to_owned()),
            taken_to: Some("2020-05".to_owned()),
            min_width: Some(640),
            min_height: Some(480),
            orientation: Some(Orientation::Landscape),
            camera: Some("Canon_5\\D%".to_owned()),
            tags: vec!["a\"".to_owned(), "b".to_owned()],
            ..Filter::default()
        };
        let expected = r#"path >= "/photos/a\"b/" and path < "/photos/a\"b0" and taken_at >= "2019" and taken_at > "" and taken_at < "2020-05~" and width >= 640 and height >= 480 and width > height and camera > "" and camera_key like "%canon_5_d_%" and json_contains(tags, "a\"") and json_contains(tags, "b")"#;
        assert_eq!(of(filter), expected.replace('/', std::path::MAIN_SEPARATOR_STR));
    }

    #[test]
    fn a_pattern_asks_for_no_more_than_it_says() {
        for (pattern, asked) in [
            ("/a/*.jpg", "/a/%.jpg"),
            ("/a/IMG_?.jpg", "/a/IMG_%.jpg"),
            ("100%\\*", "100__%"),
            ("a[]x]b", "a%b"),
            ("a[^]x]b", "a%b"),
            ("a[0-9]b[", "a%b%"),
        ] {
            assert_eq!(wildcards(pattern), asked, "{pattern}");
        }
    }

    #[test]
    fn a_look_at_each_decides() {
        let filter = Filter {
            path: Some("/a/IMG_[0-9]?.jpg".to_owned()),
            camera: Some("EOS_5".to_owned()),
            ..Filter::default()
        };
        let passing = Passing::new(&filter).unwrap();
        assert!(passing.holds("/a/IMG_1ü.jpg", "canon eos_5").unwrap());
        assert!(!passing.holds("/a/IMGx1ü.jpg", "canon eos_5").unwrap());
        assert!(!passing.holds("/a/IMG_ü1.jpg", "canon eos_5").unwrap());
        assert!(!passing.holds("/a/IMG_1ü.jpg", "canon eos 5").unwrap());
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        for filter in [
            Filter { path: Some("a\0".to_owned()), ..Filter::default() },
            Filter { tags: vec!["\0".to_owned()], ..Filter::default() },
        ] {
            assert!(matches!(Passing::new(&filter), Err(SearchError::Inexpressible { .. })));
        }
    }

    #[test]
    fn two_expressions_are_one() {
        assert_eq!(both("", ""), "");
        assert_eq!(both("a", ""), "a");
        assert_eq!(both("", "b"), "b");
        assert_eq!(both("a", "b"), "a and b");
    }
}
