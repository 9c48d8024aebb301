//! Whether a graph's file is whole: usearch checks its length, and then follows links wherever they lead.
//!
//! Per `index_dense.hpp` and `index.hpp` of usearch 2.26, little-endian: u32 rows and u32 bytes of a row, the rows; a head of 64
//! bytes; u64 nodes, links of a node, links of a node on the ground, the highest level and its node; an i16 level a node; the
//! nodes, each u64 key, i16 level and, for each of its levels from the ground up, a u32 count and room for so many u32 links.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of the head that says how numbers are stored; usearch checks it.
const HEAD: usize = 64;
/// Where in the head the components of a row are.
const DIMENSIONS: usize = 33;
/// Where it says whether several rows may have one key, which they may not.
const MULTI: usize = 41;
/// Bytes of a node's key, and of all that is before its links.
const KEY: usize = 8;
const NODE_HEAD: usize = KEY + 2;

/// Whether every link in a graph's file leads to a node that has the link's level, every row has one node, and nothing is
/// missing or left over.
///
/// `row_bytes`: of a row of `dim` components; `connectivity`: links of a node above the ground, where it has twice as many.
///
/// # Errors
/// If the file cannot be read, or ends too soon.
pub(super) fn is_sound(
    path: &Path,
    dim: usize,
    row_bytes: usize,
    connectivity: usize,
) -> io::Result<bool> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut file = BufReader::with_capacity(1 << 20, file);
    let (rows, width) = (u32_of(&mut file)? as usize, u32_of(&mut file)? as usize);
    file.seek(SeekFrom::Current((rows * width) as i64))?;
    let mut head = [0; HEAD];
    file.read_exact(&mut head)?;
    let components = head[DIMENSIONS..].first_chunk().copied().map(u64::from_le_bytes);
    let mut counts = [0; 5];
    for count in &mut counts {
        *count = u64_of(&mut file)? as usize;
    }
    let [nodes, links, ground_links, top, entry] = counts;
    let as_expected = (width, components, head[MULTI]) == (row_bytes, Some(dim as u64), 0)
        && (nodes, links, ground_links) == (rows, connectivity, 2 * connectivity);
    if !as_expected {
        return Ok(false);
    }
    let mut levels = vec![0; 2 * nodes];
    file.read_exact(&mut levels)?;
    let (levels, _) = levels.as_chunks();
    let levels: Vec<i16> = levels.iter().copied().map(i16::from_le_bytes).collect();
    if nodes > 0 && levels.get(entry).is_none_or(|&level| level as usize != top) {
        return Ok(false);
    }
    let (mut node, mut known) = (Vec::new(), vec![false; nodes]);
    for &level in &levels {
        let Ok(above) = usize::try_from(level) else { return Ok(false) };
        node.resize(NODE_HEAD + 4 * (1 + ground_links) + above * 4 * (1 + links), 0);
        file.read_exact(&mut node)?;
        let key = node.first_chunk().copied().map_or(u64::MAX, u64::from_le_bytes);
        let known = known.get_mut(key as usize);
        let is_new = known.is_some_and(|known| !std::mem::replace(known, true));
        if !is_new || !is_sound_node(&node, level, &levels, connectivity) {
            return Ok(false);
        }
    }
    Ok(file.stream_position()? == length)
}

fn is_sound_node(node: &[u8], level: i16, levels: &[i16], connectivity: usize) -> bool {
    let (head, links) = node.split_at(NODE_HEAD);
    if head[KEY..] != level.to_le_bytes() {
        return false;
    }
    let (links, _) = links.as_chunks();
    let (ground, above) = links.split_at(1 + 2 * connectivity);
    let mut lists = (0..).zip(std::iter::once(ground).chain(above.chunks(1 + connectivity)));
    lists.all(|(level, list)| {
        let (count, room) = (u32::from_le_bytes(list[0]) as usize, &list[1..]);
        let leads_there = |link: &[u8; 4]| {
            levels.get(u32::from_le_bytes(*link) as usize).is_some_and(|&other| other >= level)
        };
        room.get(..count).is_some_and(|links| links.iter().all(leads_there))
    })
}

fn u32_of(file: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn u64_of(file: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
