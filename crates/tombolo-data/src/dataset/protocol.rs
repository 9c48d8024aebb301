//! Which part of a data set is measured, and with which captions: `fold=`, `fg=` and `pool=`.

use super::Split;
use super::fine_grained::{FineGrained, Key};
use super::options::Options;
use super::photos::Photos;
use super::pool::Pool;
use crate::DataError;

/// Images of a fold of COCO's test split.
pub(super) const FOLD: usize = 1_000;

/// A part of a data set, as evaluations take it.
#[derive(Debug, Default)]
pub(super) struct Protocol {
    /// Captions that replace those of the data set; photos without any are left out.
    pub captions: Option<FineGrained>,
    /// Photos that join the gallery.
    pub pool: Option<Pool>,
    /// Which thousand of the test split, from 1.
    pub fold: Option<usize>,
    /// Images of the test split seen so far, whether there or not.
    seen: usize,
}

impl Protocol {
    /// Reads what the options name. `key` finds captions by the name of a photo.
    ///
    /// # Errors
    /// [`DataError`] if a file cannot be read or holds something else.
    pub fn read(options: &Options, key: Key, photos: &Photos) -> Result<Self, DataError> {
        let captions =
            options.fg.as_deref().map(|path| FineGrained::read(path, key)).transpose()?;
        let pool = options.pool.as_deref().map(|path| Pool::read(path, photos)).transpose()?;
        Ok(Self { captions, pool, fold: options.fold, seen: 0 })
    }

    /// Whether an image is wanted. Images are asked about once, in the order of the data set: a fold is a thousand of
    /// the test split in that order.
    pub fn wants(&mut self, id: &str, split: Split) -> bool {
        let mut wanted = self.captions.as_ref().is_none_or(|captions| captions.of(id).is_some());
        if split == Split::Test {
            wanted &= self.fold.is_none_or(|fold| self.seen / FOLD + 1 == fold);
            self.seen += 1;
        }
        wanted
    }

    /// Whether counts of the literature do not apply.
    pub fn narrows(&self) -> bool {
        self.captions.is_some() || self.fold.is_some()
    }

    /// What is added to the data set's name: figures of a part are not those of the whole.
    pub fn suffix(&self) -> String {
        let mut suffix = String::new();
        if self.captions.is_some() {
            suffix.push_str("-fg");
        }
        if let Some(fold) = self.fold {
            suffix.push_str(&format!("-fold{fold}"));
        }
        if self.pool.is_some() {
            suffix.push_str("-pool");
        }
        suffix
    }

    /// That the test split is too small for the fold asked for.
    pub fn check_fold(&self) -> Result<(), DataError> {
        match self.fold {
            Some(fold) if self.seen <= (fold - 1) * FOLD => Err(DataError::InvalidOption {
                option: "fold",
                expected: format!(
                    "at most {}: the test split has {} images and a fold {FOLD}",
                    self.seen.div_ceil(FOLD),
                    self.seen
                ),
                found: fold.to_string(),
            }),
            _ => Ok(()),
        }
    }
}
