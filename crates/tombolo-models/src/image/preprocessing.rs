//! From pixels to what an image backbone takes: one picture a view.

use tombolo_data::image::{Pixels, Preprocess};

/// One way of looking at a photo.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The network that looks, by its place among the backbone's.
    pub(super) network: usize,
    /// What it was trained to see.
    pub(super) preprocess: Preprocess,
    /// Whether it sees the mirror image.
    pub(super) mirrored: bool,
}

impl View {
    /// Values of a picture.
    pub(super) fn len(&self) -> usize {
        3 * self.preprocess.size * self.preprocess.size
    }

    fn apply(&self, pixels: &Pixels) -> Vec<f32> {
        let picture = self.preprocess.apply(pixels);
        if !self.mirrored {
            return picture;
        }
        let rows = picture.chunks_exact(3 * self.preprocess.size);
        rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect()
    }
}

/// What a photo must be brought to for a backbone.
#[derive(Clone, Debug)]
pub struct Preprocessing {
    pub(super) views: Vec<View>,
}

impl Preprocessing {
    /// One view.
    pub(crate) fn alone(preprocess: Preprocess) -> Self {
        Self { views: vec![View { network: 0, preprocess, mirrored: false }] }
    }

    /// The pictures of all views, one after the other, each `[size, size, 3]` of its own size.
    pub fn apply(&self, pixels: &Pixels) -> Vec<f32> {
        match self.views.as_slice() {
            [view] => view.apply(pixels),
            views => views.iter().flat_map(|view| view.apply(pixels)).collect(),
        }
    }

    /// The square of the first view, before normalisation.
    pub fn square(&self, pixels: &Pixels) -> Pixels {
        self.first().square(pixels).into_owned()
    }

    /// Side of the first view's picture.
    pub fn size(&self) -> usize {
        self.first().size
    }

    fn first(&self) -> &Preprocess {
        &self.views[0].preprocess
    }

    /// Differs when the result may.
    pub fn fingerprint(&self) -> String {
        let each = self.views.iter().map(|view| {
            let print = view.preprocess.fingerprint();
            if view.mirrored { format!("{print} mirrored") } else { print }
        });
        each.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_data::image::{Filter, Fit};

    #[test]
    fn views_follow_each_other_and_a_mirrored_one_is_reversed_in_each_row() {
        let preprocess = Preprocess {
            size: 2,
            fit: Fit::Squash,
            filter: Filter::Bicubic,
            mean: [0.0; 3],
            std: [1.0 / 255.0; 3],
        };
        let view = |mirrored| View { network: 0, preprocess, mirrored };
        let both = Preprocessing { views: vec![view(false), view(true)] };
        let pixels = Pixels::new(2, 2, (0..12).collect());
        let found: Vec<u8> = both.apply(&pixels).iter().map(|x| x.round() as u8).collect();
        assert_eq!(found[..12], (0..12).collect::<Vec<u8>>());
        assert_eq!(found[12..], [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]);
        let alone = Preprocessing { views: vec![view(false)] };
        assert_eq!(alone.fingerprint(), preprocess.fingerprint());
        assert_ne!(alone.fingerprint(), both.fingerprint());
    }
}
