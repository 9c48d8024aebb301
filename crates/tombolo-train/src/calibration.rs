//! `calibration.json`: from a score of text and image to the probability that they match.

use std::io::Write;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tombolo_eval::Calibration;
use tombolo_models::checkpoint::write_atomically;
use tombolo_vectors::EmbeddingMatrix;

use crate::error::{Result, TrainError};

/// The file's name in a run directory.
const FILE: &str = "calibration.json";

/// Matching pairs of a half, at least; with fewer a probability would be a guess.
const FEWEST: usize = 50;

/// Images that each text is compared with beside its own, at most.
const OTHERS: usize = 200;

/// What `calibration.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationFile {
    /// The probability of a match by the cosine of a mapped text and a mapped image.
    #[serde(flatten)]
    pub calibration: Calibration,
    /// Matching pairs that it was fitted on, and matching pairs that it was checked on: the texts of the even and
    /// of the odd images of the validation split.
    pub pairs: [usize; 2],
    /// Its expected calibration error where it was fitted and where it was checked.
    pub expected_error: [f64; 2],
}

impl CalibrationFile {
    /// Fits on the texts of even images, checks on those of odd ones. None where a half has too few
    /// matching pairs.
    ///
    /// `texts`: `[texts, dim]`, `images`: `[images, dim]`, mapped; `image_of_text`: the image of each text.
    pub(crate) fn fit(
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
        image_of_text: &[usize],
    ) -> Option<Self> {
        let halves = [0, 1].map(|half| Scores::of(texts, images, image_of_text, half));
        if halves.iter().any(|half| half.matches.len() < FEWEST) {
            return None;
        }
        let [fitted, checked] = &halves;
        let calibration = Calibration::fit(&fitted.matches, &fitted.others)?;
        let error = |half: &Scores| calibration.expected_error(&half.matches, &half.others);
        Some(Self {
            calibration,
            pairs: [fitted.matches.len(), checked.matches.len()],
            expected_error: [error(fitted), error(checked)],
        })
    }

    /// Reads the file of a run directory; none if the run is not calibrated.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn read(run: &Path) -> Result<Option<Self>> {
        let path = run.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).map_err(TrainError::io(&path))?;
        let read = serde_json::from_str(&text);
        read.map(Some).map_err(|e| TrainError::io(&path)(e.into()))
    }
}

/// Scores of texts with their own images and with others of the same half.
struct Scores {
    matches: Vec<f64>,
    others: Vec<f64>,
}

impl Scores {
    fn of(
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
        image_of_text: &[usize],
        half: usize,
    ) -> Self {
        let queries: Vec<(usize, usize)> = image_of_text
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, image)| image % 2 == half)
            .collect();
        let score = |text: usize, image: usize| {
            let pairs = texts.row(text).iter().zip(images.row(image));
            f64::from(pairs.map(|(x, y)| x * y).sum::<f32>())
        };
        let matches = queries.par_iter().map(|&(text, image)| score(text, image)).collect();
        // Spread over the half, and for each text from another place on.
        let members = (images.len() + 1 - half) / 2;
        let stride = members.div_ceil(OTHERS).max(1);
        let others = queries.par_iter().flat_map_iter(|&(text, own)| {
            let gallery = (text % stride..members).step_by(stride).map(|member| 2 * member + half);
            gallery.filter(move |&image| image != own).map(move |image| score(text, image))
        });
        Self { matches, others: others.collect() }
    }
}

/// Writes the file, or takes the old one away where there is no calibration.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write(run: &Path, file: Option<&CalibrationFile>) -> Result<()> {
    let path = run.join(FILE);
    let Some(file) = file else {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(TrainError::io(&path)(error))
            }
            _ => Ok(()),
        };
    };
    let text = serde_json::to_string_pretty(file).expect("numbers are always JSON") + "\n";
    let written = write_atomically(&path, |out| out.write_all(text.as_bytes()));
    written.map_err(TrainError::io(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts that lie near their images; two a text.
    fn pairs(images: usize) -> (EmbeddingMatrix, EmbeddingMatrix, Vec<usize>) {
        let vector = |image: usize, turn: f32| {
            let angle = image as f32 * 2.4 + turn;
            vec![angle.cos(), angle.sin()]
        };
        let gallery = (0..images).flat_map(|image| vector(image, 0.0)).collect();
        let image_of_text: Vec<usize> = (0..2 * images).map(|text| text / 2).collect();
        let turned = |text: usize| ((text * 37 % 100) as f32 / 50.0 - 1.0) * 0.8;
        let texts = (0..2 * images).flat_map(|text| vector(text / 2, turned(text))).collect();
        let matrix = |values| EmbeddingMatrix::from_rows(2, values).unwrap();
        (matrix(texts), matrix(gallery), image_of_text)
    }

    #[test]
    fn is_fitted_on_one_half_and_checked_on_the_other() {
        let (texts, images, image_of_text) = pairs(101);
        let file = CalibrationFile::fit(&texts, &images, &image_of_text).unwrap();
        assert_eq!(file.pairs, [102, 100]);
        assert!(file.calibration.slope > 0.0);
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), Some(&file)).unwrap();
        assert_eq!(CalibrationFile::read(dir.path()).unwrap(), Some(file));
        write(dir.path(), None).unwrap();
        assert_eq!(CalibrationFile::read(dir.path()).unwrap(), None);
    }

    #[test]
    fn a_few_pairs_are_not_enough() {
        let (texts, images, image_of_text) = pairs(20);
        assert_eq!(CalibrationFile::fit(&texts, &images, &image_of_text), None);
    }
}
