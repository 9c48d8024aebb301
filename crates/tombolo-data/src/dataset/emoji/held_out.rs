//! Which emoji are held out: combinations that training never saw, of words that it did.

use std::collections::HashMap;

use super::Entry;
use super::texts::{Words, words};
use crate::dataset::Split;
use crate::dataset::split::hash;

/// How many go to val, and how many to test.
const HELD_OUT: usize = 180;
/// How many training emoji at least have each word of a held-out one: a word that was seen in one
/// picture alone could not be told apart from the rest of that picture.
const SUPPORT: usize = 3;

/// The split of each emoji.
///
/// Candidates are people and hands put together from several code points (role, gender, hair, skin
/// tone …) whose names differ from all others by words and not by their order alone. They are taken in the order of
/// a hash of their ids, in turn to val and test, unless one of their words would become too rare in
/// what is left for training.
pub(super) fn splits(entries: &[Entry], english: &[Vec<String>]) -> Vec<Split> {
    let words_of: Vec<Words> =
        english.iter().map(|texts| texts.iter().flat_map(|text| words(text)).collect()).collect();
    let mut support: HashMap<&str, usize> = HashMap::new();
    for word in words_of.iter().flatten() {
        *support.entry(word).or_default() += 1;
    }
    let mut splits = vec![Split::Train; entries.len()];
    let mut held_out = 0;
    for index in candidates(entries) {
        if held_out == 2 * HELD_OUT {
            break;
        }
        if words_of[index].iter().all(|word| support[word.as_str()] > SUPPORT) {
            for word in &words_of[index] {
                support.entry(word).and_modify(|count| *count -= 1);
            }
            splits[index] = if held_out % 2 == 0 { Split::Val } else { Split::Test };
            held_out += 1;
        }
    }
    splits
}

fn candidates(entries: &[Entry]) -> Vec<usize> {
    let mut names: HashMap<Words, usize> = HashMap::new();
    for entry in entries {
        *names.entry(words(entry.emoji.name)).or_default() += 1;
    }
    let mut candidates: Vec<usize> = (0..entries.len())
        .filter(|&index| {
            let emoji = entries[index].emoji;
            emoji.group == "People & Body"
                && emoji.glyph.chars().filter(|c| *c != '\u{fe0f}').count() > 1
                && names[&words(emoji.name)] == 1
        })
        .collect();
    candidates.sort_by_cached_key(|&index| hash(&entries[index].id));
    candidates
}
