//! `tombolo train`: the three stages, or some of them.

mod on_joint;

use std::path::PathBuf;

use anyhow::Context;
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use serde_json::json;
use tombolo_data::dataset;
use tombolo_models::backbones::Backbones;
use tombolo_models::model::Model;
use tombolo_train::settings::{Preset, Settings};
use tombolo_train::{CalibrationFile, Plan, Stage, share_a_space};

use self::on_joint::{OnJoint, joint};
use super::failure::Misuse;
use super::terminal::Terminal;
use super::{Global, Outcome};
use crate::model;
use crate::report;
use crate::starter::{is_starter, run_dir};

/// Train the three stages on a data set, or one: `tombolo train map DATASET --out RUN`
#[derive(Args)]
#[command(override_usage = "tombolo train [STAGE] <DATASET> --out <RUN> [OPTIONS]")]
pub struct Arguments {
    /// A stage (text, image, map, joint or scan) to train alone, then the data set; or the data set alone
    #[arg(required = true, num_args = 1..=2, value_name = "[STAGE] DATASET")]
    what: Vec<String>,
    /// The run directory to write; by default that of --model
    #[arg(long, env = "TOMBOLO_OUT", value_name = "RUN", required_unless_present = "model")]
    out: Option<PathBuf>,
    /// The run or starter whose other parts are kept, when some stages are trained, by default that of --out; or a jointly
    /// trained model, such as CLIP, to put a map of your own on
    #[arg(long, env = "TOMBOLO_MODEL", value_name = "MODEL")]
    model: Option<PathBuf>,
    /// The stages to train, in order; by default text,image,map, or those of the preset
    #[arg(long, env = "TOMBOLO_STAGES", value_delimiter = ',')]
    stages: Option<Vec<Stage>>,
    /// Settings and stages that belong together
    #[arg(long, env = "TOMBOLO_PRESET", value_enum, default_value_t = PresetName::Default)]
    preset: PresetName,
    /// Settings in a TOML file, in place of the preset's
    #[arg(long, env = "TOMBOLO_CONFIG", value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// One setting in place of its default, such as map.kind=cca; may be given again
    #[arg(long = "set", env = "TOMBOLO_SET", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of everything that is drawn at random
    #[arg(long, env = "TOMBOLO_SEED", value_name = "N")]
    seed: Option<u64>,
    /// Continue an interrupted run
    #[arg(long, env = "TOMBOLO_RESUME", value_parser = FalseyValueParser::new())]
    resume: bool,
}

pub fn run(arguments: Arguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let (stages, name) = stages_and_dataset(&arguments)?;
    check_config(&arguments)?;
    let dataset = dataset::open(&name)?;
    let skipped = super::data::warn(dataset.as_ref(), terminal);
    let backbones = model::backbones(global)?;
    let joint = joint(&arguments, &stages, &backbones, terminal)?;
    let settings = settings(&arguments, &name, &stages, joint.as_ref())?;
    if joint.is_none() {
        keeps_something(&arguments, &stages, terminal)?;
        without_effect(&arguments, &stages).for_each(|key| {
            let what = format!("--set {key} has no effect: that stage is not trained here");
            terminal.warning(&what);
        });
    }
    let retrain = joint.is_none() && !Stage::ALL.iter().all(|stage| stages.contains(stage));
    let (stages, out, start) = match joint {
        Some(joint) => (joint.stages, joint.out, None),
        None => {
            let (out, start) = places(&arguments, &backbones)?;
            (stages, out, start)
        }
    };
    let plan = Plan {
        dataset: dataset.as_ref(),
        dataset_name: name,
        stages,
        settings,
        out,
        start,
        resume: arguments.resume,
        retrain,
    };
    let observer = terminal.clone();
    let outcome = tombolo_train::train(&plan, &backbones, Box::new(move |e| observer.event(e)))?;
    report::write(&outcome.dir, dataset.as_ref(), &backbones)
        .with_context(|| format!("{} is trained, but its report failed", outcome.dir.display()))?;
    tell(&outcome, &plan.stages, terminal)?;
    Ok(if skipped + outcome.skipped > 0 { Outcome::Skipped } else { Outcome::Done })
}

/// Tells what came of a run, and what it lacks.
fn tell(
    outcome: &tombolo_train::Outcome,
    stages: &[Stage],
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let trained = Model::open(&outcome.dir)?;
    if terminal.json() {
        let (validation, metrics) = (outcome.validation.as_ref(), &trained.file().metrics);
        let document = json!({ "run": outcome.dir, "validation": validation, "metrics": metrics });
        terminal.document(&document)?;
    } else if let Some(validation) = &outcome.validation {
        terminal.result(&report::table(validation))?;
        if let Some(groups) = report::group_table(trained.file()) {
            terminal.result(&format!("\n{groups}"))?;
        }
        model::caveats(trained.file()).for_each(|caveat| terminal.note(caveat));
    }
    let maps = [Stage::Map, Stage::Joint].iter().any(|stage| stages.contains(stage));
    if maps && CalibrationFile::read(&outcome.dir)?.is_none() {
        terminal.warning(
            "too few validation pairs to tell probabilities by (100 are enough): searches with this map show scores alone",
        );
    }
    let dir = outcome.dir.display();
    terminal.note(&format!("{dir} is ready; its report is {dir}/report.html"));
    Ok(())
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PresetName {
    /// Three stages, with the defaults for the kind of data
    Default,
    /// VSE++: words learned from scratch in a GRU, joined to frozen photo features from pairs alone
    #[value(name = "vse++")]
    VsePlusPlus,
    /// One network for photos and not two, its last blocks trained with the map: as good, in three times the default's time
    FineTuned,
}

impl From<PresetName> for Preset {
    fn from(name: PresetName) -> Self {
        match name {
            PresetName::Default => Self::Default,
            PresetName::VsePlusPlus => Self::VsePlusPlus,
            PresetName::FineTuned => Self::FineTuned,
        }
    }
}

fn check_config(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.config.as_ref().filter(|path| !path.exists() || path.is_dir()) {
        None => Ok(()),
        Some(path) => {
            let what = format!("--config {}: there is no such file", path.display());
            Err(Misuse::new(what, "name a TOML file with settings as in `model.toml`").into())
        }
    }
}

/// Refuses a starter of which nothing would be kept, and warns of a run: there, its name may come from the environment.
fn keeps_something(
    arguments: &Arguments,
    stages: &[Stage],
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let named = arguments.model.as_ref().filter(|model| arguments.out.as_ref() != Some(model));
    let all = Stage::ALL.iter().all(|stage| stages.contains(stage));
    let Some(model) = named.filter(|_| all) else { return Ok(()) };
    let name = model.display();
    let what =
        format!("--model {name}: text, image and map are all trained anew, and none of it is kept");
    let hint = format!(
        "for a map of your own on it: tombolo train map DATASET --model {name} --out RUN; else leave out --model (and TOMBOLO_MODEL)"
    );
    if is_starter(model) {
        return Err(Misuse::new(what, hint).into());
    }
    terminal.warning(&what);
    Ok(())
}

/// Settings that were given one by one, of stages that are not trained.
fn without_effect<'a>(
    arguments: &'a Arguments,
    stages: &'a [Stage],
) -> impl Iterator<Item = &'a str> {
    let keys = arguments.set.iter().filter_map(|set| Some(set.split_once('=')?.0.trim()));
    keys.filter(move |key| {
        let stage = key.split_once('.').and_then(|(stage, _)| stage.parse::<Stage>().ok());
        let reads_all = [Stage::Joint, Stage::Scan].iter().any(|stage| stages.contains(stage));
        stage.is_some_and(|stage| !reads_all && !stages.contains(&stage))
    })
}

/// The run to write, and the run whose parts it starts from, if that is another.
fn places(
    arguments: &Arguments,
    backbones: &Backbones,
) -> anyhow::Result<(PathBuf, Option<PathBuf>)> {
    let start = arguments.model.as_ref().map(|model| run_dir(model, backbones.store.home()));
    let start = start.transpose()?;
    let out = arguments.out.clone().or_else(|| arguments.model.clone());
    let out = out.context("clap asks for --out or --model")?;
    if arguments.out.is_none() && start.as_ref() != Some(&out) {
        let what = format!("{} is built in and cannot be written to", out.display());
        return Err(Misuse::new(what, "name the new run with --out RUN").into());
    }
    Ok((out, start))
}

fn stages_and_dataset(arguments: &Arguments) -> anyhow::Result<(Vec<Stage>, String)> {
    match &arguments.what[..] {
        [dataset] => {
            let of_preset = || Preset::from(arguments.preset).stages();
            Ok((arguments.stages.clone().unwrap_or_else(of_preset), dataset.clone()))
        }
        [stage, _] if arguments.stages.is_some() => {
            let message = format!("stage {stage} and --stages: expected one of them, found both");
            Err(Misuse::new(
                message,
                "leave out the word before the data set, or --stages (and TOMBOLO_STAGES)",
            )
            .into())
        }
        [stage, dataset] => {
            let stage = stage.parse::<Stage>().map_err(|message| {
                Misuse::new(message, "for example: tombolo train map flickr8k:DIR --out RUN")
            })?;
            Ok((vec![stage], dataset.clone()))
        }
        // Before and after a flag are counted together.
        several => {
            let message = format!("expected [STAGE] DATASET, found {}", several.join(" "));
            Err(Misuse::new(message, "several stages are named by --stages text,image").into())
        }
    }
}

/// Those of the preset, or for a map on a jointly trained model, then the file, then each `--set`, then `--seed`.
fn settings(
    arguments: &Arguments,
    dataset: &str,
    stages: &[Stage],
    joint: Option<&OnJoint>,
) -> anyhow::Result<Settings> {
    let mut settings = match joint {
        Some(joint) => Settings::on_joint(&joint.model, dataset),
        None => Preset::from(arguments.preset).settings(dataset),
    };
    settings.map.previous |= joint.is_none() && keeps_the_map(arguments, stages);
    if let Some(path) = &arguments.config {
        settings = settings.with_file(path)?;
    }
    for assignment in &arguments.set {
        settings = settings.with_assignment(assignment)?;
    }
    settings.seed = arguments.seed.unwrap_or(settings.seed);
    Ok(settings)
}

/// Whether what was known before stays beside a new map: the map of a starter, or the space that the halves of a jointly trained
/// model share, of a run that stands on one.
fn keeps_the_map(arguments: &Arguments, stages: &[Stage]) -> bool {
    if [Stage::Text, Stage::Image, Stage::Joint].iter().any(|moves| stages.contains(moves)) {
        return false;
    }
    let run = arguments.model.as_ref().or(arguments.out.as_ref());
    run.is_some_and(|run| {
        is_starter(run) || Model::open(run).is_ok_and(|model| share_a_space(model.file()))
    })
}
