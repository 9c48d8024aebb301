//! Encoding and committing, a batch at a time.

use half::f16;
use half::slice::HalfFloatSliceExt;

use tombolo_data::image::Metadata;
use tombolo_vectors::EmbeddingMatrix;

use super::prepare::{Outcome, Prepared};
use super::{IndexSummary, Progress, Skipped};
use crate::library::{Content, LibraryWriter, NewItem};
use crate::{ImageEncoder, SearchError};

/// Records that need no encoding are committed this many at a time.
const MAX_RECORDS: usize = 512;

const SAME_AS_BROKEN: &str = "its content is that of another file that cannot be used";
const NOT_FINITE: &str = "the model gives it a vector that is not finite";

/// What is prepared and not yet committed.
pub(super) struct Batch<'a, E: ImageEncoder> {
    library: &'a mut LibraryWriter,
    encoder: &'a E,
    summary: &'a mut IndexSummary,
    progress: &'a mut dyn FnMut(&Progress),
    /// Photos committed, and inputs refused.
    done: usize,
    items: Vec<NewItem>,
    /// Of each item.
    origins: Vec<Origin>,
    inputs: Vec<E::Input>,
}

#[derive(Clone, Copy)]
struct Origin {
    /// The library had a record of this path.
    known: bool,
    /// Which of the inputs its vector comes from.
    input: Option<usize>,
}

impl<'a, E: ImageEncoder> Batch<'a, E> {
    pub(super) fn new(
        library: &'a mut LibraryWriter,
        encoder: &'a E,
        summary: &'a mut IndexSummary,
        progress: &'a mut dyn FnMut(&Progress),
    ) -> Self {
        let done = summary.unchanged + summary.skipped.len();
        let (items, origins, inputs) = (Vec::new(), Vec::new(), Vec::new());
        Self { library, encoder, summary, progress, done, items, origins, inputs }
    }

    /// Adds a picture, and commits once the batch is full.
    pub(super) fn take(&mut self, prepared: Prepared<E::Input>) -> Result<(), SearchError> {
        let Prepared { work, blake3, caption, outcome } = prepared;
        let mut input = None;
        let content = match outcome {
            Outcome::New { input: new, width, height, metadata } => {
                input = Some(self.inputs.len());
                self.inputs.push(new);
                // The row is known once the batch is encoded.
                let Metadata { taken_at, camera, .. } = metadata;
                Ok(Content { width, height, taken_at, camera, vector_row: usize::MAX })
            }
            Outcome::Known(content) => Ok(content),
            Outcome::Repeated(hash) => {
                self.flush()?;
                let content = self.library.records().content(&hash)?;
                content.ok_or_else(|| SAME_AS_BROKEN.to_owned())
            }
            Outcome::Broken(reason) => Err(reason),
            Outcome::Unreadable(reason) => {
                self.summary.skipped.push(Skipped { path: work.found.path, reason });
                self.done += 1;
                return Ok(());
            }
        };
        let (path, stamp) = (work.found.path, work.found.stamp);
        self.items.push(NewItem { path, stamp, blake3, caption, content });
        self.origins.push(Origin { known: work.known, input });
        if self.inputs.len() >= self.encoder.batch_size() || self.items.len() >= MAX_RECORDS {
            self.flush()?;
        }
        Ok(())
    }

    /// Encodes and commits what is waiting.
    pub(super) fn flush(&mut self) -> Result<(), SearchError> {
        if self.items.is_empty() {
            return Ok(());
        }
        let vectors = self.encode()?;
        self.library.commit(&vectors, &self.items)?;
        self.count();
        self.inputs.clear();
        Ok(())
    }

    /// Encodes the inputs, `[n, dim]`, and tells each item its row. A vector that is not finite
    /// gets none.
    fn encode(&mut self) -> Result<Vec<f16>, SearchError> {
        let mut vectors = Vec::new();
        let mut rows = Vec::with_capacity(self.inputs.len());
        for vector in &self.encoded()? {
            let mut halves = vec![f16::ZERO; vector.len()];
            halves.convert_from_f32_slice(vector);
            let is_finite = halves.iter().all(|value| value.is_finite());
            rows.push(is_finite.then(|| self.library.next_row() + vectors.len() / vector.len()));
            if is_finite {
                vectors.append(&mut halves);
            }
        }
        for (item, origin) in self.items.iter_mut().zip(&self.origins) {
            let (Some(input), Ok(content)) = (origin.input, &mut item.content) else { continue };
            match rows[input] {
                Some(row) => content.vector_row = row,
                None => item.content = Err(NOT_FINITE.to_owned()),
            }
        }
        Ok(vectors)
    }

    fn encoded(&self) -> Result<EmbeddingMatrix, SearchError> {
        let path = || self.library.dir().to_owned();
        let (expected_dim, expected) = (self.encoder.dim(), self.inputs.len());
        let model = |source| SearchError::Model { path: path(), source };
        if expected == 0 {
            return EmbeddingMatrix::new(expected_dim).map_err(|error| model(error.into()));
        }
        let encoded = self.encoder.encode(&self.inputs).map_err(model)?;
        if encoded.dim() != expected_dim {
            let (expected, found) = (expected_dim, encoded.dim());
            return Err(SearchError::Dim { path: path(), what: "vectors", expected, found });
        }
        if encoded.len() != expected {
            return Err(SearchError::VectorCount { path: path(), expected, found: encoded.len() });
        }
        Ok(encoded)
    }

    /// Moves what is committed into the summary, and reports.
    fn count(&mut self) {
        let summary = &mut *self.summary;
        self.done += self.items.len();
        for (item, origin) in self.items.drain(..).zip(self.origins.drain(..)) {
            if let Err(reason) = item.content {
                summary.skipped.push(Skipped { path: item.path, reason });
                continue;
            }
            let (by_path, by_content) = match (origin.known, origin.input) {
                (true, Some(_)) => (&mut summary.updated, &mut summary.encoded),
                (true, None) => (&mut summary.updated, &mut summary.reused),
                (false, Some(_)) => (&mut summary.added, &mut summary.encoded),
                (false, None) => (&mut summary.added, &mut summary.reused),
            };
            *by_path += 1;
            *by_content += 1;
        }
        (self.progress)(&Progress {
            done: self.done,
            total: summary.found,
            encoded: summary.encoded,
            skipped: summary.skipped.len(),
        });
    }
}
