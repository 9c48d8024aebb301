//! The same words in another order. Words are what stands between white space; punctuation stays with its word.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{PartOfSpeech, parts_of_speech};

pub(super) fn all_words(text: &str, draws: &mut ChaCha8Rng) -> Option<String> {
    reordered(text, |words| words.shuffle(draws))
}

pub(super) fn nouns_and_adjectives(text: &str, draws: &mut ChaCha8Rng) -> Option<String> {
    reordered(text, |words| {
        let parts = parts_of_speech(words);
        shuffle_where(words, draws, |i| parts[i] == PartOfSpeech::Noun);
        shuffle_where(words, draws, |i| parts[i] == PartOfSpeech::Adjective);
    })
}

pub(super) fn all_but_nouns_and_adjectives(text: &str, draws: &mut ChaCha8Rng) -> Option<String> {
    reordered(text, |words| {
        let parts = parts_of_speech(words);
        shuffle_where(words, draws, |i| parts[i] == PartOfSpeech::Other);
    })
}

pub(super) fn within_trigrams(text: &str, draws: &mut ChaCha8Rng) -> Option<String> {
    reordered(text, |words| words.chunks_mut(3).for_each(|trigram| trigram.shuffle(draws)))
}

pub(super) fn trigrams(text: &str, draws: &mut ChaCha8Rng) -> Option<String> {
    reordered(text, |words| {
        let mut groups: Vec<Vec<&str>> = words.chunks(3).map(<[&str]>::to_vec).collect();
        groups.shuffle(draws);
        words.copy_from_slice(&groups.concat());
    })
}

/// Shuffles the words at the places that are wanted, and leaves the others where they are.
fn shuffle_where(words: &mut [&str], draws: &mut ChaCha8Rng, wanted: impl Fn(usize) -> bool) {
    let places: Vec<usize> = (0..words.len()).filter(|&i| wanted(i)).collect();
    let mut taken: Vec<&str> = places.iter().map(|&i| words[i]).collect();
    taken.shuffle(draws);
    places.into_iter().zip(taken).for_each(|(i, word)| words[i] = word);
}

/// Nothing if the order comes out as it was: white space alone is no change.
fn reordered<'a>(text: &'a str, reorder: impl FnOnce(&mut Vec<&'a str>)) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut changed = words.clone();
    reorder(&mut changed);
    (changed != words).then(|| changed.join(" "))
}
