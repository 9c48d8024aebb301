//! The two things that are taken from EXIF: which way is up, and when.

use exif::{Exif, In, Reader, Tag, Value};

/// Orientation (1 to 8, 1 if unknown) and the time of exposure.
pub(super) struct Facts {
    pub orientation: u8,
    pub taken_at: Option<String>,
}

impl Facts {
    /// Reads a raw EXIF block; one that is damaged says nothing.
    pub fn read(raw: Option<Vec<u8>>) -> Self {
        let exif = raw.and_then(|raw| {
            let mut reader = Reader::new();
            reader.continue_on_error(true);
            reader.read_raw(raw).or_else(|error| error.distill_partial_result(|_| {})).ok()
        });
        Self {
            orientation: exif.as_ref().and_then(orientation).unwrap_or(1),
            taken_at: exif.as_ref().and_then(taken_at),
        }
    }
}

fn orientation(exif: &Exif) -> Option<u8> {
    let value = exif.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0)?;
    u8::try_from(value).ok().filter(|value| (1..=8).contains(value))
}

/// ISO 8601, with the offset if the camera noted one.
fn taken_at(exif: &Exif) -> Option<String> {
    let ascii = |tag| match &exif.get_field(tag, In::PRIMARY)?.value {
        Value::Ascii(parts) => parts.first().cloned(),
        _ => None,
    };
    let mut time = exif::DateTime::from_ascii(&ascii(Tag::DateTimeOriginal)?).ok()?;
    if let Some(offset) = ascii(Tag::OffsetTimeOriginal) {
        // A malformed offset leaves the local time, which is still of use.
        let _ = time.parse_offset(&offset);
    }
    if !(1..=12).contains(&time.month) || !(1..=31).contains(&time.day) {
        return None;
    }
    let mut iso = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        time.year, time.month, time.day, time.hour, time.minute, time.second
    );
    if let Some(minutes) = time.offset {
        let sign = if minutes < 0 { '-' } else { '+' };
        let minutes = minutes.unsigned_abs();
        iso.push_str(&format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
    }
    Some(iso)
}
