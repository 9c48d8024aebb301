//! What a reader noticed without giving up.

use std::fmt;

use super::Split;

/// Whether something of the input was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// An image or a text was left out; a command that succeeds despite it exits with status 3.
    Skipped,
    /// All was read, and something is unusual.
    Notice,
}

/// Something that a reader noticed: what, where, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Left out, or merely unusual.
    pub kind: WarningKind,
    /// File with entry or line, or the data set's name.
    pub place: String,
    /// What it is about: an image's or a text's id, or a split.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Warning {
    /// Whether something of the input was left out.
    pub fn is_skip(&self) -> bool {
        self.kind == WarningKind::Skipped
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = if self.is_skip() { "skipped " } else { "" };
        write!(f, "{}: {skipped}{}: {}", self.place, self.what, self.reason)
    }
}

/// How many images a split of a well-known data set has in the literature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandardCount {
    /// The split.
    pub split: Split,
    /// Its images.
    pub images: usize,
}

const fn counts(train: usize, val: usize, test: usize) -> [StandardCount; 3] {
    [
        StandardCount { split: Split::Train, images: train },
        StandardCount { split: Split::Val, images: val },
        StandardCount { split: Split::Test, images: test },
    ]
}

/// Karpathy's splits by the name in field `dataset`; COCO's training images are 82,783 of `train` and 30,504 of
/// `restval`. The official splits of COCO by year, whose test images have no captions, and those of NUS-WIDE, which has
/// no val.
pub(super) fn standard_counts(dataset: &str) -> &'static [StandardCount] {
    const FLICKR8K: [StandardCount; 3] = counts(6_000, 1_000, 1_000);
    const FLICKR30K: [StandardCount; 3] = counts(29_000, 1_014, 1_000);
    const COCO: [StandardCount; 3] = counts(113_287, 5_000, 5_000);
    const COCO_2014: [StandardCount; 3] = counts(82_783, 40_504, 0);
    const COCO_2017: [StandardCount; 3] = counts(118_287, 5_000, 0);
    const NUSWIDE: [StandardCount; 3] = counts(161_789, 0, 107_859);
    const NUSWIDE_10K: [StandardCount; 3] = counts(8_000, 1_000, 1_000);
    match dataset {
        "flickr8k" => &FLICKR8K,
        "flickr30k" => &FLICKR30K,
        "coco" => &COCO,
        "coco2014" => &COCO_2014,
        "coco2017" => &COCO_2017,
        "nuswide" => &NUSWIDE,
        "nuswide-10k" => &NUSWIDE_10K,
        _ => &[],
    }
}
