//! Settings of the curriculum.

use serde::{Deserialize, Serialize};

/// Which groups of pairs training goes through, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CurriculumSettings {
    /// The order of the groups.
    pub order: Order,
    /// The groups that are trained on.
    pub groups: Vec<Group>,
}

impl Default for CurriculumSettings {
    fn default() -> Self {
        Self { order: Order::None, groups: Group::ALL.to_vec() }
    }
}

/// The order in which stages map and joint go through the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// No groups: all pairs in every epoch.
    None,
    /// As §5 of the paper: precise, then incomplete, then ambiguous.
    Paper,
    /// The other way round.
    Reversed,
    /// The same examples, as often, in one shuffle.
    Mixed,
}

/// A group of training data (§5 of the paper), written as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Group {
    /// 1: precise texts with images of one object.
    Precise,
    /// 2: incomplete sentences with images of one object.
    Incomplete,
    /// 3: ambiguous texts with images of several objects.
    Ambiguous,
}

impl Group {
    /// All groups, in the paper's order.
    pub const ALL: [Self; 3] = [Self::Precise, Self::Incomplete, Self::Ambiguous];
}

impl From<Group> for u8 {
    fn from(group: Group) -> Self {
        group as u8 + 1
    }
}

impl TryFrom<u8> for Group {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        let group = Self::ALL.into_iter().find(|&group| u8::from(group) == number);
        group.ok_or_else(|| format!("expected group 1, 2 or 3, found {number}"))
    }
}
