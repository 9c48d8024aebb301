//! The final place of a run, and what was there before.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tombolo_models::checkpoint::sync_folder;
use tombolo_models::model::Model;
use tombolo_models::settings::read_toml;

use super::{KEPT, MAP, PLAN, PlanFile, RunDir};
use crate::error::{Result, TrainError};

/// What a finished run holds besides its parts. All else that lies in one is the user's.
const REPORT: &str = "report.html";

/// Where the older run waits, within the new one, until that is in its place.
const REPLACED: &str = "replaced";

/// Held by the process that trains in an unfinished run.
const LOCK: &str = "lock";

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
        let run = self.out.join("model.toml").exists() && Model::open(&self.out).is_ok();
        if !run && !empty() {
            return Err(TrainError::NotARun { path: self.out.clone() });
        }
        // Removed last, so where it is, `finish` was interrupted.
        match read_toml::<PlanFile>(&self.out.join(PLAN)) {
            Ok(_) if run => self.clear_up(),
            _ => Ok(()),
        }
    }

    /// Keeps other processes from training in the unfinished run.
    ///
    /// # Errors
    /// [`TrainError::InTraining`] if one does.
    pub(super) fn lock(&mut self) -> Result<()> {
        let path = self.partial.join(LOCK);
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(TrainError::io(&path))?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(())
            }
            Err(TryLockError::WouldBlock) => {
                Err(TrainError::InTraining { path: self.partial.clone() })
            }
            Err(TryLockError::Error(error)) => Err(TrainError::io(&path)(error)),
        }
    }

    /// Puts the run in its final place, at once. An older run of that name is gone when the new one is there; what is not of
    /// a run stays.
    ///
    /// # Errors
    /// [`TrainError::NotARun`], or if a file cannot be removed or the directory not be renamed.
    pub fn finish(mut self) -> Result<PathBuf> {
        self.check_place()?;
        sync_folder(&self.partial).map_err(TrainError::io(&self.partial))?;
        if self.out.exists() {
            let replaced = self.partial.join(REPLACED);
            fs::rename(&self.out, &replaced).map_err(TrainError::io(&self.out))?;
        }
        // Windows renames no folder with an open file in it.
        self.lock = None;
        fs::rename(&self.partial, &self.out).map_err(TrainError::io(&self.out))?;
        // Last, so that a kill before the renaming leaves a run that can still be resumed.
        self.clear_up()?;
        Ok(self.out)
    }

    /// Removes the run if no part of it was trained, not even by a step that it could be resumed from: so that the same
    /// command, corrected, can be given again.
    pub fn drop_if_untrained(&self) {
        let empty = fs::read_dir(self.partial.join("checkpoints"));
        if empty.is_ok_and(|mut entries| entries.next().is_none()) {
            // The error that ended the run is the one worth reporting.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }

    /// Removes what only an unfinished run needs, and the run that was replaced but for what is not of it.
    fn clear_up(&self) -> Result<()> {
        let (checkpoints, replaced) = (self.out.join("checkpoints"), self.out.join(REPLACED));
        if checkpoints.exists() {
            fs::remove_dir_all(&checkpoints).map_err(TrainError::io(&checkpoints))?;
        }
        keep_what_is_not_ours(&replaced, &self.out).map_err(TrainError::io(&replaced))?;
        if replaced.exists() {
            fs::remove_dir_all(&replaced).map_err(TrainError::io(&replaced))?;
        }
        for file in [LOCK, PLAN].map(|name| self.out.join(name)) {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(TrainError::io(&file)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn keep_what_is_not_ours(replaced: &Path, out: &Path) -> io::Result<()> {
    // The target of a link stays where it is.
    if !replaced.is_dir() || replaced.is_symlink() {
        return Ok(());
    }
    for entry in fs::read_dir(replaced)? {
        let name = entry?.file_name();
        let ours = KEPT.iter().chain(&MAP).chain(&[REPORT]).any(|ours| name == *ours);
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
            content: String::new(),
        };
        RunDir::start(out, out, &plan, resume, true)
    }

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let model = path.file_name().is_some_and(|name| name == "model.toml");
        fs::write(path, if model { "format = 1" } else { "x" }).unwrap();
    }

    #[test]
    fn what_is_not_of_a_run_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        for name in ["sub/tax.txt", "checkpoints/epoch-100.pt", "plan.toml", "replaced/a.txt"] {
            write(&precious.join(name));
        }
        for model in [None, Some("lr = 1")] {
            model.into_iter().for_each(|m| fs::write(precious.join("model.toml"), m).unwrap());
            assert!(matches!(start(&precious, false), Err(TrainError::NotARun { .. })));
            assert_eq!(fs::read_dir(precious.join("checkpoints")).unwrap().count(), 1);
            assert!(precious.join("plan.toml").exists() && precious.join("replaced").exists());
        }

        let out = dir.path().join("run");
        for name in [
            "run/model.toml",
            "run/report.html",
            "run/notes.txt",
            "run/library/a",
            "run/checkpoints/own",
        ] {
            write(&dir.path().join(name));
        }
        for beside in ["run.old/model.toml", "run.new/model.toml"] {
            write(&dir.path().join(beside));
        }
        start(&out, false).unwrap().finish().unwrap();
        for kept in
            ["run/library/a", "run/checkpoints/own", "run.old/model.toml", "run.new/model.toml"]
        {
            assert!(dir.path().join(kept).exists(), "{kept}");
        }
        let mut left: Vec<_> =
            fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["checkpoints", "library", "model.toml", "notes.txt"]);
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
        drop(run);
        let run = start(&out, true).unwrap();
        assert!(out.join("notes.txt").exists(), "the older run is in its place again");

        fs::rename(&out, partial.join(REPLACED)).unwrap();
        fs::rename(&partial, &out).unwrap();
        drop(run);
        start(&out, false).unwrap();
        assert!(out.join("notes.txt").exists() && !out.join(REPLACED).exists());
    }

    #[test]
    fn one_process_trains_in_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("run");
        let run = start(&out, false).unwrap();
        for resume in [false, true] {
            assert!(matches!(start(&out, resume), Err(TrainError::InTraining { .. })));
        }
        drop(run);
        assert!(matches!(start(&out, false), Err(TrainError::Unfinished { .. })));
        start(&out, true).unwrap();
    }

    #[test]
    fn other_data_of_the_same_name_is_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("run");
        let plan = |content: &str| PlanFile {
            dataset: "csv:a.csv".into(),
            stages: vec!["map".into()],
            settings: Settings::emoji(),
            content: content.into(),
        };
        drop(RunDir::start(&out, &out, &plan("before"), false, true).unwrap());
        let other = RunDir::start(&out, &out, &plan("after"), true, true);
        let Err(error @ TrainError::OtherRun { .. }) = other else { panic!("resumed") };
        assert!(error.to_string().contains("csv:a.csv has changed"), "{error}");
        RunDir::start(&out, &out, &plan("before"), true, true).unwrap();
    }
}
