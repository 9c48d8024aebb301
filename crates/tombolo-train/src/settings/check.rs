//! Settings that nothing can be trained with, refused before anything is.

use tombolo_data::perturbation::{Perturbation, TextPerturbation};
use tombolo_models::backbones::WORDS;

use super::{MapKind, Order, Settings, StageSettings};
use crate::error::{Result, TrainError};

impl Settings {
    /// Refuses settings that no stage could work with.
    ///
    /// # Errors
    /// [`TrainError::InvalidSetting`] with the key.
    pub fn check(&self) -> Result<()> {
        for (stage, settings) in [("text", &self.text), ("image", &self.image)] {
            settings.check(stage)?;
        }
        let sizes = [
            ("text.batch", self.text.batch),
            ("image.batch", self.image.batch),
            ("map.batch", self.map.batch),
            ("map.dim", self.map.dim),
            ("map.hidden", self.map.hidden),
            ("map.members", self.map.members),
            ("joint.batch", self.joint.batch),
        ];
        if let Some((key, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return Err(invalid(key, "expected at least 1, found 0"));
        }
        if self.map.members > 1 && !matches!(self.map.kind, MapKind::Linear | MapKind::Mlp) {
            return Err(invalid("map.members", "expected 1: a closed form is the same every time"));
        }
        self.check_curriculum()
    }
}

impl Settings {
    /// A group that no epoch is left for would be passed over without a word.
    fn check_curriculum(&self) -> Result<()> {
        let groups = &self.curriculum.groups;
        if groups.is_empty() || (1..groups.len()).any(|i| groups[..i].contains(&groups[i])) {
            return Err(invalid("curriculum.groups", "expected some of 1, 2 and 3, each once"));
        }
        if matches!(self.curriculum.order, Order::None) {
            return Ok(());
        }
        let epochs = [("map.epochs", self.map.epochs), ("joint.epochs", self.joint.epochs)];
        match epochs.into_iter().find(|(_, epochs)| (1..groups.len()).contains(epochs)) {
            Some((key, epochs)) => {
                let reason = format!("expected one for each group, found {epochs}");
                Err(invalid(key, &reason))
            }
            None => Ok(()),
        }
    }
}

impl StageSettings {
    fn check(&self, stage: &str) -> Result<()> {
        if self.heads == 0 || self.width == 0 || !self.width.is_multiple_of(self.heads) {
            let reason =
                format!("expected a divisor of width {}, found {}", self.width, self.heads);
            return Err(invalid(&format!("{stage}.heads"), &reason));
        }
        self.check_positives(stage)?;
        let bare = self.backbone == WORDS || self.backbone.starts_with("patches:");
        if bare && self.trained_blocks > 0 {
            let reason = "expected 0: there is no backbone whose blocks could be trained";
            return Err(invalid(&format!("{stage}.trained_blocks"), reason));
        }
        if self.output == 0 && (bare || self.pool_top == 0) {
            let reason = "0 leaves nothing to compare: it needs a backbone, and pool_top above 0";
            return Err(invalid(&format!("{stage}.output"), reason));
        }
        Ok(())
    }
}

impl StageSettings {
    /// Copies are of texts, views of photos.
    fn check_positives(&self, stage: &str) -> Result<()> {
        if stage == "image" && !self.copies.is_empty() {
            return Err(invalid("image.copies", "expected none: copies are of texts"));
        }
        if stage == "text" && !self.views.is_empty() {
            return Err(invalid("text.views", "expected none: views are of photos"));
        }
        perturbations(&self.copies).map(|_| ())
    }
}

/// The perturbations of texts that `text.copies` names.
pub(crate) fn perturbations(names: &[String]) -> Result<Vec<TextPerturbation>> {
    let named = names.iter().map(|name| match name.parse::<Perturbation>() {
        Ok(Perturbation::Text(perturbation)) => Ok(perturbation),
        Ok(Perturbation::Image(_)) => {
            let reason = format!("expected perturbations of texts, found `{name}`");
            Err(invalid("text.copies", &reason))
        }
        Err(error) => Err(invalid("text.copies", &error.to_string())),
    });
    named.collect()
}

fn invalid(key: &str, reason: &str) -> TrainError {
    TrainError::InvalidSetting { key: key.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_trained_with() {
        Settings::photos().check().unwrap();
        Settings::emoji().check().unwrap();
        let frozen = Settings::photos().with_assignment("text.output=0").unwrap();
        frozen.with_assignment("image.output=0").unwrap().check().unwrap();
    }

    #[test]
    fn what_leaves_nothing_to_train_is_refused_by_its_key() {
        let photos = [
            "text.batch=0",
            "map.batch=0",
            "joint.batch=0",
            "image.heads=3",
            "curriculum.groups=[]",
            "text.copies=['char_swop']",
            "text.copies=['blur']",
            "image.copies=['char_swap']",
            "text.views=['mirror']",
            "curriculum.groups=[1, 1]",
        ];
        let few = Settings::photos().with_assignment("curriculum.order=paper").unwrap();
        let few = few.with_assignment("map.epochs=2").unwrap();
        assert!(few.check().unwrap_err().to_string().contains("map.epochs"));
        let photos = photos.map(|wrong| (Settings::photos(), wrong));
        let emoji = ["text.output=0", "image.trained_blocks=2", "text.trained_blocks=1"];
        let emoji = emoji.map(|wrong| (Settings::emoji(), wrong));
        for (settings, wrong) in photos.into_iter().chain(emoji) {
            let error = settings.with_assignment(wrong).unwrap().check().unwrap_err();
            let key = wrong.split('=').next().unwrap();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
