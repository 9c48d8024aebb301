//! Words with their parts of speech and synonyms: WordNet 3.0, made small by `wordnet/make.py`.

use std::collections::HashMap;
use std::io::Read;
use std::sync::OnceLock;

use flate2::read::GzDecoder;

const PACKED: &[u8] = include_bytes!("wordnet/wordnet.tsv.gz");

/// A word's fields, see `wordnet/make.py`.
#[derive(Default)]
struct Word {
    counts: &'static str,
    nouns: &'static str,
    adjectives: &'static str,
    irregular: &'static str,
}

/// Words by how they are written, all in lower case.
pub(super) struct Lexicon {
    words: HashMap<&'static str, Word>,
}

/// The other words of a word's most frequent sense, `_` for a space.
#[derive(Default)]
pub(super) struct Synonyms {
    pub words: Vec<&'static str>,
    /// Whether the word was a plural, which they are not.
    pub plural: bool,
}

/// How often a word was seen as each part of speech; none where it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub noun: Option<u32>,
    pub verb: Option<u32>,
    pub adjective: Option<u32>,
    pub adverb: Option<u32>,
}

/// The lexicon, unpacked when first used.
pub(super) fn lexicon() -> &'static Lexicon {
    static LEXICON: OnceLock<Lexicon> = OnceLock::new();
    LEXICON.get_or_init(|| {
        let mut text = String::new();
        GzDecoder::new(PACKED).read_to_string(&mut text).expect("a test unpacks the file");
        Lexicon::parse(Box::leak(text.into_boxed_str()))
    })
}

impl Lexicon {
    fn parse(text: &'static str) -> Self {
        let words = text.lines().map(|line| {
            let mut fields = line.split('\t');
            let mut next = || fields.next().unwrap_or_default();
            let word = next();
            let [counts, nouns, adjectives, irregular] = std::array::from_fn(|_| next());
            (word, Word { counts, nouns, adjectives, irregular })
        });
        Self { words: words.collect() }
    }

    /// How often each reading of a word was seen, its inflected forms included.
    pub fn counts(&self, word: &str) -> Counts {
        let noun = self.noun(word).map(|(lemma, _)| self.count(lemma, 'n'));
        let adjective = self.adjective(word).map(|lemma| self.count(lemma, 'a'));
        let verb = self.verb(word).map(|lemma| self.count(lemma, 'v'));
        let adverb = self.has(word, 'r').then(|| self.count(word, 'r'));
        Counts { noun, verb, adjective, adverb }
    }

    pub fn noun_synonyms(&self, word: &str) -> Synonyms {
        let Some((lemma, plural)) = self.noun(word) else { return Synonyms::default() };
        Synonyms { words: list(self.words.get(lemma).map_or("", |word| word.nouns)), plural }
    }

    pub fn adjective_synonyms(&self, word: &str) -> Synonyms {
        let words = list(self.words.get(word).map_or("", |word| word.adjectives));
        Synonyms { words, plural: false }
    }

    /// The noun that a word is, and whether it is its plural: what was seen more often (`men` is a noun of its own, too).
    fn noun<'a>(&'a self, word: &'a str) -> Option<(&'a str, bool)> {
        let itself = self.has(word, 'n').then_some((word, false));
        let rules = [("ies", "y"), ("men", "man"), ("es", ""), ("s", "")];
        let singular = self.lemma(word, 'n', &rules).map(|lemma| (lemma, true));
        let readings = singular.into_iter().chain(itself);
        readings.max_by_key(|(lemma, _)| self.count(lemma, 'n'))
    }

    fn adjective<'a>(&'a self, word: &'a str) -> Option<&'a str> {
        let rules =
            [("er", ""), ("est", ""), ("er", "e"), ("est", "e"), ("ier", "y"), ("iest", "y")];
        self.has(word, 'a').then_some(word).or_else(|| self.lemma(word, 'a', &rules))
    }

    fn verb<'a>(&'a self, word: &'a str) -> Option<&'a str> {
        let rules = [
            ("ies", "y"),
            ("es", "e"),
            ("es", ""),
            ("s", ""),
            ("ied", "y"),
            ("ed", "e"),
            ("ed", ""),
            ("ing", "e"),
            ("ing", ""),
        ];
        self.has(word, 'v').then_some(word).or_else(|| self.lemma(word, 'v', &rules))
    }

    /// The word of this part of speech that `form` is a form of: an irregular one, else by the first rule that fits
    /// (WordNet's `morphy`).
    fn lemma(&self, form: &str, part: char, rules: &[(&str, &str)]) -> Option<&'static str> {
        let irregular = list(self.words.get(form).map_or("", |word| word.irregular));
        let irregular = irregular.into_iter().filter_map(|lemma| lemma.strip_prefix(part));
        let regular = rules.iter().filter_map(|(ending, instead)| {
            let stem = form.strip_suffix(ending).filter(|stem| stem.len() > 1)?;
            Some(self.words.get_key_value(format!("{stem}{instead}").as_str())?.0)
        });
        irregular.chain(regular.copied()).find(|lemma| self.has(lemma, part))
    }

    fn has(&self, word: &str, part: char) -> bool {
        self.words.get(word).is_some_and(|word| word.counts.contains(part))
    }

    fn count(&self, word: &str, part: char) -> u32 {
        let counts = self.words.get(word).map_or("", |word| word.counts);
        let digits = counts.split_once(part).map_or("", |(_, rest)| rest);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().unwrap_or(0)
    }
}

fn list(words: &'static str) -> Vec<&'static str> {
    words.split(',').filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_unpacks_and_knows_its_words() {
        let lexicon = lexicon();
        assert!(lexicon.words.len() > 80_000);
        let dog = lexicon.counts("dog");
        assert_eq!((dog.noun, dog.verb, dog.adjective), (Some(42), Some(2), None));
    }

    #[test]
    fn inflected_forms_lead_to_their_words() {
        let lexicon = lexicon();
        assert_eq!(lexicon.noun("women"), Some(("woman", true)));
        assert_eq!(lexicon.noun("men"), Some(("man", true)));
        assert_eq!(lexicon.noun("glass"), Some(("glass", false)));
        assert_eq!(lexicon.noun("dogs"), Some(("dog", true)));
        assert_eq!(lexicon.noun("ladies"), Some(("lady", true)));
        assert_eq!(lexicon.verb("running"), Some("run"));
        assert_eq!(lexicon.verb("riding"), Some("ride"));
        assert_eq!(lexicon.adjective("muddier"), Some("muddy"));
        assert_eq!(lexicon.verb("ed"), None);
    }
}
