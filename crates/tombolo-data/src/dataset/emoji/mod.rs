//! The embedded emoji set: Twemoji's pictures with names, keywords and short codes.
//!
//! Pictures are those of the crate `twemoji-assets` (CC-BY 4.0, see [`CREDIT`]), texts those of
//! `emoji` (Unicode CLDR) and `emojis` (GitHub's short codes). An id is the code points in
//! hexadecimal, as in `1f469-1f3fd-200d-1f692`. An emoji and its variants in other skin tones share
//! one label, the name of the one without a tone.

mod held_out;
mod texts;

use std::collections::BTreeSet;
use std::path::Path;

use twemoji_assets::png::PngTwemojiAsset;

use super::collection::{Builder, FoundImage};
use super::{Collection, ImageSource, Split};
use crate::{DataError, Place};

/// Whom the pictures are owed to; their licence asks that this is shown with them.
pub const CREDIT: &str =
    "Emoji pictures: Twemoji, © Twitter, Inc and other contributors, CC-BY 4.0";

/// Languages that a `lang-…` feature of this crate adds to English.
pub const OPTIONAL_LANGUAGES: [&str; 15] =
    ["ar", "de", "es", "fr", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ru", "tr", "uk", "zh"];

/// The glyph of an emoji's id, as in `1f98b` → 🦋; `None` for what is not such an id.
pub fn glyph(id: &str) -> Option<String> {
    id.split('-').map(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?)).collect()
}

/// The picture of an emoji's id; `None` for what is not such an id.
pub fn source(id: &str) -> Option<ImageSource> {
    let bytes = picture(&glyph(id)?)?;
    Some(ImageSource::Embedded { name: format!("{id}.png"), bytes })
}

/// An emoji with what is known of it.
struct Entry {
    id: String,
    emoji: &'static emoji::Emoji,
    /// The one without skin tones; itself if it has none.
    base: &'static emoji::Emoji,
    png: &'static [u8],
}

/// Opens the set with English texts, and with those of other languages where asked for.
///
/// The split is decided on the English texts alone, so it is the same for any choice of languages.
///
/// # Errors
/// [`DataError::LanguageNotBuilt`].
pub fn open<'a>(languages: impl IntoIterator<Item = &'a str>) -> Result<Collection, DataError> {
    let languages = check(languages)?;
    let entries = entries();
    let english = texts::in_language(&entries, "en");
    let splits = held_out::splits(&entries, &english);
    let others: Vec<_> =
        languages.iter().map(|&language| texts::in_language(&entries, language)).collect();

    let mut builder = Builder::new(Path::new("emoji"), "emoji");
    for (index, entry) in entries.iter().enumerate() {
        let place = Place::Entry(index);
        let image = FoundImage {
            id: entry.id.clone(),
            source: ImageSource::Embedded { name: format!("{}.png", entry.id), bytes: entry.png },
            split: splits[index],
            labels: vec![entry.base.name.to_owned()],
        };
        let slot = builder.add_image(place, image)?;
        for text in std::iter::once(&english).chain(&others).flat_map(|texts| &texts[index]) {
            builder.add_text(place, slot, text);
        }
    }
    builder.rank_against_everything();
    describe(&mut builder, &entries, &splits, &languages);
    builder.finish()
}

fn check<'a>(asked: impl IntoIterator<Item = &'a str>) -> Result<Vec<&'static str>, DataError> {
    let mut languages = Vec::new();
    for language in asked {
        let built = emoji::ANNOTATION_LANGS_AVAILABLE;
        let name = language.replace('-', "_");
        let Some(&known) = built.iter().find(|built| built.eq_ignore_ascii_case(&name)) else {
            return Err(DataError::LanguageNotBuilt {
                language: language.to_owned(),
                available: built,
                feature: OPTIONAL_LANGUAGES.contains(&language),
            });
        };
        if known != "en" && !languages.contains(&known) {
            languages.push(known);
        }
    }
    Ok(languages)
}

/// All emoji that have both a name and a picture, by id.
fn entries() -> Vec<Entry> {
    let named = emoji::lookup_by_name::iter_emoji();
    let mut entries: Vec<_> = named
        .filter_map(|emoji| {
            let png = picture(emoji.glyph)?;
            let codes: Vec<_> =
                emoji.glyph.chars().map(|code| format!("{:x}", u32::from(code))).collect();
            Some(Entry { id: codes.join("-"), emoji, base: without_tone(emoji), png })
        })
        .collect();
    // The crate gives them in the order of a hash table.
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

fn picture(glyph: &str) -> Option<&'static [u8]> {
    let bare = || PngTwemojiAsset::from_emoji(&glyph.replace('\u{fe0f}', ""));
    PngTwemojiAsset::from_emoji(glyph).or_else(bare).map(|asset| asset.data.0)
}

fn without_tone(emoji: &'static emoji::Emoji) -> &'static emoji::Emoji {
    emojis::get(emoji.glyph)
        .and_then(|known| known.with_skin_tone(emojis::SkinTone::Default))
        .and_then(|base| emoji::lookup_by_glyph::lookup(base.as_str()))
        .unwrap_or(emoji)
}

fn describe(builder: &mut Builder, entries: &[Entry], splits: &[Split], languages: &[&str]) {
    let types: BTreeSet<_> = entries.iter().map(|entry| entry.base.name).collect();
    let held_out = splits.iter().filter(|split| **split != Split::Train).count();
    let languages = [&["en"], languages].concat().join(", ");
    builder.fact("types", format!("{} (an emoji in all its skin tones is one)", types.len()));
    builder.fact("languages", languages);
    builder.fact(
        "held out",
        format!("{held_out} combinations (person × role × gender × tone …) whose every word is in training"),
    );
    builder.fact("gallery", format!("all {} emoji and all their texts", entries.len()));
    builder.fact("credit", CREDIT.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyphs_come_back_from_ids() {
        assert_eq!(glyph("1f469-1f3fd-200d-1f692").as_deref(), Some("👩🏽\u{200d}🚒"));
        assert_eq!(glyph("no id"), None);
    }

    #[test]
    fn a_skin_tone_variant_is_of_the_type_of_its_base() {
        let base = |glyph| without_tone(emoji::lookup_by_glyph::lookup(glyph).unwrap()).name;
        assert_eq!(base("👩🏽\u{200d}🚒"), "woman firefighter");
        assert_eq!(base("👩🏻\u{200d}🤝\u{200d}👨🏿"), "woman and man holding hands");
        assert_eq!(base("🏻"), "light skin tone");
    }

    #[test]
    fn a_language_that_is_not_built_in_names_its_feature() {
        let error = check(["en", "hr"]).unwrap_err();
        assert!(error.to_string().starts_with("emoji texts in `hr` are not built in"), "{error}");
        #[cfg(not(feature = "lang-de"))]
        assert_eq!(
            check(["de"]).unwrap_err().hint().as_deref(),
            Some("build with `--features lang-de`")
        );
    }
}
