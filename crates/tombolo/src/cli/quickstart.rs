//! `tombolo quickstart`: the whole way on the embedded emoji set, in two minutes.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tombolo_data::dataset::emoji;
use tombolo_data::dataset::{Collection, Dataset, Split};
use tombolo_search::{
    ImageEncoder, IndexItem, IndexOptions, ItemList, Library, LibraryWriter, SearchOptions,
};
use tombolo_train::settings::{MapKind, Settings};
use tombolo_train::{Plan, Stage};

use super::terminal::Terminal;
use super::{Global, Misuse, Outcome};
use crate::evaluation::{Measured, measure};
use crate::library::{ImageSide, TowerEncoder, remember_model, remove};
use crate::model::{self, Encoder};
use crate::report;

/// Queries that are not texts of the data set, but combine its words.
const QUERIES: [&str; 12] = [
    "red heart",
    "woman firefighter dark skin tone",
    "smiling cat",
    "flag of Japan",
    "train",
    "man playing handball",
    "tropical fish",
    "sad crying face",
    "birthday cake",
    "clock at half past two",
    "thumbs up medium skin tone",
    "snow mountain",
];

/// Emoji shown for each query.
const SHOWN: usize = 6;

/// Train all three stages on embedded emoji, measure them, build a library and search it
#[derive(Args)]
pub struct Arguments {
    /// The directory to write into
    #[arg(long, env = "TOMBOLO_DIR", default_value = "tombolo-quickstart")]
    dir: PathBuf,
}

pub fn run(arguments: Arguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let dataset = emoji::open([])?;
    let run = arguments.dir.join("emoji-model");
    let counts = Split::ALL.map(|split| dataset.count(split).images);
    terminal.note(&format!(
        "{} emoji; {} combinations that training never sees are held out for val, {} for test",
        dataset.images().len(),
        counts[1],
        counts[2]
    ));
    std::fs::create_dir_all(&arguments.dir)?;
    let library = arguments.dir.join("library");
    check_place(&library)?;
    train(&dataset, &run, Settings::emoji(), global, terminal)?;
    let encoder = Encoder::open(&run, global, terminal)?;
    let trained = measure(&dataset, Split::Test, &encoder, terminal)?;
    let baseline = untrained(&dataset, global, terminal)?;
    report::write(&run, &dataset, &model::backbones(global)?)?;
    index(&dataset, &library, &run, &encoder, terminal)?;
    let answers = answers(&library, &encoder, terminal)?;
    if terminal.json() {
        terminal.document(&json!({
            "run": run, "library": library,
            "test": trained.retrieval, "untrained": baseline.retrieval,
            "answers": answers.iter().map(Answer::document).collect::<Vec<_>>(),
        }))?;
    } else {
        terminal.result(&scores(&trained, &baseline))?;
        for answer in &answers {
            terminal.result(&answer.line())?;
        }
        terminal.note(&next_commands(&run, &library));
    }
    Ok(Outcome::Done)
}

/// Refuses to go on where a library of something else than emoji is in the way, before anything is trained.
fn check_place(library: &Path) -> anyhow::Result<()> {
    let found = if library.join("library.toml").exists() {
        let items = Library::open(library)?.items_after("", i32::MAX as usize)?;
        let own = items.iter().any(|item| !item.path.starts_with("emoji:"));
        own.then_some("a library with photos of yours")
    } else {
        let other = library.read_dir().is_ok_and(|mut entries| entries.next().is_some());
        other.then_some("a folder of other files")
    };
    let Some(found) = found else { return Ok(()) };
    let what = format!("{}: {found} is there", library.display());
    Err(Misuse::new(what, "choose another --dir: it was not touched").into())
}

/// Trains all stages into `run`, in the place of an earlier quickstart; one that was cut off goes on.
fn train(
    dataset: &Collection,
    run: &Path,
    settings: Settings,
    global: &Global,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let plan = Plan {
        dataset,
        dataset_name: "emoji".into(),
        stages: Stage::ALL.to_vec(),
        settings,
        out: run.to_path_buf(),
        start: None,
        resume: true,
        retrain: true,
    };
    let observer = terminal.clone();
    tombolo_train::train(&plan, &model::backbones(global)?, Box::new(move |e| observer.event(e)))?;
    Ok(())
}

/// The plain baseline: towers as they start, and a closed-form map.
fn untrained(
    dataset: &Collection,
    global: &Global,
    terminal: &Terminal,
) -> anyhow::Result<Measured> {
    let mut settings = Settings::emoji();
    (settings.text.epochs, settings.image.epochs) = (0, 0);
    settings.map.kind = MapKind::Cca;
    // It is removed in the end, so in no place where a run of the user's could be.
    let folder = tempfile::Builder::new().prefix("tombolo-untrained-").tempdir()?;
    let run = folder.path().join("run");
    let quiet = Terminal::new(terminal.json(), true);
    train(dataset, &run, settings, global, &quiet)?;
    let encoder = Encoder::open(&run, global, &quiet)?;
    measure(dataset, Split::Test, &encoder, &quiet)
}

fn index(
    dataset: &Collection,
    library: &Path,
    run: &Path,
    encoder: &Encoder,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    // Derived from the run just trained: an older library is of a model that is gone.
    if library.join("library.toml").exists() {
        remove(library)?;
    }
    let tower = TowerEncoder::new(encoder, terminal)?;
    let mut writer = LibraryWriter::open_or_create(library, tower.fingerprint(), tower.dim())?;
    remember_model(library, run)?;
    let item = |(index, image): (usize, &tombolo_data::dataset::ImageEntry)| {
        let name = dataset.texts_of(index).next().map(|text| dataset.texts()[text].text.clone());
        IndexItem {
            path: format!("emoji:{}", image.id),
            source: image.source.clone(),
            caption: name,
        }
    };
    let items = dataset.images().iter().enumerate().map(item).collect();
    let list = ItemList { scope: Some("emoji:".into()), items };
    terminal.begin("library", Some(dataset.images().len() as u64));
    writer.index_items(list, &tower, &IndexOptions::default(), &mut |progress| {
        terminal.advance(progress.done as u64, None);
    })?;
    terminal.end_bar();
    Ok(())
}

/// The best emoji for a query.
struct Answer {
    query: &'static str,
    /// Each with its name.
    found: Vec<(String, String)>,
}

impl Answer {
    fn document(&self) -> serde_json::Value {
        let found = self.found.iter().map(|(emoji, name)| json!({ "emoji": emoji, "name": name }));
        json!({ "query": self.query, "found": found.collect::<Vec<_>>() })
    }

    fn line(&self) -> String {
        let emoji: Vec<&str> = self.found.iter().map(|(emoji, _)| emoji.as_str()).collect();
        let best = self.found.first().map_or("", |(_, name)| name);
        format!("  {:34}{}   {best}", self.query, emoji.join(" "))
    }
}

fn answers(library: &Path, encoder: &Encoder, terminal: &Terminal) -> anyhow::Result<Vec<Answer>> {
    let library = Library::open(library)?;
    let map = ImageSide::new(encoder)?;
    let options = SearchOptions { top: SHOWN, map: Some(&map), ..Default::default() };
    let vectors = encoder.texts(&QUERIES, terminal)?;
    let answer = |(query, vector): (&'static str, &[f32])| {
        let found = library.search(vector, &options)?.into_iter().map(|hit| {
            let id = hit.item.path.trim_start_matches("emoji:");
            (emoji::glyph(id).unwrap_or_default(), hit.item.caption.unwrap_or_default())
        });
        Ok(Answer { query, found: found.collect() })
    };
    QUERIES.into_iter().zip(vectors.iter()).map(answer).collect()
}

/// The held-out combinations: our model, the untrained towers and chance.
fn scores(trained: &Measured, untrained: &Measured) -> String {
    let [images, texts] = trained.gallery;
    let answers = trained.queries[1] as f64 / trained.queries[0] as f64;
    let chance = |k: f64| [k * answers / texts as f64, k / images as f64];
    let mut lines = vec![
        format!(
            "\n{} held-out combinations, ranked against all {images} emoji and {texts} texts",
            trained.queries[0]
        ),
        format!("\n  {:34}{:^24}{:^24}", "recall in %", "image → text", "text → image"),
        format!(
            "  {:34}{:>6}{:>7}{:>7}    {:>6}{:>7}{:>7}",
            "", "@1", "@5", "@10", "@1", "@5", "@10"
        ),
    ];
    let row = |name: &str, recalls: [f64; 6]| {
        let [a, b, c, d, e, f] = recalls.map(|recall| 100.0 * recall);
        format!("  {name:34}{a:>6.1}{b:>7.1}{c:>7.1}    {d:>6.1}{e:>7.1}{f:>7.1}")
    };
    let recalls = |measured: &Measured| {
        let (i, t) = (&measured.retrieval.image_to_text, &measured.retrieval.text_to_image);
        [i.recall_at_1, i.recall_at_5, i.recall_at_10, t.recall_at_1, t.recall_at_5, t.recall_at_10]
    };
    lines.push(row("three stages", recalls(trained)));
    lines.push(row("untrained towers, closed-form map", recalls(untrained)));
    let [one, five, ten] = [1.0, 5.0, 10.0].map(chance);
    lines.push(row("chance", [one[0], five[0], ten[0], one[1], five[1], ten[1]]));
    lines.push(format!("\n  {:34}best emoji", "query"));
    lines.join("\n")
}

fn next_commands(run: &Path, library: &Path) -> String {
    let (run, library) = (run.display(), library.display());
    let program = std::env::args().next().unwrap_or_else(|| "tombolo".into());
    format!(
        "\nCurves and examples: {run}/report.html\n\nTry next:\n  \
         {program} search \"crying cat\" --library {library}\n  \
         {program} search \"woman firefighter\" --subtract \"woman\" --library {library}\n  \
         {program} serve --library {library}\n  \
         {program} train folder:PHOTOS-WITH-TXT-FILES --out my-model\n  \
         {program} index PHOTOS --library my-photos --model my-model"
    )
}
