//! What is taken from EXIF: which way is up, when, and by which camera.

use exif::{Exif, In, Reader, Tag, Value};

/// Orientation (1 to 8, 1 if unknown), the time of exposure, and the camera.
pub(super) struct Facts {
    pub orientation: u8,
    pub taken_at: Option<String>,
    pub camera: Option<String>,
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
            camera: exif.as_ref().and_then(camera),
        }
    }
}

fn orientation(exif: &Exif) -> Option<u8> {
    let value = exif.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0)?;
    u8::try_from(value).ok().filter(|value| (1..=8).contains(value))
}

/// ISO 8601, with the offset if the camera noted one.
fn taken_at(exif: &Exif) -> Option<String> {
    let mut time = exif::DateTime::from_ascii(ascii(exif, Tag::DateTimeOriginal)?).ok()?;
    if let Some(offset) = ascii(exif, Tag::OffsetTimeOriginal) {
        // A malformed offset leaves the local time, which is still of use.
        let _ = time.parse_offset(offset);
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

/// Make and model, the make left out where the model begins with it, as in `NIKON D90`.
fn camera(exif: &Exif) -> Option<String> {
    let text = |tag| {
        let text = String::from_utf8_lossy(ascii(exif, tag)?);
        let printable = text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned();
        let is_sound = !printable.is_empty() && !printable.chars().any(char::is_control);
        is_sound.then_some(printable)
    };
    match (text(Tag::Make), text(Tag::Model)) {
        (Some(make), Some(model)) => {
            let first = |name: &str| name.split(' ').next().map(str::to_lowercase);
            let repeated = first(&make) == first(&model);
            Some(if repeated { model } else { format!("{make} {model}") })
        }
        (make, model) => model.or(make),
    }
}

fn ascii(exif: &Exif, tag: Tag) -> Option<&[u8]> {
    match &exif.get_field(tag, In::PRIMARY)?.value {
        Value::Ascii(parts) => parts.first().map(Vec::as_slice),
        _ => None,
    }
}
