//! Slices that hold sequences one after the other, without padding.

/// Cuts a slice into the rows of each sequence, rows being `width` wide.
pub(crate) fn split_mut<'a>(
    mut values: &'a mut [f32],
    lengths: &[usize],
    width: usize,
) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::with_capacity(lengths.len());
    for length in lengths {
        let (part, rest) = values.split_at_mut(length * width);
        parts.push(part);
        values = rest;
    }
    parts
}

/// As [`split_mut`], to read.
pub(crate) fn split<'a>(mut values: &'a [f32], lengths: &[usize], width: usize) -> Vec<&'a [f32]> {
    let mut parts = Vec::with_capacity(lengths.len());
    for length in lengths {
        let (part, rest) = values.split_at(length * width);
        parts.push(part);
        values = rest;
    }
    parts
}
