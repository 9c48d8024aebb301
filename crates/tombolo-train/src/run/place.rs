//! The final place of a run, and what was there before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tombolo_models::checkpoint::sync_folder;

use super::{KEPT, MAP, RunDir};
use crate::error::{Result, TrainError};

/// What a run holds besides its parts. All else that lies in one is the user's.
const FURTHER: [&str; 4] = ["report.html", "plan.toml", "checkpoints", REPLACED];

/// Where the older run waits, within the new one, until that is in its place.
const REPLACED: &str = "replaced";

impl RunDir {
    /// Makes sure that nothing but a run, or an empty folder, is in the final place, and ends what a kill interrupted in
    /// [`RunDir::finish`].
    ///
    /// # Errors
    /// [`TrainError::NotARun`], or if a file cannot be moved.
    pub(super) fn check_place(&self) -> Result<()> {
        let waiting = self.partial.join(REPLACED);
        if waiting.exists() && !self.out.exists() {
            fs::rename(&waiting, &self.out).map_err(TrainError::io(&self.out))?;
        }
        if !self.out.exists() {
            return Ok(());
        }
        let empty = || fs::read_dir(&self.out).is_ok_and(|mut entries| entries.next().is_none());
        if self.out.join("model.toml").exists() || empty() {
            return self.clear_up();
        }
        Err(TrainError::NotARun { path: self.out.clone() })
    }

    /// Puts the run in its final place, at once. An older run of that name is gone when the new one is there; what is not of
    /// a run stays.
    ///
    /// # Errors
    /// [`TrainError::NotARun`], or if a file cannot be removed or the directory not be renamed.
    pub fn finish(self) -> Result<PathBuf> {
        self.check_place()?;
        sync_folder(&self.partial).map_err(TrainError::io(&self.partial))?;
        if self.out.exists() {
            let replaced = self.partial.join(REPLACED);
            fs::rename(&self.out, &replaced).map_err(TrainError::io(&self.out))?;
        }
        fs::rename(&self.partial, &self.out).map_err(TrainError::io(&self.out))?;
        // Last, so that a kill before the renaming leaves a run that can still be resumed.
        self.clear_up()?;
        Ok(self.out)
    }

    /// Removes what only an unfinished run needs, and the run that was replaced but for what is not of it.
    fn clear_up(&self) -> Result<()> {
        let replaced = self.out.join(REPLACED);
        keep_what_is_not_ours(&replaced, &self.out).map_err(TrainError::io(&replaced))?;
        for leftover in [replaced, self.out.join("checkpoints")] {
            if leftover.exists() {
                fs::remove_dir_all(&leftover).map_err(TrainError::io(&leftover))?;
            }
        }
        let plan = self.out.join("plan.toml");
        match fs::remove_file(&plan) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(TrainError::io(&plan)(error))
            }
            _ => Ok(()),
        }
    }
}

fn keep_what_is_not_ours(replaced: &Path, out: &Path) -> io::Result<()> {
    // The target of a link stays where it is.
    if !replaced.is_dir() || replaced.is_symlink() {
        return Ok(());
    }
    for entry in fs::read_dir(replaced)? {
        let name = entry?.file_name();
        let ours = KEPT.iter().chain(&MAP).chain(&FURTHER).any(|ours| name == *ours);
        if !ours && !out.join(&name).exists() {
            fs::rename(replaced.join(&name), out.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::PlanFile;
    use crate::settings::Settings;

    fn start(out: &Path, resume: bool) -> Result<RunDir> {
        let plan = PlanFile {
            dataset: "csv:a.csv".into(),
            stages: vec!["map".into()],
            settings: Settings::emoji(),
        };
        RunDir::start(out, out, &plan, resume, true)
    }

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    #[test]
    fn what_is_not_of_a_run_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        write(&precious.join("sub/tax.txt"));
        assert!(matches!(start(&precious, false), Err(TrainError::NotARun { .. })));
        assert!(precious.join("sub/tax.txt").exists());

        let out = dir.path().join("run");
        for name in ["run/model.toml", "run/report.html", "run/notes.txt", "run/library/a"] {
            write(&dir.path().join(name));
        }
        for beside in ["run.old/model.toml", "run.new/model.toml"] {
            write(&dir.path().join(beside));
        }
        start(&out, false).unwrap().finish().unwrap();
        for kept in ["run/notes.txt", "run/library/a", "run.old/model.toml", "run.new/model.toml"] {
            assert!(dir.path().join(kept).exists(), "{kept}");
        }
        let names = ["model.toml", "library", "notes.txt"].map(std::ffi::OsString::from);
        let left: Vec<_> = fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.len() == 3 && names.iter().all(|name| left.contains(name)), "{left:?}");
    }

    #[test]
    fn a_kill_between_the_renamings_loses_neither_run() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("run");
        for name in ["model.toml", "notes.txt"] {
            write(&out.join(name));
        }
        let run = start(&out, false).unwrap();
        let partial = run.dir().to_path_buf();
        fs::rename(&out, partial.join(REPLACED)).unwrap();
        let run = start(&out, true).unwrap();
        assert!(out.join("notes.txt").exists(), "the older run is in its place again");

        fs::rename(&out, partial.join(REPLACED)).unwrap();
        fs::rename(&partial, &out).unwrap();
        drop(run);
        start(&out, false).unwrap();
        assert!(out.join("notes.txt").exists() && !out.join(REPLACED).exists());
    }
}
