//! Reading, hashing, decoding and resampling, on other threads than the encoder's.

use std::borrow::Cow;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;

use blake3::Hash;
use rayon::prelude::*;
use tombolo_data::image::{DecodeError, ImageError, Limits, Metadata, decode};

use super::plan::Work;
use crate::library::{Content, Records};
use crate::{ImageEncoder, SearchError};

/// A picture with all that is known before encoding.
pub(super) struct Prepared<I> {
    pub(super) work: Work,
    pub(super) blake3: Option<Hash>,
    pub(super) caption: Option<String>,
    pub(super) outcome: Outcome<I>,
}

/// What its bytes turned out to be.
pub(super) enum Outcome<I> {
    /// To encode.
    New { input: I, width: u32, height: u32, metadata: Metadata },
    /// The library has this content.
    Known(Content),
    /// The content of a picture that came before in this run.
    Repeated(Hash),
    /// No picture that can be used: recorded with its reason.
    Broken(String),
    /// It could not be read now, which says nothing of its content: reported, not recorded.
    Unreadable(String),
}

/// Prepares pictures, in order, a few at a time so that memory stays bounded.
pub(super) struct Prepare<'a, E> {
    pub(super) encoder: &'a E,
    pub(super) limits: Limits,
}

type Bytes = Cow<'static, [u8]>;

impl<E: ImageEncoder> Prepare<'_, E> {
    /// Sends what it prepares until all is done or nobody listens.
    ///
    /// `records` is a connection of its own, to look contents up with.
    pub(super) fn run(
        &self,
        records: &Records,
        work: Vec<Work>,
        sender: &SyncSender<Prepared<E::Input>>,
    ) -> Result<(), SearchError> {
        let at_once = 2 * rayon::current_num_threads();
        // Contents of this run that are on their way into the library.
        let mut sent = HashSet::new();
        let mut work = work.into_iter();
        loop {
            let some: Vec<Work> = work.by_ref().take(at_once).collect();
            if some.is_empty() {
                return Ok(());
            }
            let read: Vec<_> = some.into_par_iter().map(|work| self.read(work)).collect();
            let mut steps = Vec::with_capacity(read.len());
            for read in read {
                steps.push(step(records, read, &mut sent)?);
            }
            let prepared: Vec<_> = steps.into_par_iter().map(|step| self.finish(step)).collect();
            for prepared in prepared {
                if sender.send(prepared).is_err() {
                    return Ok(());
                }
            }
        }
    }

    fn read(&self, work: Work) -> Read {
        let caption = work.found.caption.read();
        let (found, max) = (work.found.stamp.size, self.limits.max_file_bytes);
        if found > max {
            let error = DecodeError::TooManyBytes { what: "in the file", found, max };
            return Read { work, caption, bytes: Err(Refusal::Broken(error.to_string())) };
        }
        let bytes = match work.found.source.read() {
            Ok(bytes) => Ok((blake3::hash(&bytes), bytes)),
            Err(ImageError::Read { source, .. }) => Err(Refusal::Unreadable(source.to_string())),
            Err(error) => Err(Refusal::Unreadable(error.to_string())),
        };
        Read { work, caption, bytes }
    }

    fn finish(&self, step: Step<E::Input>) -> Prepared<E::Input> {
        let Step { work, blake3, caption, next } = step;
        let outcome = match next {
            Next::Done(outcome) => outcome,
            Next::Decode(bytes) => self.decode(&bytes),
        };
        Prepared { work, blake3, caption, outcome }
    }

    fn decode(&self, bytes: &[u8]) -> Outcome<E::Input> {
        let attempt = AssertUnwindSafe(|| {
            decode(bytes, &self.limits).map(|photo| {
                let size = (photo.pixels.width as u32, photo.pixels.height as u32);
                let metadata = photo.metadata.clone();
                (size, metadata, self.encoder.prepare(photo))
            })
        });
        match catch_unwind(attempt) {
            Ok(Ok(((width, height), metadata, input))) => {
                Outcome::New { input, width, height, metadata }
            }
            Ok(Err(error)) => Outcome::Broken(error.to_string()),
            Err(_) => Outcome::Broken("the decoder gave up on it".to_owned()),
        }
    }
}

/// Decides, picture by picture in order, which contents are new.
fn step<I>(
    records: &Records,
    read: Read,
    sent: &mut HashSet<Hash>,
) -> Result<Step<I>, SearchError> {
    let Read { work, caption, bytes } = read;
    let (blake3, next) = match bytes {
        Err(Refusal::Broken(reason)) => (None, Next::Done(Outcome::Broken(reason))),
        Err(Refusal::Unreadable(reason)) => (None, Next::Done(Outcome::Unreadable(reason))),
        Ok((hash, bytes)) => {
            let next = match records.content(&hash)? {
                Some(content) => Next::Done(Outcome::Known(content)),
                None if sent.insert(hash) => Next::Decode(bytes),
                None => Next::Done(Outcome::Repeated(hash)),
            };
            (Some(hash), next)
        }
    };
    Ok(Step { work, blake3, caption, next })
}

/// A picture that was read.
struct Read {
    work: Work,
    caption: Option<String>,
    bytes: Result<(Hash, Bytes), Refusal>,
}

enum Refusal {
    Broken(String),
    Unreadable(String),
}

/// A picture of which it is known whether it must be decoded.
struct Step<I> {
    work: Work,
    blake3: Option<Hash>,
    caption: Option<String>,
    next: Next<I>,
}

enum Next<I> {
    Decode(Bytes),
    Done(Outcome<I>),
}
