//! Perturbed captions and photos, to measure how much of its recall a model keeps.
//!
//! A [`TextPerturbation`] changes a caption, an [`ImagePerturbation`] the decoded pixels of a photo. Both draw from
//! a generator that is seeded by a seed, the perturbation's name and the input's index, so an input is
//! changed in the same way whatever stands beside it, on every machine. An input that has nothing to change
//! (a caption without a noun, a grey photo turned in hue) comes back as it was, and is counted as unchanged.

mod distraction;
pub mod image;
mod part_of_speech;
mod synonym;
mod text;
mod typo;
mod word_order;
mod wordnet;

use std::fmt;
use std::str::FromStr;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use self::image::{ImageKind, ImagePerturbation, Strength};
pub use part_of_speech::{PartOfSpeech, parts_of_speech};
pub use text::{PerturbedTexts, TextPerturbation};

/// A change to the texts or to the images of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Perturbation {
    /// A change to each caption.
    Text(TextPerturbation),
    /// A change to each photo's pixels.
    Image(ImagePerturbation),
}

/// A name that is no perturbation's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a perturbation, found `{found}`; {nearest}")]
pub struct UnknownPerturbation {
    found: String,
    nearest: String,
}

impl UnknownPerturbation {
    fn new(found: &str) -> Self {
        let bare = found.split('@').next().unwrap_or_default();
        let names = names();
        if bare == "images" {
            let nearest = "`images` takes a strength from 1 to 5, or `all`".to_owned();
            return Self { found: found.to_owned(), nearest };
        }
        let near = crate::nearest(bare, names.iter().copied(), 0.8);
        let nearest = match near {
            Some(name) if bare == name => {
                format!(
                    "`{bare}` takes a strength from 1 to 5, such as `{bare}@3`, if it is of images"
                )
            }
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known are all, texts, images, images@all, {}", names.join(", ")),
        };
        Self { found: found.to_owned(), nearest }
    }
}

impl Perturbation {
    /// All of them, those of images at strength 3.
    pub fn all() -> Vec<Self> {
        let texts = TextPerturbation::ALL.map(Self::Text);
        texts.into_iter().chain(Self::images(&[Strength::default()])).collect()
    }

    /// Those of images at these strengths, kind by kind.
    fn images(strengths: &[Strength]) -> Vec<Self> {
        let of = |kind: ImageKind| strengths.iter().map(move |&s| Self::Image(kind.at(s)));
        ImageKind::ALL.into_iter().flat_map(of).collect()
    }

    /// Perturbations by names between commas: `all`, `texts`, `images`, `images@5`, `images@all`, `char_swap`, `blur`,
    /// `blur@5`. One that is named twice is there once.
    ///
    /// # Errors
    /// [`UnknownPerturbation`], with the name that comes nearest.
    pub fn parse_list(names: &str) -> Result<Vec<Self>, UnknownPerturbation> {
        let mut found = Vec::new();
        for name in names.split(',').map(str::trim) {
            let named = match name {
                "all" => Self::all(),
                "texts" => TextPerturbation::ALL.map(Self::Text).to_vec(),
                "images" => Self::images(&[Strength::default()]),
                "images@all" => Self::images(&Strength::ALL),
                _ => match name.strip_prefix("images@").and_then(Strength::parse) {
                    Some(strength) => Self::images(&[strength]),
                    None => vec![name.parse()?],
                },
            };
            for perturbation in named {
                if !found.contains(&perturbation) {
                    found.push(perturbation);
                }
            }
        }
        Ok(found)
    }
}

impl fmt::Display for Perturbation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text.name()),
            Self::Image(image) => image.fmt(f),
        }
    }
}

impl FromStr for Perturbation {
    type Err = UnknownPerturbation;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let text = TextPerturbation::ALL.into_iter().find(|text| text.name() == name);
        text.map(Self::Text)
            .or_else(|| ImagePerturbation::parse(name).map(Self::Image))
            .ok_or_else(|| UnknownPerturbation::new(name))
    }
}

fn names() -> Vec<&'static str> {
    let texts = TextPerturbation::ALL.into_iter().map(TextPerturbation::name);
    texts.chain(ImageKind::ALL.into_iter().map(ImageKind::name)).collect()
}

/// The generator of one input: ChaCha8, one stream an index.
fn draws(seed: u64, name: &str, index: usize) -> ChaCha8Rng {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(name.as_bytes()).as_bytes();
    let mut draws = ChaCha8Rng::seed_from_u64(seed ^ u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    draws.set_stream(index as u64);
    draws
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for perturbation in Perturbation::all() {
            assert_eq!(perturbation.to_string().parse(), Ok(perturbation));
        }
        assert_eq!("blur".parse::<Perturbation>().unwrap().to_string(), "blur@3");
        assert_eq!("blur@5".parse::<Perturbation>().unwrap().to_string(), "blur@5");
    }

    #[test]
    fn a_list_names_each_once() {
        assert_eq!(Perturbation::parse_list("all").unwrap().len(), 20);
        assert_eq!(Perturbation::parse_list("texts,char_swap").unwrap().len(), 14);
        let found = Perturbation::parse_list("images, blur@1,blur").unwrap();
        assert_eq!(found.len(), 7);
        assert_eq!(Perturbation::parse_list("images@all").unwrap().len(), 30);
        let strong = Perturbation::parse_list("images@5").unwrap();
        assert!(strong.len() == 6 && strong.iter().all(|p| p.to_string().ends_with("@5")));
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest() {
        let error = |name: &str| Perturbation::parse_list(name).unwrap_err().to_string();
        assert!(error("char_swop").ends_with("did you mean `char_swap`?"));
        assert!(error("blur@9").contains("a strength from 1 to 5"));
        assert!(error("xyz").contains("known are all, texts, images, images@all, char_swap"));
        assert!(error("images@6").contains("a strength from 1 to 5"));
        assert!(error("").contains("found ``"));
    }
}
