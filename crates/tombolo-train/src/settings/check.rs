//! Settings that nothing can be trained with, refused before anything is.

use tombolo_data::perturbation::{Perturbation, TextPerturbation};
use tombolo_models::backbones::WORDS;
use tombolo_models::tower::{EncoderKind, Pooling};

use super::{Beside, Order, ScanSettings, ScanWeight, Settings, StageSettings};
use crate::error::{Result, TrainError};
use crate::loss::Loss;
use crate::train::Stage;

impl Settings {
    /// Refuses settings that the stages to train could not work with.
    ///
    /// # Errors
    /// [`TrainError::InvalidSetting`] with the key.
    pub fn check(&self, stages: &[Stage]) -> Result<()> {
        self.check_numbers()?;
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
            ("scan.batch", self.scan.batch),
            ("scan.dim", self.scan.dim),
            ("scan.embedding", self.scan.embedding),
            ("scan.positions", self.scan.positions),
        ];
        if let Some((key, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return Err(invalid(key, "expected at least 1, found 0"));
        }
        if self.map.querybank == 1 {
            return Err(invalid("map.querybank", "expected 0, or at least 2, found 1"));
        }
        if self.map.beside == Beside::Cca && self.map.beside_dim == 0 {
            return Err(invalid("map.beside_dim", "expected at least 1, found 0"));
        }
        if self.map.previous && stages.contains(&Stage::Joint) {
            return Err(invalid(
                "map.previous",
                "expected false with stage joint, which moves the towers",
            ));
        }
        self.scan.check()?;
        if self.map.members > 1 && !self.map.kind.is_trained() {
            return Err(invalid("map.members", "expected 1: a closed form is the same every time"));
        }
        if self.map.members > 1 && [Stage::Map, Stage::Joint].iter().all(|s| stages.contains(s)) {
            return Err(invalid("map.members", "expected 1: stage joint moves one map"));
        }
        self.check_curriculum(stages)
    }
}

/// More than any training has, of widths and of all else, and little enough to be counted with.
const WIDEST: usize = 1 << 15;
const MOST: usize = 1 << 20;

impl Settings {
    /// Refuses numbers that mean nothing, or that no machine could train with.
    fn check_numbers(&self) -> Result<()> {
        if i64::try_from(self.seed).is_err() {
            return Err(invalid("seed", "expected at most 9223372036854775807"));
        }
        self.text.check_numbers("text")?;
        self.image.check_numbers("image")?;
        let (map, joint) = (&self.map, &self.joint);
        check_rates("map", (map.learning_rate, map.weight_decay), map.temperature, map.margin)?;
        check_share("map.dropout", map.dropout)?;
        check_share("map.input_dropout", map.input_dropout)?;
        check_range("map.mixup", map.mixup, 0.0..=1e3)?;
        check_range("map.average", map.average, 0.0..=1.0)?;
        let widths = [("dim", map.dim), ("hidden", map.hidden), ("beside_dim", map.beside_dim)];
        check_sizes("map", WIDEST, &widths)?;
        let sizes = [("epochs", map.epochs), ("batch", map.batch), ("members", map.members)];
        check_sizes("map", MOST, &sizes)?;
        check_rates("joint", (joint.learning_rate, joint.weight_decay), 1.0, 0.0)?;
        check_sizes("joint", MOST, &[("epochs", joint.epochs), ("batch", joint.batch)])
    }

    /// A group that no epoch is left for would be passed over without a word.
    fn check_curriculum(&self, stages: &[Stage]) -> Result<()> {
        let groups = &self.curriculum.groups;
        if groups.is_empty() || (1..groups.len()).any(|i| groups[..i].contains(&groups[i])) {
            return Err(invalid("curriculum.groups", "expected some of 1, 2 and 3, each once"));
        }
        if matches!(self.curriculum.order, Order::None) {
            return Ok(());
        }
        let map = stages.contains(&Stage::Map);
        if map && self.map.classes {
            let reason = "expected none with map.classes: classes are of no group";
            return Err(invalid("curriculum.order", reason));
        }
        if map && !self.map.kind.is_trained() && !matches!(self.curriculum.order, Order::Mixed) {
            let reason = "expected none or mixed: a closed form sees all pairs at once";
            return Err(invalid("curriculum.order", reason));
        }
        let epochs = [
            ("map.epochs", self.map.epochs, map && self.map.kind.is_trained()),
            ("joint.epochs", self.joint.epochs, stages.contains(&Stage::Joint)),
        ];
        let too_few = |&(_, epochs, used): &(_, usize, bool)| used && epochs < groups.len();
        match epochs.iter().find(|epochs| too_few(epochs)) {
            Some((key, epochs, _)) => {
                let reason = format!("expected one for each group, found {epochs}");
                Err(invalid(key, &reason))
            }
            None => Ok(()),
        }
    }
}

impl ScanSettings {
    fn check(&self) -> Result<()> {
        if self.batch < 2 {
            return Err(invalid(
                "scan.batch",
                "expected at least 2: a pair needs another beside it",
            ));
        }
        if !self.temperature.is_finite() || self.temperature <= 0.0 {
            return Err(invalid("scan.temperature", "expected a number above 0"));
        }
        if !(0.0..1.0).contains(&self.drop) {
            return Err(invalid("scan.drop", "expected a share, at least 0 and below 1"));
        }
        if matches!(self.weight, ScanWeight::Fixed(weight) if !weight.is_finite() || weight < 0.0) {
            return Err(invalid("scan.weight", "expected a number, at least 0, or auto"));
        }
        match self.loss {
            Loss::InfoNce | Loss::TripletSum | Loss::TripletHardest => Ok(()),
            _ => Err(invalid("scan.loss", "expected infonce, triplet-sum or triplet-hardest")),
        }
    }
}

impl StageSettings {
    fn check(&self, stage: &str) -> Result<()> {
        self.check_encoder(stage)?;
        self.check_positives(stage)?;
        let bare = self.backbone == WORDS || self.backbone.starts_with("patches:");
        if bare && self.trained_blocks > 0 {
            let reason = "expected 0: there is no backbone whose blocks could be trained";
            return Err(invalid(&format!("{stage}.trained_blocks"), reason));
        }
        if self.output == 0 && bare {
            let reason = "0 leaves nothing to compare: it needs a backbone";
            return Err(invalid(&format!("{stage}.output"), reason));
        }
        if self.output == 0 && self.pooling == Pooling::Learned && self.pool_top == 0 {
            let reason = "expected at least 1 with pooling `learned`, which stands in its place";
            return Err(invalid(&format!("{stage}.pool_top"), reason));
        }
        Ok(())
    }
}

impl StageSettings {
    fn check_numbers(&self, stage: &str) -> Result<()> {
        let key = |name: &str| format!("{stage}.{name}");
        check_rates(stage, (self.learning_rate, self.weight_decay), self.temperature, self.margin)?;
        check_share(&key("drop"), self.drop)?;
        check_range(&key("momentum"), self.momentum, 0.0..=1.0)?;
        check_range(&key("trained_rate"), self.trained_rate, 0.0..=1e3)?;
        check_sizes(stage, WIDEST, &[("width", self.width), ("output", self.output)])?;
        let sizes = [
            ("layers", self.layers),
            ("positions", self.positions),
            ("pool_top", self.pool_top),
            ("epochs", self.epochs),
            ("batch", self.batch),
            ("queue", self.queue),
            ("neighbours", self.neighbours),
        ];
        check_sizes(stage, MOST, &sizes)?;
        match self.positions {
            0 => Err(invalid(&key("positions"), "expected at least 1, found 0")),
            _ => Ok(()),
        }
    }

    fn check_encoder(&self, stage: &str) -> Result<()> {
        if self.heads == 0 || self.width == 0 || !self.width.is_multiple_of(self.heads) {
            let reason =
                format!("expected a divisor of width {}, found {}", self.width, self.heads);
            return Err(invalid(&format!("{stage}.heads"), &reason));
        }
        if self.encoder == EncoderKind::Gru && self.layers != 1 {
            let reason = format!("expected 1 of a GRU, found {}", self.layers);
            return Err(invalid(&format!("{stage}.layers"), &reason));
        }
        Ok(())
    }

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

fn check_rates(
    stage: &str,
    (learning_rate, weight_decay): (f64, f64),
    temperature: f64,
    margin: f64,
) -> Result<()> {
    let key = |name: &str| format!("{stage}.{name}");
    check_range(&key("learning_rate"), learning_rate, 0.0..=1e3)?;
    check_range(&key("weight_decay"), weight_decay, 0.0..=1e3)?;
    check_range(&key("margin"), margin, -1e3..=1e3)?;
    // Scores are divided by it.
    check_range(&key("temperature"), temperature, 1e-6..=1e6)
}

fn check_sizes(stage: &str, most: usize, sizes: &[(&str, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, size)| *size > most) {
        Some((name, size)) => {
            let reason = format!("expected at most {most}, found {size}");
            Err(invalid(&format!("{stage}.{name}"), &reason))
        }
        None => Ok(()),
    }
}

/// A share that is left out: of everything, nothing is left.
fn check_share(key: &str, share: f64) -> Result<()> {
    match (0.0..1.0).contains(&share) {
        true => Ok(()),
        false => Err(invalid(key, &format!("expected at least 0 and below 1, found {share}"))),
    }
}

fn check_range(key: &str, value: f64, range: std::ops::RangeInclusive<f64>) -> Result<()> {
    match range.contains(&value) {
        true => Ok(()),
        false => {
            let reason = format!(
                "expected a number from {} to {}, found {value}",
                range.start(),
                range.end()
            );
            Err(invalid(key, &reason))
        }
    }
}

fn invalid(key: &str, reason: &str) -> TrainError {
    TrainError::InvalidSetting { key: key.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_trained_with() {
        Settings::photos().check(&Stage::ALL).unwrap();
        Settings::emoji().check(&Stage::ALL).unwrap();
        let frozen = Settings::photos().with_assignment("text.output=0").unwrap();
        frozen.with_assignment("image.output=0").unwrap().check(&Stage::ALL).unwrap();
    }

    #[test]
    fn what_leaves_nothing_to_train_is_refused_by_its_key() {
        let photos = [
            "text.batch=0",
            "map.batch=0",
            "map.beside_dim=0",
            "map.querybank=1",
            "joint.batch=0",
            "scan.batch=1",
            "scan.loss=paper",
            "scan.drop=1",
            "scan.weight=-1",
            "scan.temperature=0",
            "scan.dim=0",
            "image.heads=3",
            "curriculum.groups=[]",
            "text.copies=['char_swop']",
            "text.copies=['blur']",
            "image.copies=['char_swap']",
            "text.views=['mirror']",
            "curriculum.groups=[1, 1]",
            "text.queue=9223372036854775807",
            "text.width=1000000000000",
            "map.epochs=9000000000000000000",
            "text.temperature=0",
            "text.momentum=nan",
            "text.learning_rate=-1",
            "map.temperature=0",
            "map.dropout=1",
            "map.input_dropout=2",
            "map.mixup=nan",
            "text.drop=nan",
            "text.positions=0",
        ];
        let few = Settings::photos().with_assignment("curriculum.order=paper").unwrap();
        let few = few.with_assignment("map.epochs=2").unwrap();
        assert!(few.check(&Stage::ALL).unwrap_err().to_string().contains("map.epochs"));
        let closed = Settings::photos().with_assignment("map.kind=cca").unwrap();
        let closed = closed.with_assignment("curriculum.order=reversed").unwrap();
        let error = closed.check(&Stage::ALL).unwrap_err();
        assert!(error.to_string().contains("curriculum.order"), "{error}");
        closed.check(&[Stage::Text]).unwrap();
        let several = Settings::photos().with_assignment("map.members=2").unwrap();
        assert!(
            several
                .check(&[Stage::Map, Stage::Joint])
                .unwrap_err()
                .to_string()
                .contains("map.members")
        );
        several.check(&Stage::ALL).unwrap();
        let recurrent = Settings::photos().with_assignment("text.encoder=gru").unwrap();
        let photos = photos.map(|wrong| (Settings::photos(), wrong));
        let emoji = ["text.output=0", "image.trained_blocks=2", "text.trained_blocks=1"];
        let emoji = emoji.map(|wrong| (Settings::emoji(), wrong));
        let recurrent = [(recurrent, "text.layers=2")];
        let learned = Settings::photos().with_assignment("image.pooling=learned").unwrap();
        let learned = learned.with_assignment("image.output=0").unwrap();
        let learned = [(learned, "image.pool_top=0")];
        for (settings, wrong) in photos.into_iter().chain(emoji).chain(recurrent).chain(learned) {
            let error = settings.with_assignment(wrong).unwrap().check(&Stage::ALL).unwrap_err();
            let key = wrong.split('=').next().unwrap();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
