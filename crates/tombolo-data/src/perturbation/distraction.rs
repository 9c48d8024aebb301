//! Sentences that say nothing of the photo.
//!
//! Both are tautologies (Naik et al. 2018 append `and true is true` to premises; Hendriksen et al. 2024 append
//! both to captions): neither changes what the caption means, but one brings in the word `false`.

pub(super) const TRUE: &str = "and true is true";
pub(super) const FALSE: &str = "and false is false";

/// The caption without its full stop, the sentence, and a full stop.
pub(super) fn append(text: &str, sentence: &str) -> Option<String> {
    let caption = text.trim_end().trim_end_matches('.').trim_end();
    (!caption.is_empty()).then(|| format!("{caption} {sentence}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_comes_before_the_full_stop() {
        assert_eq!(append("Two dogs .", FALSE).unwrap(), "Two dogs and false is false.");
        assert_eq!(append("two dogs", TRUE).unwrap(), "two dogs and true is true.");
        assert_eq!(append(" ... ", TRUE), None);
    }
}
