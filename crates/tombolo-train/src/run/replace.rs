//! Several parts of a run, put in place together.

use std::fs;
use std::path::PathBuf;

use tombolo_models::checkpoint::sync_folder;

use super::RunDir;
use crate::error::{Result, TrainError};

impl RunDir {
    /// An empty folder for the parts that a stage makes. The run keeps its old parts until they are all there.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new_parts(&self, stage: &str) -> Result<PathBuf> {
        let new = self.new_parts_dir(stage);
        if new.exists() {
            fs::remove_dir_all(&new).map_err(TrainError::io(&new))?;
        }
        fs::create_dir_all(&new).map_err(TrainError::io(&new))?;
        Ok(new)
    }

    /// The folder of [`RunDir::new_parts`].
    pub fn new_parts_dir(&self, stage: &str) -> PathBuf {
        self.dir().join(format!("{stage}.new"))
    }

    /// Puts the parts that a stage made in place, and marks it as done. A kill on the way leaves what
    /// [`RunDir::take_over`] ends.
    ///
    /// # Errors
    /// If a file cannot be moved.
    pub fn replace_parts(&self, stage: &str) -> Result<()> {
        let (new, whole) = (self.new_parts_dir(stage), self.whole_parts_dir(stage));
        sync_folder(&new).map_err(TrainError::io(&new))?;
        fs::rename(&new, &whole).map_err(TrainError::io(&whole))?;
        sync_folder(self.dir()).map_err(TrainError::io(self.dir()))?;
        self.take_over(stage)
    }

    /// Ends what was interrupted in [`RunDir::replace_parts`], if anything was.
    ///
    /// # Errors
    /// As [`RunDir::replace_parts`].
    pub fn take_over(&self, stage: &str) -> Result<()> {
        let whole = self.whole_parts_dir(stage);
        if !whole.exists() {
            return Ok(());
        }
        let entries = fs::read_dir(&whole).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        for entry in entries.map_err(TrainError::io(&whole))? {
            let to = self.dir().join(entry.file_name());
            fs::rename(entry.path(), &to).map_err(TrainError::io(&to))?;
        }
        sync_folder(self.dir()).map_err(TrainError::io(self.dir()))?;
        self.checkpoints().done(stage)?;
        fs::remove_dir(&whole).map_err(TrainError::io(&whole))
    }

    /// Where parts wait that are whole and not yet in place.
    fn whole_parts_dir(&self, stage: &str) -> PathBuf {
        self.dir().join(format!("{stage}.whole"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::run::PlanFile;
    use crate::settings::Settings;

    const PARTS: [&str; 4] =
        ["text.safetensors", "image.safetensors", "map.safetensors", "model.toml"];

    fn started(dir: &Path) -> RunDir {
        let plan = PlanFile {
            dataset: "d".into(),
            stages: vec!["joint".into()],
            settings: Settings::photos(),
            content: String::new(),
        };
        let out = dir.join("run");
        RunDir::start(&out, &out, &plan, dir.join("run.partial").exists(), false).unwrap()
    }

    fn write(dir: &Path, parts: &[&str], content: &str) {
        parts.iter().for_each(|part| fs::write(dir.join(part), content).unwrap());
    }

    #[test]
    fn a_kill_between_any_two_parts_leaves_the_old_ones_or_is_ended_by_a_resume() {
        for written in 0..=PARTS.len() {
            let dir = tempfile::tempdir().unwrap();
            let run = started(dir.path());
            write(run.dir(), &PARTS, "old");
            write(&run.new_parts("joint").unwrap(), &PARTS[..written], "new");
            drop(run);
            let resumed = started(dir.path());
            assert!(!resumed.checkpoints().is_done("joint"));
            for part in PARTS {
                assert_eq!(fs::read_to_string(resumed.dir().join(part)).unwrap(), "old");
            }
            assert!(fs::read_dir(resumed.new_parts("joint").unwrap()).unwrap().next().is_none());
        }
        for moved in 0..=PARTS.len() {
            let dir = tempfile::tempdir().unwrap();
            let run = started(dir.path());
            write(run.dir(), &PARTS, "old");
            let whole = run.whole_parts_dir("joint");
            fs::create_dir(&whole).unwrap();
            write(&whole, &PARTS[moved..], "new");
            write(run.dir(), &PARTS[..moved], "new");
            drop(run);
            let resumed = started(dir.path());
            assert!(resumed.checkpoints().is_done("joint") && !whole.exists());
            for part in PARTS {
                assert_eq!(fs::read_to_string(resumed.dir().join(part)).unwrap(), "new");
            }
        }
    }
}
