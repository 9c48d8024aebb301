//! The three splits, and the rule for data that comes without.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image and its texts are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Learned from.
    Train,
    /// Chosen on.
    Val,
    /// Reported on.
    Test,
}

impl Split {
    /// All of them, in the order of their use.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// As it is written in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }

    /// The split of an image whose data set names none: 80 % train, 10 % val, 10 % test.
    ///
    /// It depends on the id alone (BLAKE3 of the id, first eight bytes, modulo 10: 0–7, 8, 9), so
    /// an image keeps its split when others are added or removed.
    pub fn by_hash(id: &str) -> Self {
        match hash(id) % 10 {
            8 => Self::Val,
            9 => Self::Test,
            _ => Self::Train,
        }
    }
}

/// A number that depends on the id alone, the same on every machine.
pub(crate) fn hash(id: &str) -> u64 {
    let digest = blake3::hash(id.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected train, val or test, found `{found}`")]
pub struct UnknownSplit {
    /// The word.
    pub found: String,
}

impl FromStr for Split {
    type Err = UnknownSplit;

    /// Reads the usual names; Karpathy's `restval` (COCO) counts as training.
    fn from_str(name: &str) -> Result<Self, UnknownSplit> {
        match name.trim().to_ascii_lowercase().as_str() {
            "train" | "training" | "restval" => Ok(Self::Train),
            "val" | "valid" | "validation" | "dev" => Ok(Self::Val),
            "test" => Ok(Self::Test),
            _ => Err(UnknownSplit { found: name.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_round_trip() {
        for split in Split::ALL {
            assert_eq!(split.to_string().parse(), Ok(split));
        }
        assert_eq!("restval".parse(), Ok(Split::Train));
        assert_eq!(
            "trian".parse::<Split>().unwrap_err().to_string(),
            "expected train, val or test, found `trian`"
        );
    }

    #[test]
    fn hash_split_is_fixed_and_near_eighty_ten_ten() {
        let mut counts = [0_usize; 3];
        for i in 0..10_000 {
            counts[Split::by_hash(&format!("photo-{i}.jpg")) as usize] += 1;
        }
        assert!(counts[0].abs_diff(8_000) < 150, "{counts:?}");
        assert!(counts[1].abs_diff(1_000) < 100, "{counts:?}");
    }

    #[test]
    fn hash_split_never_changes() {
        let ids = ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg", "7.jpg"];
        let splits = ids.map(|id| Split::by_hash(id).as_str());
        assert_eq!(splits, ["train", "train", "train", "train", "val", "train", "train", "test"]);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(name in ".*") {
            let _ = name.parse::<Split>();
        }
    }
}
