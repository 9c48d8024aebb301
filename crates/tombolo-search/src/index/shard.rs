use std::str::FromStr;

/// One of several equal parts of a collection, so that as many machines can share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 0.
    index: usize,
    /// How many parts there are.
    count: usize,
}

impl Shard {
    /// Which part, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many parts there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether something of this name belongs to the part. Decided by a hash of the name alone: what others there are
    /// changes nothing.
    pub fn holds(&self, name: &str) -> bool {
        let hash = blake3::hash(name.as_bytes());
        let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        u64::from_le_bytes(*first) % self.count as u64 == self.index as u64
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err("expected I/N with I from 0 to N − 1, as in 0/4".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_belongs_to_one_part_and_parts_are_alike() {
        let shards: Vec<Shard> = (0..4).map(|i| format!("{i}/4").parse().unwrap()).collect();
        let mut sizes = [0; 4];
        for name in (0..4_000).map(|i| format!("/photos/{i}.jpg")) {
            let holders: Vec<_> = (0..4).filter(|&i| shards[i].holds(&name)).collect();
            assert_eq!(holders.len(), 1);
            sizes[holders[0]] += 1;
        }
        assert!(sizes.iter().all(|size| (900..1_100).contains(size)), "{sizes:?}");
    }

    #[test]
    fn a_part_that_is_none_is_refused() {
        for text in ["", "4/4", "1", "-1/4", "0/0", "a/b"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
