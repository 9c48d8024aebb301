//! `tombolo search`: a library by text, by image, or by both.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::FalseyValueParser;
use serde_json::json;
use tombolo_data::dataset::ImageSource;
use tombolo_eval::Calibration;
use tombolo_search::{Hit, Library, Method, SearchOptions};
use tombolo_vectors::normalize;

use super::failure::Misuse;
use super::terminal::Terminal;
use super::{Global, Outcome};
use crate::library::{ImageSide, library_dir, model_of};
use crate::model::{Encoder, require_words};

/// Search a library by text, by image, or by both: what is added pulls, what is subtracted pushes
#[derive(Args)]
pub struct Arguments {
    /// What to look for, in words
    query: Option<String>,
    /// The library's directory; by default your own, beside the installed models
    #[arg(long, env = "TOMBOLO_LIBRARY", value_name = "DIR")]
    library: Option<PathBuf>,
    /// A photo to look for the like of
    #[arg(long, env = "TOMBOLO_IMAGE", value_name = "FILE")]
    image: Option<PathBuf>,
    /// A text or photo to add to the query; may be given again
    #[arg(long, env = "TOMBOLO_ADD", value_name = "QUERY")]
    add: Vec<String>,
    /// A text or photo to subtract from the query; may be given again
    #[arg(long, env = "TOMBOLO_SUBTRACT", value_name = "QUERY")]
    subtract: Vec<String>,
    /// How many results
    #[arg(short = 't', long, env = "TOMBOLO_TOP", default_value_t = 10, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..))]
    top: u64,
    /// Only photos that match the words at least with this probability, from 0 to 1
    #[arg(long, env = "TOMBOLO_MIN_PROBABILITY", value_name = "P", value_parser = probability)]
    min_probability: Option<f64>,
    /// Compare every photo, where a large library would be searched through its graph
    #[arg(long, env = "TOMBOLO_EXACT", value_parser = FalseyValueParser::new())]
    exact: bool,
    /// Print paths alone, each ended by a zero byte, for `xargs -0`
    #[arg(short = '0', long = "null", env = "TOMBOLO_NULL", conflicts_with = "json",
        value_parser = FalseyValueParser::new())]
    null: bool,
    /// The model: a run directory or a starter; by default the one that the library was last indexed with
    #[arg(long, env = "TOMBOLO_MODEL")]
    model: Option<PathBuf>,
}

pub fn run(arguments: Arguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let dir = library_dir(arguments.library.clone())?;
    let model = model_of(&dir, arguments.model.clone())?;
    let library = Library::open(&dir)?;
    let encoder = Encoder::open(&model, global)?;
    let tower = encoder.model().file().image.as_ref();
    library.require_model(tower.map_or("", |tower| tower.fingerprint.as_str()))?;
    let query = query(&arguments, &encoder, terminal)?;
    let map = ImageSide::new(&encoder)?;
    let method = if arguments.exact { Method::Exact } else { Method::Auto };
    let options = SearchOptions { top: arguments.top as usize, map: Some(&map), method };
    let calibration = calibration(&arguments, &encoder)?;
    let hits = library.search(&query, &options)?;
    if hits.is_empty() {
        terminal.note("the library is empty: `tombolo index FOLDER` fills it");
    }
    let probability = |hit: &Hit| calibration.map(|c| c.probability(f64::from(hit.score)));
    let likely = |hit: &&Hit| {
        probability(hit).zip(arguments.min_probability).is_none_or(|(p, least)| p >= least)
    };
    if !hits.is_empty() && hits.first().filter(likely).is_none() {
        terminal.note("no photo matches with that probability");
    }
    for hit in hits.iter().filter(likely) {
        let probability = probability(hit);
        if arguments.null {
            terminal.bytes(format!("{}\0", hit.item.path).as_bytes())?;
        } else if terminal.json() {
            terminal.document(&document(hit, probability))?;
        } else {
            terminal.result(&line(hit, probability))?;
        }
    }
    Ok(Outcome::Done)
}

fn probability(text: &str) -> Result<f64, String> {
    let probability = text.parse().ok().filter(|p| (0.0..=1.0).contains(p));
    probability.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// The model's calibration, where it speaks of the query: of words alone.
fn calibration(arguments: &Arguments, encoder: &Encoder) -> anyhow::Result<Option<Calibration>> {
    let of_words = arguments.query.as_ref().is_some_and(|query| !query.trim().is_empty())
        && arguments.image.is_none()
        && arguments.add.is_empty()
        && arguments.subtract.is_empty();
    let calibration = encoder.calibration()?;
    match (arguments.min_probability, of_words, calibration) {
        (Some(_), false, _) => {
            let what = "--min-probability needs a query of words alone";
            let hint = "a model is calibrated on texts; leave out the photos, --add and --subtract";
            Err(Misuse::new(what, hint).into())
        }
        (Some(_), true, None) => {
            let what = format!("{}: this model is not calibrated", encoder.model().dir().display());
            let hint = "train its map on a data set whose validation split has 100 pairs or more: \
                        `tombolo train map DATASET --out RUN`";
            Err(Misuse::new(what, hint).into())
        }
        (_, of_words, calibration) => Ok(calibration.filter(|_| of_words)),
    }
}

/// The unit vector of the query: the sum of what pulls less what pushes.
fn query(
    arguments: &Arguments,
    encoder: &Encoder,
    terminal: &Terminal,
) -> anyhow::Result<Vec<f32>> {
    let mut terms: Vec<(f32, Term)> = Vec::new();
    let texts = arguments.query.iter().map(|text| (1.0, Term::Text(text)));
    terms.extend(texts.filter(|(_, term)| !term.is_empty()));
    terms.extend(arguments.image.iter().map(|path| (1.0, Term::Photo(path))));
    for (weight, queries) in [(1.0, &arguments.add), (-1.0, &arguments.subtract)] {
        for query in queries {
            terms.push((weight, Term::guess(query)?));
        }
    }
    if !terms.iter().any(|(weight, _)| *weight > 0.0) {
        let hint = "give words, --image FILE or --add QUERY";
        return Err(Misuse::new("there is nothing to look for", hint).into());
    }
    let mut sum: Vec<f32> = Vec::new();
    for (weight, term) in terms {
        let vector = term.vector(encoder, terminal)?;
        sum.resize(vector.len(), 0.0);
        sum.iter_mut().zip(&vector).for_each(|(sum, x)| *sum += weight * x);
    }
    normalize(&mut sum);
    Ok(sum)
}

/// A part of a query.
enum Term<'a> {
    Text(&'a str),
    Photo(&'a Path),
}

impl<'a> Term<'a> {
    /// A file that is there is a photo; anything else is words.
    fn guess(query: &'a str) -> anyhow::Result<Self> {
        let path = Path::new(query);
        if path.is_file() {
            return Ok(Self::Photo(path));
        }
        require_words(query)?;
        Ok(Self::Text(query))
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.trim().is_empty())
    }

    fn vector(&self, encoder: &Encoder, terminal: &Terminal) -> anyhow::Result<Vec<f32>> {
        match self {
            Self::Text(text) => {
                let tower = encoder.text_tower(terminal)?;
                Ok(encoder.map()?.map_texts(&tower.embed(&[*text])?)?.into_vec())
            }
            Self::Photo(path) => {
                let tower = encoder.image_tower(terminal)?;
                let source = ImageSource::File(path.to_path_buf());
                let photo = tombolo_data::image::load(&source, &Default::default())?;
                let picture = tower.preprocessing().apply(&photo.pixels);
                Ok(encoder.map()?.map_images(&tower.embed(&[picture])?)?.into_vec())
            }
        }
    }
}

fn document(hit: &Hit, probability: Option<f64>) -> serde_json::Value {
    json!({
        "rank": hit.rank, "score": hit.score, "probability": probability, "path": hit.item.path,
        "id": hit.item.id, "width": hit.item.width, "height": hit.item.height,
        "caption": hit.item.caption,
    })
}

fn line(hit: &Hit, probability: Option<f64>) -> String {
    let caption = hit.item.caption.as_ref().map(|c| format!("  {c}")).unwrap_or_default();
    let probability = probability.map(|p| format!("  {:>3.0}%", 100.0 * p)).unwrap_or_default();
    format!("{:>3}  {:.3}{probability}  {}{caption}", hit.rank, hit.score, hit.item.path)
}
