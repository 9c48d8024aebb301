use tombolo_data::image::Decoded;
use tombolo_vectors::EmbeddingMatrix;

/// An error of the program's own model code.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An image tower, as far as a library must know it.
pub trait ImageEncoder: Sync {
    /// A photo, decoded and resampled to what the tower takes.
    type Input: Send;

    /// What tells this tower's vectors from another's: of its weights and its preprocessing.
    fn fingerprint(&self) -> &str;

    /// Components of its vectors.
    fn dim(&self) -> usize;

    /// Photos per call of [`ImageEncoder::encode`], at least 1.
    fn batch_size(&self) -> usize;

    /// Makes the input of one photo. Runs on many threads at once, beside `encode`.
    fn prepare(&self, photo: Decoded) -> Self::Input;

    /// Encodes a batch, `[batch.len(), dim]`, rows of unit norm.
    ///
    /// # Errors
    /// Whatever the model reports; indexing stops there and keeps what it had committed.
    fn encode(&self, batch: &[Self::Input]) -> Result<EmbeddingMatrix, BoxError>;
}

/// The image side of a model's map: moves raw image-tower vectors to where queries live.
///
/// A library keeps raw vectors, so a new map needs no new encoding.
pub trait GalleryMap: Sync {
    /// What tells this map from another; names the folder of its derived vectors.
    fn fingerprint(&self) -> &str;

    /// Components of the mapped vectors.
    fn dim(&self) -> usize;

    /// Maps raw vectors, `[n, library dim]`, to `[n, dim]`, row by row.
    ///
    /// # Errors
    /// Whatever the model reports.
    fn apply(&self, raw: &EmbeddingMatrix) -> Result<EmbeddingMatrix, BoxError>;
}
