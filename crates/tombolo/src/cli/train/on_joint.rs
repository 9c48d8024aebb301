//! A map of one's own on a jointly trained model, when --model names one.

use std::path::{Path, PathBuf};

use tombolo_models::backbones::Backbones;
use tombolo_models::model::Model;
use tombolo_train::Stage;

use super::{Arguments, PresetName};
use crate::cli::{Misuse, Terminal};
use crate::model;

/// A map of one's own on a jointly trained model.
pub(super) struct OnJoint {
    /// The model, as a backbone is called.
    pub(super) model: String,
    /// The run to write.
    pub(super) out: PathBuf,
    /// The stages that were asked for, and those that put its halves in place, of which nothing is trained.
    pub(super) stages: Vec<Stage>,
}

/// The map that is asked for if --model names a jointly trained model; none if it names something else, or nothing.
pub(super) fn joint(
    arguments: &Arguments,
    stages: &[Stage],
    backbones: &Backbones,
    terminal: &Terminal,
) -> anyhow::Result<Option<OnJoint>> {
    let Some(name) = &arguments.model else { return Ok(None) };
    let dir = model::model_dir(name, backbones, terminal)?;
    if !dir.exists() && arguments.out.as_ref().is_some_and(|out| out != name) {
        let message = format!("--model {}: there is no such model", name.display());
        let hint = match model::nearest(name) {
            Some(near) => format!("did you mean {near}?"),
            None => "name a run, a starter, or a jointly trained model, or leave it out (and TOMBOLO_MODEL)".to_owned(),
        };
        return Err(Misuse::new(message, hint).into());
    }
    if dir.join("model.toml").exists() || !dir.exists() {
        return Ok(None);
    }
    Model::open(&dir)?;
    let joint = OnJoint::new(name, arguments, stages).map_err(|reason| {
        let message = format!("{} is a jointly trained model: {reason}", name.display());
        let hint =
            "tombolo train DATASET --model MODEL --out RUN, MODEL perhaps from TOMBOLO_MODEL";
        Misuse::new(message, hint)
    })?;
    terminal
        .note(&format!("a map of your own on {}, whose halves stay as they are", name.display()));
    Ok(Some(joint))
}

impl OnJoint {
    /// Or why what is asked for cannot be had on such a model.
    fn new(model: &Path, arguments: &Arguments, stages: &[Stage]) -> Result<Self, String> {
        let refused = |reason: &str| Err(reason.to_owned());
        let Some(out) = arguments.out.clone() else {
            return refused("it stays as it is, and the run needs a place of its own");
        };
        if !matches!(arguments.preset, PresetName::Default) {
            return refused("expected no --preset, which has networks of its own");
        }
        if !stages.contains(&Stage::Map) || stages.contains(&Stage::Joint) {
            return refused("expected stage map, and no stage joint: its halves stay");
        }
        let model = match std::path::absolute(model).ok().filter(|_| model.is_dir()) {
            Some(dir) => format!("dir:{}", dir.display()),
            None => model.display().to_string(),
        };
        if model.contains('+') {
            return refused("expected no + in its path, which stands between two networks");
        }
        let further = stages.contains(&Stage::Scan).then_some(Stage::Scan);
        Ok(Self { model, out, stages: Stage::ALL.into_iter().chain(further).collect() })
    }
}
