//! Which words of a caption are nouns and which are adjectives, by a lexicon and a few rules.

use super::synonym::bare;
use super::wordnet::{Counts, lexicon};

/// What the perturbations need to know of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartOfSpeech {
    /// A thing or a being, singular or plural.
    Noun,
    /// What is said of one.
    Adjective,
    /// All else: verbs, adverbs, words of grammar, numbers, punctuation.
    Other,
}

/// Words of grammar, whatever else WordNet knows of them.
#[rustfmt::skip]
const CLOSED: [&str; 119] = [
    "a", "about", "above", "across", "after", "against", "all", "along", "alongside", "am",
    "among", "an", "and", "another", "any", "are", "around", "as", "at", "away", "be", "because",
    "been", "before", "behind", "being", "below", "beneath", "beside", "between", "both", "but",
    "by", "can", "could", "did", "do", "does", "down", "during", "each", "eight", "either",
    "every", "few", "five", "for", "four", "from", "had", "has", "have", "having", "he", "her",
    "him", "his", "i", "if", "in", "inside", "into", "is", "it", "its", "may", "me", "might",
    "my", "near", "next", "nine", "no", "not", "of", "off", "on", "one", "onto", "or", "other",
    "out", "outside", "over", "past", "seven", "several", "she", "six", "so", "some", "ten",
    "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those",
    "three", "through", "to", "toward", "towards", "two", "under", "up", "was", "we", "were",
    "which", "while", "who", "with", "you",
];

/// Words after which a noun phrase goes on, so that what can be a noun is no verb.
#[rustfmt::skip]
const DETERMINERS: [&str; 24] = [
    "a", "an", "another", "any", "both", "each", "every", "few", "five", "four", "her", "his",
    "its", "my", "no", "of", "several", "some", "the", "their", "these", "this", "three", "two",
];

/// Endings of adjectives and adverbs that no lexicon lists.
const ADJECTIVE_ENDINGS: [&str; 8] = ["able", "ful", "ish", "less", "like", "ous", "-colored", "y"];

/// The part of speech of each word of a caption.
///
/// A word of a closed class is other. Else it is what WordNet's corpora have it as most often, its inflected forms counted
/// with it; after a determiner, a number or an adjective a verb is out of question if the word can be a noun or an adjective,
/// and after `to` it is preferred. A word that WordNet does not know is an adjective by its ending, else a noun if it is of letters.
/// English only: the words of other languages come out as nouns, mostly.
pub fn parts_of_speech(words: &[&str]) -> Vec<PartOfSpeech> {
    let mut before = Before::Start;
    let tag = |word: &&str| {
        let lower = bare(word).to_lowercase();
        let part = part_of(&lower, before);
        let punctuated = word.ends_with(|c: char| !c.is_alphanumeric());
        before = match part {
            _ if punctuated => Before::Start,
            PartOfSpeech::Adjective => Before::NounPhrase,
            PartOfSpeech::Other if DETERMINERS.contains(&lower.as_str()) => Before::NounPhrase,
            PartOfSpeech::Other if lower == "to" => Before::To,
            _ => Before::Start,
        };
        part
    };
    words.iter().map(tag).collect()
}

/// What the word before says of the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Start,
    NounPhrase,
    To,
}

fn part_of(word: &str, before: Before) -> PartOfSpeech {
    if CLOSED.contains(&word) || !word.chars().any(char::is_alphabetic) {
        return PartOfSpeech::Other;
    }
    let counts = lexicon().counts(word);
    if counts == Counts::default() {
        return unknown(word);
    }
    let verb = match before {
        Before::NounPhrase if counts.noun.or(counts.adjective).is_some() => None,
        Before::To if counts.verb.is_some() => return PartOfSpeech::Other,
        _ => counts.verb,
    };
    let readings = [
        (counts.noun, PartOfSpeech::Noun),
        (counts.adjective, PartOfSpeech::Adjective),
        (verb.max(counts.adverb), PartOfSpeech::Other),
    ];
    // The first of equals: a noun before an adjective before all else.
    let best = readings.into_iter().rev().max_by_key(|(count, _)| *count);
    best.map_or(PartOfSpeech::Other, |(_, part)| part)
}

fn unknown(word: &str) -> PartOfSpeech {
    if word.ends_with("ing") || word.ends_with("ly") {
        PartOfSpeech::Other
    } else if ADJECTIVE_ENDINGS.iter().any(|ending| word.ends_with(ending)) {
        PartOfSpeech::Adjective
    } else {
        PartOfSpeech::Noun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N, A or a dot for each word.
    fn tagged(caption: &str) -> String {
        let words: Vec<&str> = caption.split_whitespace().collect();
        let letter = |part| match part {
            PartOfSpeech::Noun => 'N',
            PartOfSpeech::Adjective => 'A',
            PartOfSpeech::Other => '.',
        };
        parts_of_speech(&words).into_iter().map(letter).collect()
    }

    #[test]
    fn captions_are_tagged() {
        let cases = [
            ("A black dog is running through the snow .", ".AN....N."),
            ("Two young boys jump into a blue pool", ".AN...AN"),
            ("a man in a red shirt climbs a tall building", ".N..AN..AN"),
            ("the woman wants to ride a brown horse", ".N....AN"),
        ];
        for (caption, expected) in cases {
            assert_eq!(tagged(caption), expected, "{caption}");
        }
    }

    #[test]
    fn closed_words_are_sorted_and_distinct() {
        assert!(CLOSED.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(DETERMINERS.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(DETERMINERS.iter().all(|word| CLOSED.contains(word)));
    }

    #[test]
    fn odd_words_have_a_part_too() {
        assert_eq!(tagged("… 12 東京 zorblish 🏝 ''"), "..NA..");
        assert_eq!(tagged(""), "");
    }
}
