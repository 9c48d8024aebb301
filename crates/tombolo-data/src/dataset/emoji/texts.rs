//! Texts of an emoji, each of which tells it apart from its siblings.

use std::collections::{BTreeSet, HashMap};

use super::Entry;

/// The words of a text, whatever their order.
pub(super) type Words = BTreeSet<String>;

/// Splits at whatever is neither letter nor digit; combining marks stay with their letters.
pub(super) fn words(text: &str) -> Words {
    text.to_lowercase()
        .split(|c: char| c.is_whitespace() || c.is_ascii_punctuation() || "–—’“”×".contains(c))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The texts of each emoji in one language, its name first.
///
/// A text is left out when its words are those of an earlier text of the same emoji, or when it
/// neither holds the name nor has words that no text of another has: nothing could be found by it.
pub(super) fn in_language(entries: &[Entry], language: &str) -> Vec<Vec<String>> {
    let all: Vec<_> = entries.iter().map(|entry| distinct(candidates(entry, language))).collect();
    let mut owners: HashMap<&Words, usize> = HashMap::new();
    for (words, _) in all.iter().flatten() {
        *owners.entry(words).or_default() += 1;
    }
    let kept = |texts: &Vec<(Words, String)>| {
        let is_clear =
            |(words, text): &&(Words, String)| text.starts_with(&texts[0].1) || owners[words] == 1;
        texts.iter().filter(is_clear).map(|(_, text)| text.clone()).collect()
    };
    all.iter().map(kept).collect()
}

/// Texts with their words, without those that only change their order.
fn distinct(candidates: Vec<String>) -> Vec<(Words, String)> {
    let mut texts: Vec<(Words, String)> = Vec::new();
    for text in candidates {
        let words = words(&text);
        if !texts.iter().any(|(earlier, _)| *earlier == words) {
            texts.push((words, text));
        }
    }
    texts
}

/// Name; name and keywords; keywords; short codes. Skin tones, genders and whatever else comes after
/// the colon of a name is part of each.
fn candidates(entry: &Entry, language: &str) -> Vec<String> {
    let annotation = |emoji: &'static emoji::Emoji| {
        emoji.annotations.iter().find(|annotation| annotation.lang == language)
    };
    let base = annotation(entry.base);
    let Some(name) = name(entry, language) else { return Vec::new() };
    let distinction: Vec<&str> = match name.split_once(": ") {
        Some((_, after)) => after.split(", ").collect(),
        None => Vec::new(),
    };
    let keywords = base.map_or(&[][..], |annotation| annotation.keywords);
    let in_name = words(&name);
    let new: Vec<&str> =
        keywords.iter().copied().filter(|word| !words(word).is_subset(&in_name)).collect();
    let distinct = |text: &[&str]| {
        let rest = text.iter().filter(|part| !distinction.contains(part));
        rest.chain(&distinction).copied().collect::<Vec<_>>().join(", ")
    };

    let with_keywords = [&[name.as_str()], new.as_slice()].concat().join(", ");
    let mut texts = vec![name.clone(), with_keywords];
    if !keywords.is_empty() {
        texts.push(distinct(keywords));
    }
    if language == "en" {
        let codes = emojis::get(entry.base.glyph).into_iter().flat_map(emojis::Emoji::shortcodes);
        texts.extend(codes.map(|code| distinct(&[code.replace('_', " ").as_str()])));
    }
    texts
}

/// The full name. Names of toned variants are known in English alone; in other languages they are
/// put together as the Unicode CLDR does: `name: tone, tone`.
fn name(entry: &Entry, language: &str) -> Option<String> {
    if language == "en" {
        return Some(entry.emoji.name.to_owned());
    }
    let spoken = |emoji: &'static emoji::Emoji| {
        emoji.annotations.iter().find(|annotation| annotation.lang == language)?.tts
    };
    let mut name = spoken(entry.base)?.to_owned();
    if std::ptr::eq(entry.base, entry.emoji) {
        return Some(name);
    }
    for tone in entry.emoji.glyph.chars().filter(|c| ('\u{1f3fb}'..='\u{1f3ff}').contains(c)) {
        let tone = emoji::lookup_by_glyph::lookup(tone.encode_utf8(&mut [0; 4]))?;
        name.push_str(if name.contains(": ") { ", " } else { ": " });
        name.push_str(spoken(tone)?);
    }
    Some(name)
}
