//! What may follow the path of a data set, as in `coco:DIR,fold=2,fg=FILE`.

use std::path::{Path, PathBuf};

use crate::DataError;

/// Options with a value.
const KEYED: [&str; 5] = ["images", "fg", "pool", "fold", "year"];
/// Options without one.
const FLAGS: [&str; 1] = ["10k"];

/// A path and what follows it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// The file or folder.
    pub path: PathBuf,
    /// Where the photos are.
    pub images: Vec<PathBuf>,
    /// Captions that replace those of the data set.
    pub fg: Option<PathBuf>,
    /// Names of photos that join the gallery without captions.
    pub pool: Option<PathBuf>,
    /// Which thousand of the test split, from 1.
    pub fold: Option<usize>,
    /// Which release of COCO.
    pub year: Option<u16>,
    /// Whether the published selection of 10,000 is meant.
    pub ten_thousand: bool,
}

impl Options {
    /// Reads `PATH[,KEY=VALUE|,FLAG]…`. A path may hold commas: it ends where the first known option begins.
    ///
    /// # Errors
    /// [`DataError::UnknownOption`] for one that `kind` does not have, [`DataError::InvalidOption`] for a bad value.
    pub fn parse(
        kind: &'static str,
        text: &str,
        known: &'static [&str],
    ) -> Result<Self, DataError> {
        let unknown =
            |option: &str| DataError::UnknownOption { kind, option: option.to_owned(), known };
        let (path, pieces) = pieces(text);
        let mut options = Self { path: path.into(), ..Self::default() };
        for piece in pieces {
            let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
            if !known.contains(&key) {
                return Err(unknown(key));
            }
            options.set(key, value)?;
        }
        if let Some(stray) = stray(path) {
            return Err(unknown(stray));
        }
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), DataError> {
        match key {
            "images" => self.images.push(value.into()),
            "fg" => self.fg = Some(value.into()),
            "pool" => self.pool = Some(value.into()),
            "10k" => self.ten_thousand = true,
            "fold" => {
                let fold = value.parse().ok().filter(|fold| *fold > 0);
                self.fold = Some(fold.ok_or_else(|| invalid("fold", "a number from 1", value))?);
            }
            "year" => {
                let year = value.parse().ok().filter(|year| [2014, 2017].contains(year));
                self.year = Some(year.ok_or_else(|| invalid("year", "2014 or 2017", value))?);
            }
            other => unreachable!("`{other}` is among the known options and is not read"),
        }
        Ok(())
    }
}

fn invalid(option: &'static str, expected: &str, found: &str) -> DataError {
    DataError::InvalidOption { option, expected: expected.to_owned(), found: found.to_owned() }
}

/// The path, and the options without their commas.
fn pieces(text: &str) -> (&str, Vec<&str>) {
    let mut cuts: Vec<usize> = text
        .match_indices(',')
        .map(|(comma, _)| comma)
        .filter(|comma| begins_with_option(&text[comma + 1..]))
        .collect();
    let path = &text[..cuts.first().copied().unwrap_or(text.len())];
    cuts.push(text.len());
    (path, cuts.windows(2).map(|cut| &text[cut[0] + 1..cut[1]]).collect())
}

fn begins_with_option(text: &str) -> bool {
    let keyed = text.split_once('=').is_some_and(|(key, _)| KEYED.contains(&key));
    keyed || FLAGS.contains(&text.split_once(',').map_or(text, |(flag, _)| flag))
}

/// What looks like an option at the end of a path that is not there, while the path before it is.
fn stray(path: &str) -> Option<&str> {
    let (before, after) = path.rsplit_once(',')?;
    let is_there = !before.is_empty() && Path::new(before).exists();
    (is_there && !Path::new(path).exists())
        .then(|| after.split_once('=').map_or(after, |(key, _)| key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KNOWN: &[&str] = &["images", "fg", "pool", "fold", "year", "10k"];

    #[test]
    fn a_path_may_hold_commas() {
        let options = Options::parse("coco", "a,b/c,fg=x,y.json,fold=2,10k", KNOWN).unwrap();
        assert_eq!(options.path, Path::new("a,b/c"));
        assert_eq!(options.fg.as_deref(), Some(Path::new("x,y.json")));
        assert_eq!((options.fold, options.ten_thousand), (Some(2), true));
    }

    #[test]
    fn what_a_kind_does_not_have_is_refused_by_name() {
        let refused = |text| Options::parse("flickr8k", text, &["fg"]).unwrap_err().to_string();
        assert_eq!(refused("d,fold=2"), "data set `flickr8k` has no option `fold`: expected fg");
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().display();
        assert_eq!(
            refused(&format!("{folder},folds=2")),
            "data set `flickr8k` has no option `folds`: expected fg"
        );
        let bad = |text| Options::parse("coco", text, KNOWN).unwrap_err().to_string();
        assert_eq!(bad("d,fold=0"), "option `fold`: expected a number from 1, found `0`");
        assert_eq!(bad("d,year=2015"), "option `year`: expected 2014 or 2017, found `2015`");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[a-z0-9,=]{0,40}", option in prop::sample::select(KNOWN)) {
            let _ = Options::parse("coco", &format!("{text},{option}={text}"), KNOWN);
        }
    }
}
