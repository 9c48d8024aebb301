//! `tombolo search`: a library by text, by image, or by both.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::FalseyValueParser;
use serde_json::json;
use tombolo_data::dataset::ImageSource;
use tombolo_eval::Calibration;
use tombolo_models::rerank::Measure;
use tombolo_search::{Filter, GalleryMap, Hit, Method, Order, PageOptions, SearchOptions, Wanted};

use super::failure::Misuse;
use super::terminal::Terminal;
use super::{Global, Outcome, one_form};
use crate::library::{ImageSide, Opened, known_path, library_name, source_of};
use crate::model::{Encoder, require_words};
use crate::query::{Asked, Likened, Question, Scores, Shape, Sort};
use crate::rerank::{Judge, RerankArguments};

/// Search a library by text, by image, by set expression: what is added pulls, what is subtracted pushes
#[derive(Args)]
pub struct Arguments {
    /// What to look for: words, or a set expression such as `(cat OR kitten) AND NOT indoors` or
    /// `image:cat.jpg AND "in the snow"`
    query: Option<String>,
    /// The library's directory, or milvus://HOST:PORT/COLLECTION; by default your own, beside the installed models. May be
    /// given again, for libraries of one model
    #[arg(long, env = "TOMBOLO_LIBRARY", value_name = "DIR")]
    library: Vec<PathBuf>,
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
    /// Only photos that match the words or expression at least with this probability, from 0 to 1
    #[arg(long, env = "TOMBOLO_MIN_PROBABILITY", value_name = "P", value_parser = probability)]
    min_probability: Option<f64>,
    /// Compare every photo, where a large library would be searched through its graph
    #[arg(long, env = "TOMBOLO_EXACT", value_parser = FalseyValueParser::new())]
    exact: bool,
    /// Print paths alone, each ended by a zero byte, for `xargs -0`
    #[arg(short = '0', long = "null", env = "TOMBOLO_NULL",
        value_parser = FalseyValueParser::new())]
    null: bool,
    /// In which order; by time, what matches the words probably, or without a query every photo
    #[arg(long, env = "TOMBOLO_SORT", value_enum, default_value_t = Sort::Match)]
    sort: Sort,
    /// Go on after a hit: the `cursor` that --json gave with it
    #[arg(long, env = "TOMBOLO_AFTER", value_name = "CURSOR")]
    after: Option<String>,
    /// The model: a run directory, a name that `tombolo models` lists, or hf:OWNER/NAME; by default the one that the
    /// library was last indexed with
    #[arg(long, env = "TOMBOLO_MODEL")]
    model: Option<PathBuf>,
    /// A run whose map takes the place of the model's, as for another language; it must join the same towers
    #[arg(long, env = "TOMBOLO_MAP", value_name = "RUN")]
    map: Option<PathBuf>,
    #[command(flatten)]
    rerank: RerankArguments,
    // Last: what follows would stand under its heading.
    #[command(flatten)]
    filter: FilterArguments,
}

/// Which photos may be found at all.
#[derive(Args)]
#[command(next_help_heading = "Filters")]
struct FilterArguments {
    /// Only paths like this: `*` for any characters, `?` for one
    #[arg(long, env = "TOMBOLO_PATH", value_name = "PATTERN")]
    path: Option<String>,
    /// Only photos in this folder, or below it
    #[arg(long, env = "TOMBOLO_FOLDER", value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Only photos taken then or later, as 2019, 2019-05 or 2019-05-31
    #[arg(long, env = "TOMBOLO_TAKEN_FROM", value_name = "TIME")]
    taken_from: Option<String>,
    /// Only photos taken then or before
    #[arg(long, env = "TOMBOLO_TAKEN_TO", value_name = "TIME")]
    taken_to: Option<String>,
    /// Only photos of so many columns or more
    #[arg(long, env = "TOMBOLO_MIN_WIDTH", value_name = "PIXELS")]
    min_width: Option<u32>,
    /// Only photos of so many rows or more
    #[arg(long, env = "TOMBOLO_MIN_HEIGHT", value_name = "PIXELS")]
    min_height: Option<u32>,
    /// Only photos of this shape
    #[arg(long, env = "TOMBOLO_ORIENTATION", value_enum)]
    orientation: Option<Shape>,
    /// Only photos by a camera whose name contains this
    #[arg(long, env = "TOMBOLO_CAMERA", value_name = "NAME")]
    camera: Option<String>,
    /// Only photos with this tag; may be given again
    #[arg(long = "tag", env = "TOMBOLO_TAG", value_name = "TAG")]
    tags: Vec<String>,
}

impl FilterArguments {
    fn filter(&self) -> anyhow::Result<Filter> {
        let folder = self.folder.as_deref().map(known_path).transpose()?;
        Ok(Filter {
            path: self.path.clone(),
            folder: folder.map(|folder| folder.to_string_lossy().into_owned()),
            taken_from: self.taken_from.clone(),
            taken_to: self.taken_to.clone(),
            min_width: self.min_width,
            min_height: self.min_height,
            orientation: self.orientation.map(Shape::orientation),
            camera: self.camera.clone(),
            tags: self.tags.clone(),
        })
    }
}

pub fn run(arguments: Arguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    one_form(arguments.null, terminal)?;
    let dirs = match arguments.library.as_slice() {
        [] => vec![library_name(None)?],
        named => named.to_vec(),
    };
    let libraries = dirs.iter().map(|dir| Opened::open(dir)).collect::<anyhow::Result<Vec<_>>>()?;
    let model = libraries[0].model(arguments.model.clone())?;
    let encoder = Encoder::open_with_map(&model, arguments.map.as_deref(), global, terminal)?;
    let fingerprint = encoder.model().image_fingerprint()?;
    let map = ImageSide::new(&encoder)?;
    libraries
        .iter()
        .try_for_each(|library| library.require(&model, &fingerprint, map.fingerprint()))?;
    let words = arguments.rerank.rerank.as_ref().map(|_| words_to_match(&arguments)).transpose()?;
    let judge = arguments.rerank.open(global, terminal)?;
    let asked = asked(&arguments, &encoder, terminal)?;
    let method = if arguments.exact { Method::Exact } else { Method::Auto };
    let top = (arguments.top as usize).max(judge.as_ref().map_or(0, Judge::top));
    let options = SearchOptions { top, map: Some(&map), method };
    let which = page_options(&arguments, &asked)?;
    let hits = hits(&libraries, &asked, &options, &which)?;
    if hits.is_empty() {
        terminal.note(why_nothing(&libraries, &arguments)?);
    }
    let print = Print { null: arguments.null, order: which.order, terminal };
    let mut skipped = false;
    match judge.zip(words) {
        Some((judge, words)) => {
            let judged = hits.len().min(judge.top());
            let hits = judge.reorder(
                &words,
                hits,
                (|hit: &Hit| source_of(&hit.item), |hit: &Hit| hit.score),
                terminal,
            )?;
            skipped = hits.iter().filter(|(_, matching)| matching.is_some()).count() < judged;
            for (rank, (mut hit, matching)) in (1..=arguments.top as usize).zip(hits) {
                hit.rank = rank;
                print.judged(&hit, asked.scores(&hit), (matching, judge.measure()))?;
            }
        }
        None => hits.iter().try_for_each(|hit| print.hit(hit, asked.scores(hit)))?,
    }
    Ok(if skipped { Outcome::Skipped } else { Outcome::Done })
}

/// How hits are printed.
struct Print<'a> {
    null: bool,
    order: Order,
    terminal: &'a Terminal,
}

impl Print<'_> {
    fn hit(&self, hit: &Hit, scores: Scores) -> anyhow::Result<()> {
        match self.null {
            true => self.path(hit),
            false if self.terminal.json() => {
                self.terminal.document(&document(hit, scores, self.order))
            }
            false => self.terminal.result(&line(hit, scores)),
        }
    }

    /// A hit among those whose best were judged again; no page follows them, so that there is no cursor.
    fn judged(
        &self,
        hit: &Hit,
        scores: Scores,
        (matching, measure): (Option<f32>, Measure),
    ) -> anyhow::Result<()> {
        if self.null {
            return self.path(hit);
        }
        if self.terminal.json() {
            let mut document = document(hit, scores, self.order);
            match measure {
                Measure::Probability => document["match"] = matching.into(),
                // No probability, so that it has a name of its own.
                Measure::Cosine => document["match_score"] = matching.into(),
            }
            document["cursor"] = serde_json::Value::Null;
            return self.terminal.document(&document);
        }
        let matching = matching.map(|score| match measure {
            Measure::Probability => format!("  match {:>3.0}%", 100.0 * score),
            Measure::Cosine => format!("  match score {score:.3}"),
        });
        let matching = matching.unwrap_or_default();
        self.terminal.result(&format!("{}{matching}", line(hit, scores)))
    }

    fn path(&self, hit: &Hit) -> anyhow::Result<()> {
        self.terminal.bytes(format!("{}\0", hit.item.path).as_bytes())
    }
}

/// The words that photos are matched with, where the best hits are judged again.
fn words_to_match(arguments: &Arguments) -> anyhow::Result<String> {
    if arguments.sort != Sort::Match || arguments.after.is_some() {
        let hint = "leave out --sort and --after, or --rerank";
        return Err(Misuse::new("--rerank orders the hits itself, on one page", hint).into());
    }
    let question = Question::of_words(arguments.query.as_deref().unwrap_or_default())?;
    let alone =
        arguments.image.is_none() && arguments.add.is_empty() && arguments.subtract.is_empty();
    if !question.is_words() || !alone {
        let hint = "the network that it names reads a text and sees a photo: leave out photos, --add, --subtract and set \
                    expressions";
        return Err(Misuse::new("--rerank needs a query of words alone", hint).into());
    }
    Ok(question.texts().swap_remove(0))
}

/// The hits of all libraries, the best first.
fn hits(
    libraries: &[Opened],
    asked: &Asked,
    options: &SearchOptions<'_>,
    which: &PageOptions,
) -> anyhow::Result<Vec<Hit>> {
    if let [library] = libraries {
        return Ok(library.photos.find(&asked.wanted, options, which)?.hits);
    }
    if which.order != Order::Match || which.after.is_some() {
        let hint = "search them one by one, or leave out --sort and --after";
        return Err(Misuse::new(
            "several libraries have no common order by time and no pages",
            hint,
        )
        .into());
    }
    let mut hits = Vec::new();
    for library in libraries {
        hits.extend(library.photos.find(&asked.wanted, options, which)?.hits);
    }
    hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    hits.truncate(options.top);
    (1..).zip(&mut hits).for_each(|(rank, hit)| hit.rank = rank);
    Ok(hits)
}

fn why_nothing(libraries: &[Opened], arguments: &Arguments) -> anyhow::Result<&'static str> {
    for library in libraries {
        if !library.photos.is_empty()? {
            return Ok(match arguments.min_probability {
                Some(_) => "no photo matches with that probability",
                None => "no photo passes the filters",
            });
        }
    }
    Ok("the library is empty: `tombolo index FOLDER` fills it")
}

fn asked(arguments: &Arguments, encoder: &Encoder, terminal: &Terminal) -> anyhow::Result<Asked> {
    let question = question(arguments, encoder, terminal)?;
    let calibration = encoder.calibration()?;
    let is_words = question.is_words();
    if arguments.min_probability.is_some() {
        require_probability(&question, calibration, encoder)?;
    }
    if question.is_empty() && question.minus.is_empty() && arguments.sort != Sort::Match {
        return Ok(Asked { wanted: Wanted::All, calibration: None });
    }
    let texts = question.texts();
    let words: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = encoder.text_vectors(&words, terminal)?;
    let vectors = texts.iter().cloned().zip(vectors.iter().map(<[f32]>::to_vec)).collect();
    let mut image = |name: &str| photo(Path::new(name), encoder, terminal);
    let map = encoder.map()?;
    let wanted = question.wanted::<anyhow::Error>(&vectors, calibration, map, &mut image)?;
    Ok(Asked { wanted, calibration: calibration.filter(|_| is_words) })
}

fn question(
    arguments: &Arguments,
    encoder: &Encoder,
    terminal: &Terminal,
) -> anyhow::Result<Question> {
    let mut question = Question::of_words(arguments.query.as_deref().unwrap_or_default())?;
    if let Some(path) = &arguments.image {
        question.plus.push(Likened::Vector(photo(path, encoder, terminal)?));
    }
    for (queries, likened) in
        [(&arguments.add, &mut question.plus), (&arguments.subtract, &mut question.minus)]
    {
        for query in queries {
            // A file that is there is a photo; anything else is words.
            let path = Path::new(query);
            if path.is_file() {
                likened.push(Likened::Vector(photo(path, encoder, terminal)?));
            } else {
                require_words(query)?;
                likened.push(Likened::Text(query.clone()));
            }
        }
    }
    Ok(question)
}

fn require_probability(
    question: &Question,
    calibration: Option<Calibration>,
    encoder: &Encoder,
) -> anyhow::Result<()> {
    if !question.is_words() && !question.is_expression() {
        let what = "--min-probability needs a query of words alone, or a set expression";
        let hint = "a model is calibrated on texts: leave out --image, --add and --subtract, and write image:PHOTO AND WORDS for both";
        return Err(Misuse::new(what, hint).into());
    }
    if calibration.is_none() && question.is_words() {
        let what = format!("{}: this model is not calibrated", encoder.model().dir().display());
        let hint = "train its map on a data set whose validation split has 100 pairs or more: \
                    `tombolo train map DATASET --out RUN`";
        return Err(Misuse::new(what, hint).into());
    }
    Ok(())
}

/// Which hits are wanted. By time, words find what matches them rather than not.
fn page_options(arguments: &Arguments, asked: &Asked) -> anyhow::Result<PageOptions> {
    let order = arguments.sort.order();
    let filter = arguments.filter.filter()?;
    let after = arguments.after.as_deref().map(str::parse).transpose()?;
    let least = asked.least(arguments.min_probability, order);
    Ok(PageOptions { filter, least, order, after, count: false })
}

/// The mapped unit vector of a photo in a file.
fn photo(path: &Path, encoder: &Encoder, terminal: &Terminal) -> anyhow::Result<Vec<f32>> {
    let source = ImageSource::File(path.to_path_buf());
    let photo = tombolo_data::image::load(&source, &Default::default())?;
    Ok(encoder.photo_vectors(&[photo.pixels], terminal)?.into_vec())
}

fn probability(text: &str) -> Result<f64, String> {
    let probability = text.parse().ok().filter(|p| (0.0..=1.0).contains(p));
    probability.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

fn document(hit: &Hit, scores: Scores, order: Order) -> serde_json::Value {
    json!({
        "rank": hit.rank, "score": scores.score, "probability": scores.probability,
        "path": hit.item.path, "id": hit.item.id, "width": hit.item.width,
        "height": hit.item.height, "caption": hit.item.caption, "taken_at": hit.item.taken_at,
        "cursor": hit.cursor(order).to_string(),
    })
}

fn line(hit: &Hit, scores: Scores) -> String {
    let caption = hit.item.caption.as_ref().map(|c| format!("  {c}")).unwrap_or_default();
    let score = scores.score.map(|score| format!("  {score:.3}")).unwrap_or_default();
    let probability = scores.probability.map(|p| format!("  {:>3.0}%", 100.0 * p));
    let probability = probability.unwrap_or_default();
    format!("{:>3}{score}{probability}  {}{caption}", hit.rank, hit.item.path)
}
