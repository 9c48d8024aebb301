//! Which name a mistyped one may have been meant for.

/// The known name that is most like `name`: by Jaro and Winkler at least `likeness`, or but for one letter the same. None if
/// no name is.
///
/// `likeness` is from 0, for nothing in common, to 1.
pub fn nearest<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    likeness: f64,
) -> Option<&'a str> {
    let alike = |known: &str| match strsim::damerau_levenshtein(known, name) {
        0 => 2.0,
        1 => 1.0,
        _ => strsim::jaro_winkler(known, name),
    };
    let scored = known.into_iter().map(|known| (alike(known), known));
    let (best, found) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best >= likeness).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_letter_more_less_or_swapped_is_near_in_short_names_too() {
        let known = ["csv", "jsonl", "flickr8k"];
        assert_eq!(nearest("cvs", known, 0.7), Some("csv"));
        assert_eq!(nearest("flikr8k", known, 0.9), Some("flickr8k"));
        assert_eq!(nearest("photographs", known, 0.7), None);
        assert_eq!(nearest("csv", [], 0.0), None);
        assert_eq!(nearest("lite1", ["lite0", "lite1", "lite2"], 0.9), Some("lite1"));
    }
}
