//! Rankings whose best are judged again, both directions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::bail;
use tombolo_data::dataset::Dataset;
use tombolo_eval::BothRankings;

use super::Vectors;
use crate::cli::Terminal;
use crate::rerank::{Case, Judge};

/// The rankings with the best of each query in the order of `judge`, and all else as it was.
///
/// A photo is looked at once, for all texts that it is to be matched with in either direction.
///
/// # Errors
/// If the network fails, or a photo that was read before cannot be read again.
pub fn reranked(
    vectors: &Vectors,
    dataset: &dyn Dataset,
    (first, judge): (&BothRankings, &Judge),
    terminal: &Terminal,
) -> anyhow::Result<BothRankings> {
    let gallery = vectors.gallery();
    let candidates = gallery.candidates(judge.top())?;
    let scores = scores(vectors, dataset, &gallery.pairs(&candidates), (judge, terminal))?;
    let combined = |first, score| judge.combined(first, score);
    Ok(gallery.judged(first, &candidates, &scores, &combined)?)
}

/// The score of each pair of an image and a text, by their rows.
fn scores(
    vectors: &Vectors,
    dataset: &dyn Dataset,
    pairs: &BTreeMap<usize, BTreeSet<usize>>,
    (judge, terminal): (&Judge, &Terminal),
) -> anyhow::Result<HashMap<(usize, usize), f32>> {
    let texts = vectors.text_indices.iter();
    let words: Vec<&str> = texts.map(|&text| dataset.texts()[text].text.as_str()).collect();
    let cases = pairs.iter().map(|(&image, texts)| Case {
        photo: dataset.images()[vectors.image_indices[image]].source.clone(),
        texts: texts.iter().copied().collect(),
    });
    let found = judge.judge(&words, cases.collect(), terminal)?;
    let mut scores = HashMap::new();
    for ((&image, texts), found) in pairs.iter().zip(found) {
        let Some(found) = found else {
            bail!("a photo that was read a moment ago cannot be read again");
        };
        scores.extend(texts.iter().zip(found).map(|(&text, score)| ((image, text), score)));
    }
    Ok(scores)
}
