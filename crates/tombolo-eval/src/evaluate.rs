use serde::Serialize;
use tombolo_vectors::EmbeddingMatrix;

use crate::bootstrap::{interval, resampled};
use crate::mean::mean;
use crate::{DirectionMetrics, EvalError, Measure, Rankings, Relevance, Worth, rank};

/// Image–text retrieval in both directions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Retrieval {
    /// Images are queries, texts the gallery.
    pub image_to_text: DirectionMetrics,
    /// Texts are queries, images the gallery.
    pub text_to_image: DirectionMetrics,
    /// recall@1 + recall@5 + recall@10 of both directions, in percent: between 0 and 600, as the
    /// field reports it.
    pub rsum: f64,
    /// 95 % interval of rsum: percentile bootstrap over the queries of both directions, drawn independently.
    pub rsum_ci95: [f64; 2],
}

/// Ranks in both directions, of which the metrics are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BothRankings {
    /// Of the texts, for each image that is a query.
    pub image_to_text: Rankings,
    /// Of the images, for each text that is a query.
    pub text_to_image: Rankings,
}

impl BothRankings {
    /// The metrics of both directions.
    ///
    /// # Errors
    /// [`EvalError::NothingRelevant`] if in one direction no query has a relevant item.
    pub fn retrieval(&self) -> Result<Retrieval, EvalError> {
        let [image_to_text, text_to_image] = self.worth();
        Retrieval::of(&image_to_text, &text_to_image)
    }

    /// What each query is worth: images, then texts.
    pub fn worth(&self) -> [Worth; 2] {
        [Worth::from(&self.image_to_text), Worth::from(&self.text_to_image)]
    }

    /// [`Retrieval::rsum`] alone, without the cost of intervals; NaN if in one direction no query has a relevant item.
    pub fn rsum(&self) -> f64 {
        let recalls = |rankings: &Rankings| {
            let [one, five, ten] = [1, 5, 10].map(|k| rankings.mean(Measure::Recall(k)));
            one + five + ten
        };
        100.0 * (recalls(&self.image_to_text) + recalls(&self.text_to_image))
    }
}

/// What rsum is the sum of, in each direction.
const SUMMED: [Measure; 3] = [Measure::Recall(1), Measure::Recall(5), Measure::Recall(10)];

impl Retrieval {
    /// The metrics of what each query is worth in either direction.
    ///
    /// # Errors
    /// [`EvalError::NothingRelevant`] if in one direction no query has a relevant item.
    pub fn of(image_to_text: &Worth, text_to_image: &Worth) -> Result<Self, EvalError> {
        let recalls = |worth: &Worth| SUMMED.map(|recall| worth.values(recall));
        let (of_images, of_texts) = (recalls(image_to_text), recalls(text_to_image));
        let sum = |recalls: &[Vec<f64>; 3]| recalls.iter().map(|values| mean(values)).sum::<f64>();
        Ok(Self {
            image_to_text: DirectionMetrics::of(image_to_text)?,
            text_to_image: DirectionMetrics::of(text_to_image)?,
            rsum: 100.0 * (sum(&of_images) + sum(&of_texts)),
            rsum_ci95: rsum_interval(&of_images, &of_texts),
        })
    }
}

fn rsum_interval(of_images: &[Vec<f64>; 3], of_texts: &[Vec<f64>; 3]) -> [f64; 2] {
    let sums = |recalls: &[Vec<f64>; 3], salt: u64| {
        let sum = |query: usize| recalls.iter().map(|values| values[query]).sum::<f64>();
        let mean = |drawn: &[usize]| {
            vec![drawn.iter().map(|&query| sum(query)).sum::<f64>() / drawn.len() as f64]
        };
        resampled(recalls[0].len(), salt, mean)
    };
    let (images, texts) = (sums(of_images, 0), sums(of_texts, 1));
    interval(images.iter().zip(&texts).map(|(i, t)| 100.0 * (i[0] + t[0])).collect())
}

/// Ranks all images against all texts, both ways.
///
/// A text is relevant to one image, an image to any number of texts; images without a text and
/// so without an answer are left out of `image_to_text`, and counted.
///
/// # Shapes
/// `images`: `[images, dim]`; `texts`: `[texts, dim]`; `image_of_text`: `[texts]`, the image's row
/// for each text. Rows are compared by dot product, so give unit rows for cosines.
/// # Errors
/// [`EvalError::Empty`], [`EvalError::Dim`], [`EvalError::NonFinite`], [`EvalError::Count`] and
/// [`EvalError::UnknownRow`], each naming the side.
///
/// ```
/// use tombolo_vectors::EmbeddingMatrix;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let images = EmbeddingMatrix::from_rows(2, vec![1.0, 0.0, 0.0, 1.0])?;
/// let texts = EmbeddingMatrix::from_rows(2, vec![0.8, 0.6, 0.6, 0.8, 1.0, 0.0])?;
/// let found = tombolo_eval::evaluate(&images, &texts, &[0, 1, 1])?;
/// assert_eq!(found.text_to_image.recall_at_1, 2.0 / 3.0);
/// # Ok(())
/// # }
/// ```
pub fn evaluate(
    images: &EmbeddingMatrix,
    texts: &EmbeddingMatrix,
    image_of_text: &[usize],
) -> Result<Retrieval, EvalError> {
    check("images", images)?;
    check("texts", texts)?;
    if images.dim() != texts.dim() {
        return Err(EvalError::Dim { expected: images.dim(), found: texts.dim() });
    }
    if image_of_text.len() != texts.len() {
        let (expected, found) = (texts.len(), image_of_text.len());
        return Err(EvalError::Count { side: "texts", expected, found });
    }
    let images_of_text =
        Relevance::from_lists(images.len(), image_of_text.iter().map(|&image| [image]))?;
    let texts_of_image = images_of_text.transposed();
    let text_to_image = rank(texts, images, &images_of_text)?;
    let image_to_text = rank(images, texts, &texts_of_image)?;
    BothRankings { image_to_text, text_to_image }.retrieval()
}

/// Checked here too, so that the error speaks of images and texts, not of queries and gallery.
fn check(side: &'static str, rows: &EmbeddingMatrix) -> Result<(), EvalError> {
    if rows.is_empty() {
        return Err(EvalError::Empty { side });
    }
    match rows.first_non_finite() {
        Some(row) => Err(EvalError::NonFinite { side, row }),
        None => Ok(()),
    }
}
