//! Braces in the names of shards, as shells write them: `{0000..0009}` and `{a,b}`.

/// Names that one pattern may stand for.
const MOST: usize = 1_000_000;

/// All names that a pattern with braces stands for, in order. A reason if it cannot be read.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        let Some(length) = rest[open..].find('}') else {
            return Err("a brace is not closed".to_owned());
        };
        let inside = &rest[open + 1..open + length];
        let choices = match range(inside)? {
            Some(numbers) => numbers,
            None => inside.split(',').map(str::to_owned).collect(),
        };
        if names.len().saturating_mul(choices.len()) > MOST {
            return Err(format!("it stands for more than {MOST} names"));
        }
        let begun = names.iter().map(|name| format!("{name}{}", &rest[..open]));
        names = begun
            .flat_map(|name| choices.iter().map(move |choice| format!("{name}{choice}")))
            .collect();
        rest = &rest[open + length + 1..];
    }
    for name in &mut names {
        name.push_str(rest);
    }
    Ok(names)
}

/// The numbers of `FIRST..LAST`, as wide as the wider of the two where one begins with 0. `None` for something else.
fn range(inside: &str) -> Result<Option<Vec<String>>, String> {
    let Some((first, last)) = inside.split_once("..") else { return Ok(None) };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(first) || !is_number(last) {
        return Err(format!("expected {{FIRST..LAST}} with numbers, found {{{inside}}}"));
    }
    let padded = [first, last].iter().any(|text| text.len() > 1 && text.starts_with('0'));
    let width = if padded { first.len().max(last.len()) } else { 0 };
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is too large"));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(format!("{{{inside}}} counts down"));
    }
    if last - first >= MOST as u64 {
        return Err(format!("it stands for more than {MOST} names"));
    }
    Ok(Some((first..=last).map(|number| format!("{number:0width$}")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn braces_are_ranges_and_choices() {
        assert_eq!(expand("a.tar").unwrap(), ["a.tar"]);
        assert_eq!(
            expand("d/{08..11}.tar").unwrap(),
            ["d/08.tar", "d/09.tar", "d/10.tar", "d/11.tar"]
        );
        assert_eq!(expand("{9..10}").unwrap(), ["9", "10"]);
        assert_eq!(
            expand("{a,b}-{0..1}.tar").unwrap(),
            ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"]
        );
    }

    #[test]
    fn what_is_too_much_or_not_closed_is_refused() {
        assert!(expand("{0..99999999999}").unwrap_err().contains("more than 1000000 names"));
        assert!(expand("{0..9999}{0..9999}").unwrap_err().contains("more than 1000000 names"));
        assert!(expand("{0..99999999999999999999999}").unwrap_err().contains("too large"));
        assert_eq!(expand("{0..9").unwrap_err(), "a brace is not closed");
        assert_eq!(expand("{9..0}").unwrap_err(), "{9..0} counts down");
        assert!(expand("{a..c}").unwrap_err().contains("with numbers"));
    }

    proptest! {
        #[test]
        fn nothing_panics(pattern in "[{},.0-9a*é]{0,24}") {
            let _ = expand(&pattern);
        }
    }
}
