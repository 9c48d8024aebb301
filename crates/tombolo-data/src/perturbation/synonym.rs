//! One word becomes a synonym: another word of its most frequent sense in WordNet, in the same number.

use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::wordnet::{Synonyms, lexicon};
use super::{PartOfSpeech, parts_of_speech};

pub(super) fn noun(text: &str, draws: &mut ChaCha8Rng) -> Option<String> {
    replace(text, PartOfSpeech::Noun, draws)
}

pub(super) fn adjective(text: &str, draws: &mut ChaCha8Rng) -> Option<String> {
    replace(text, PartOfSpeech::Adjective, draws)
}

/// Draws a word of this part of speech that has synonyms, and one of them.
fn replace(text: &str, part: PartOfSpeech, draws: &mut ChaCha8Rng) -> Option<String> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let parts = parts_of_speech(&words);
    let places = (0..words.len()).filter(|&i| parts[i] == part);
    let candidates: Vec<(usize, Vec<String>)> = places
        .map(|i| (i, synonyms(bare(words[i]), part)))
        .filter(|(_, synonyms)| !synonyms.is_empty())
        .collect();
    let (place, synonyms) = candidates.choose(draws)?;
    let synonym = synonyms.choose(draws)?;
    let replaced = words[*place].replacen(bare(words[*place]), synonym, 1);
    words[*place] = &replaced;
    Some(words.join(" "))
}

/// The word without the punctuation around it.
pub(super) fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

fn synonyms(word: &str, part: PartOfSpeech) -> Vec<String> {
    let lower = word.to_lowercase();
    let Synonyms { words, plural } = match part {
        PartOfSpeech::Noun => lexicon().noun_synonyms(&lower),
        _ => lexicon().adjective_synonyms(&lower),
    };
    let capital = word.chars().next().is_some_and(char::is_uppercase);
    let written = words.into_iter().map(|synonym| {
        let synonym = synonym.replace('_', " ");
        let synonym = if plural { pluralised(&synonym) } else { synonym };
        if capital { capitalised(&synonym) } else { synonym }
    });
    written.filter(|synonym| synonym.to_lowercase() != lower).collect()
}

/// English plural of the last word by the regular rules, and by `man` and `child`, which many synonyms end in.
fn pluralised(words: &str) -> String {
    let ends = |ending: &str| words.ends_with(ending);
    let vowel_before_last =
        words.chars().rev().nth(1).is_some_and(|c| matches!(c, 'a' | 'e' | 'i' | 'o' | 'u'));
    if let Some(stem) = words.strip_suffix("man").filter(|_| !ends("human")) {
        return format!("{stem}men");
    }
    if ends("child") {
        return format!("{words}ren");
    }
    match words {
        _ if ["s", "x", "z", "ch", "sh"].into_iter().any(ends) => format!("{words}es"),
        _ if ends("y") && !vowel_before_last => format!("{}ies", &words[..words.len() - 1]),
        _ => format!("{words}s"),
    }
}

fn capitalised(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perturbation::TextPerturbation::{SynonymAdjective, SynonymNoun};

    #[test]
    fn nouns_keep_their_number_capital_and_punctuation() {
        assert_eq!(SynonymNoun.apply("the dogs, swimming", 0, 0), "the domestic dogs, swimming");
        assert_eq!(SynonymNoun.apply("Boys run .", 0, 0), "Male children run .");
        assert_eq!(SynonymNoun.apply("men are here", 0, 0), "adult males are here");
    }

    #[test]
    fn adjectives_become_adjectives() {
        assert_eq!(SynonymAdjective.apply("a little dog", 0, 0), "a small dog");
        assert_eq!(SynonymAdjective.apply("they run", 0, 0), "they run");
    }

    #[test]
    fn plurals_follow_the_rules() {
        let plurals = ["domestic dog", "male child", "city", "toy", "box", "woman", "human"];
        let expected =
            ["domestic dogs", "male children", "cities", "toys", "boxes", "women", "humans"];
        assert_eq!(plurals.map(pluralised), expected);
    }
}
