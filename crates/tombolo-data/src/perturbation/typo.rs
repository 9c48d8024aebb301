//! Typographical errors. Only letters are touched; each function gives nothing where no letter fits.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// The share of words that [`random_char`] touches.
const WORDS_TOUCHED: f64 = 0.1;

/// The rows of a QWERTY keyboard; a key is half a key to the right of the one above it.
const ROWS: [&str; 3] = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];

pub(super) fn char_swap(text: &str, draws: &mut ChaCha8Rng) -> Option<String> {
    let mut chars: Vec<char> = text.chars().collect();
    let pairs = (1..chars.len()).filter(|&i| {
        let (a, b) = (chars[i - 1], chars[i]);
        a.is_alphabetic() && b.is_alphabetic() && a != b
    });
    let &second = pairs.collect::<Vec<_>>().choose(draws)?;
    chars.swap(second - 1, second);
    Some(chars.into_iter().collect())
}

pub(super) fn missing_char(text: &str, draws: &mut ChaCha8Rng) -> Option<String> {
    let mut chars: Vec<char> = text.chars().collect();
    let letter = |i: Option<usize>| i.and_then(|i| chars.get(i)).is_some_and(|c| c.is_alphabetic());
    let places = (0..chars.len())
        .filter(|&i| letter(Some(i)) && (letter(i.checked_sub(1)) || letter(i.checked_add(1))));
    let &place = places.collect::<Vec<_>>().choose(draws)?;
    chars.remove(place);
    Some(chars.into_iter().collect())
}

pub(super) fn extra_char(text: &str, draws: &mut ChaCha8Rng) -> Option<String> {
    let mut chars: Vec<char> = text.chars().collect();
    let (place, typed) = mistyped(&chars, draws)?;
    chars.insert(place + usize::from(draws.random::<bool>()), typed);
    Some(chars.into_iter().collect())
}

pub(super) fn nearby_char(text: &str, draws: &mut ChaCha8Rng) -> Option<String> {
    let mut chars: Vec<char> = text.chars().collect();
    let (place, typed) = mistyped(&chars, draws)?;
    chars[place] = typed;
    Some(chars.into_iter().collect())
}

pub(super) fn random_char(text: &str, draws: &mut ChaCha8Rng) -> Option<String> {
    let mut chars: Vec<char> = text.chars().collect();
    let mut start = 0;
    while start < chars.len() {
        let end = (start..chars.len()).find(|&i| chars[i].is_whitespace()).unwrap_or(chars.len());
        let letters: Vec<usize> = (start..end).filter(|&i| chars[i].is_alphabetic()).collect();
        if let Some(&place) = letters.choose(draws)
            && draws.random_bool(WORDS_TOUCHED)
        {
            chars[place] = another_letter(chars[place], draws);
        }
        start = end + 1;
    }
    Some(chars.into_iter().collect())
}

/// A letter of the keyboard, drawn from the text, and what is typed when the finger slips from it.
fn mistyped(chars: &[char], draws: &mut ChaCha8Rng) -> Option<(usize, char)> {
    let typable = (0..chars.len()).filter(|&i| chars[i].is_ascii_alphabetic());
    let &place = typable.collect::<Vec<_>>().choose(draws)?;
    let &near = neighbours(chars[place].to_ascii_lowercase()).choose(draws)?;
    let upper = chars[place].is_ascii_uppercase();
    Some((place, if upper { near.to_ascii_uppercase() } else { near }))
}

/// The keys that touch a key: beside it, above it and below it.
fn neighbours(key: char) -> Vec<char> {
    let Some((row, column)) =
        ROWS.iter().enumerate().find_map(|(row, keys)| Some((row, keys.find(key)?)))
    else {
        return Vec::new();
    };
    let at = |row: Option<usize>, column: Option<usize>| {
        ROWS.get(row?)?.as_bytes().get(column?).map(|&key| char::from(key))
    };
    let (left, right) = (column.checked_sub(1), Some(column + 1));
    let (above, here, below) = (row.checked_sub(1), Some(row), Some(row + 1));
    let touching = [
        at(here, left),
        at(here, right),
        at(above, Some(column)),
        at(above, right),
        at(below, left),
        at(below, Some(column)),
    ];
    touching.into_iter().flatten().collect()
}

fn another_letter(letter: char, draws: &mut ChaCha8Rng) -> char {
    loop {
        let drawn = char::from(draws.random_range(b'a'..=b'z'));
        let drawn = if letter.is_uppercase() { drawn.to_ascii_uppercase() } else { drawn };
        if drawn != letter {
            return drawn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_touch() {
        let sorted = |key| {
            let mut near = neighbours(key);
            near.sort_unstable();
            near.into_iter().collect::<String>()
        };
        assert_eq!(sorted('g'), "bfhtvy");
        assert_eq!(sorted('q'), "aw");
        assert_eq!(sorted('p'), "lo");
        assert_eq!(sorted('m'), "jkn");
        assert_eq!(sorted('é'), "");
    }
}
