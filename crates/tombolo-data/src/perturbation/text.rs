//! Perturbations of captions.

use super::{distraction, draws, synonym, typo, word_order};

/// A change to a caption.
///
/// Names and rules are those of published suites: typographical errors, synonyms and distractions of Hendriksen et al.
/// 2024 (there `random_char` is `probability_based_letter_change`), word order of Yuksekgonul et al. 2023 (ARO).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextPerturbation {
    /// Two neighbouring letters of a word change places.
    CharSwap,
    /// A letter is left out, of a word that has another.
    MissingChar,
    /// A letter's neighbour on the keyboard is typed with it.
    ExtraChar,
    /// A letter's neighbour on the keyboard is typed in its place.
    NearbyChar,
    /// In each word, with a probability of one in ten, a letter becomes another at random.
    RandomChar,
    /// A noun becomes a synonym.
    SynonymNoun,
    /// An adjective becomes a synonym.
    SynonymAdjective,
    /// `and true is true` follows the caption.
    DistractionTrue,
    /// `and false is false` follows the caption.
    DistractionFalse,
    /// All words change places.
    ShuffleAllWords,
    /// Nouns change places with nouns, adjectives with adjectives.
    ShuffleNounsAndAdjectives,
    /// All words but nouns and adjectives change places.
    ShuffleAllButNounsAndAdjectives,
    /// Each three words that follow each other change places among themselves.
    ShuffleWithinTrigrams,
    /// Groups of three words change places.
    ShuffleTrigrams,
}

/// Captions after a perturbation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerturbedTexts {
    /// As many as there were, in their order.
    pub texts: Vec<String>,
    /// How many differ from what they were.
    pub changed: usize,
}

impl TextPerturbation {
    /// All of them: typos, synonyms, distractions, word order.
    pub const ALL: [Self; 14] = [
        Self::CharSwap,
        Self::MissingChar,
        Self::ExtraChar,
        Self::NearbyChar,
        Self::RandomChar,
        Self::SynonymNoun,
        Self::SynonymAdjective,
        Self::DistractionTrue,
        Self::DistractionFalse,
        Self::ShuffleAllWords,
        Self::ShuffleNounsAndAdjectives,
        Self::ShuffleAllButNounsAndAdjectives,
        Self::ShuffleWithinTrigrams,
        Self::ShuffleTrigrams,
    ];

    /// As it is written on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::CharSwap => "char_swap",
            Self::MissingChar => "missing_char",
            Self::ExtraChar => "extra_char",
            Self::NearbyChar => "nearby_char",
            Self::RandomChar => "random_char",
            Self::SynonymNoun => "synonym_noun",
            Self::SynonymAdjective => "synonym_adj",
            Self::DistractionTrue => "distraction_true",
            Self::DistractionFalse => "distraction_false",
            Self::ShuffleAllWords => "shuffle_all_words",
            Self::ShuffleNounsAndAdjectives => "shuffle_nouns_and_adjectives",
            Self::ShuffleAllButNounsAndAdjectives => "shuffle_all_but_nouns_and_adjectives",
            Self::ShuffleWithinTrigrams => "shuffle_within_trigrams",
            Self::ShuffleTrigrams => "shuffle_trigrams",
        }
    }

    /// The caption changed, or as it was where there is nothing to change.
    ///
    /// ```
    /// use tombolo_data::perturbation::TextPerturbation;
    ///
    /// let changed = TextPerturbation::DistractionTrue.apply("A dog runs.", 0, 0);
    /// assert_eq!(changed, "A dog runs and true is true.");
    /// ```
    pub fn apply(self, text: &str, seed: u64, index: usize) -> String {
        let draws = &mut draws(seed, self.name(), index);
        let changed = match self {
            Self::CharSwap => typo::char_swap(text, draws),
            Self::MissingChar => typo::missing_char(text, draws),
            Self::ExtraChar => typo::extra_char(text, draws),
            Self::NearbyChar => typo::nearby_char(text, draws),
            Self::RandomChar => typo::random_char(text, draws),
            Self::SynonymNoun => synonym::noun(text, draws),
            Self::SynonymAdjective => synonym::adjective(text, draws),
            Self::DistractionTrue => distraction::append(text, distraction::TRUE),
            Self::DistractionFalse => distraction::append(text, distraction::FALSE),
            Self::ShuffleAllWords => word_order::all_words(text, draws),
            Self::ShuffleNounsAndAdjectives => word_order::nouns_and_adjectives(text, draws),
            Self::ShuffleAllButNounsAndAdjectives => {
                word_order::all_but_nouns_and_adjectives(text, draws)
            }
            Self::ShuffleWithinTrigrams => word_order::within_trigrams(text, draws),
            Self::ShuffleTrigrams => word_order::trigrams(text, draws),
        };
        changed.unwrap_or_else(|| text.to_owned())
    }

    /// All captions changed, each by the index that stands before it, and how many of them differ.
    pub fn apply_to_all(self, texts: &[(usize, &str)], seed: u64) -> PerturbedTexts {
        let perturbed: Vec<String> =
            texts.iter().map(|&(index, text)| self.apply(text, seed, index)).collect();
        let changed = perturbed.iter().zip(texts).filter(|(new, (_, old))| new != old).count();
        PerturbedTexts { texts: perturbed, changed }
    }
}
