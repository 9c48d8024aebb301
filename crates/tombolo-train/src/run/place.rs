//! The final place of a run, and what was there before.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tombolo_models::checkpoint::sync_folder;
use tombolo_models::model::Model;
use tombolo_models::settings::read_toml;

use super::{Checkpoints, KEPT, MAP, PLAN, PlanFile, RunDir};
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
        if !self.out.exists() {
            return Ok(());
        }
        let empty = || fs::read_dir(&self.out).is_ok_and(|mut entries| entries.next().is_none());
        let run = self.out.join("model.toml").exists() && Model::open(&self.out).is_ok();
        match run {
            true if is_whole(&self.out) => self.clear_up(),
            true => Ok(()),
            false if empty() => Ok(()),
            false => Err(TrainError::NotARun { path: self.out.clone() }),
        }
    }

    /// Puts a run back that waited within a new one for it to take its place, where a kill left none there.
    ///
    /// # Errors
    /// [`TrainError::InTraining`] if the new one is just being put there, or if it cannot be moved.
    pub fn restore(out: &Path) -> Result<()> {
        let mut run = Self::at(out)?;
        let waiting = run.partial.join(REPLACED);
        if waiting.exists() && !run.out.exists() {
            run.lock()?;
            fs::rename(&waiting, &run.out).map_err(TrainError::io(&run.out))?;
        }
        Ok(())
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
            Err(TryLockError::WouldBlock) => {
                return Err(TrainError::InTraining { path: self.partial.clone() });
            }
            // Some file systems of networks have no locks.
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
                return Err(TrainError::io(&path)(error));
            }
            _ => self.lock = Some(file),
        }
        Ok(())
    }

    /// Puts the run in its final place, at once. An older run of that name is gone when the new one is there; what is not of
    /// a run stays.
    ///
    /// # Errors
    /// [`TrainError::NotARun`], or if a file cannot be removed or the directory not be renamed.
    pub fn finish(mut self) -> Result<PathBuf> {
        self.check_place()?;
        sync_folder(&self.partial).map_err(TrainError::io(&self.partial))?;
        if cfg!(windows) {
            // There, no folder is renamed that has an open file in it.
            self.lock = None;
        }
        let waiting = self.partial.join(REPLACED);
        if self.out.exists() {
            fs::rename(&self.out, &waiting).map_err(TrainError::io(&self.out))?;
        }
        if let Err(error) = fs::rename(&self.partial, &self.out) {
            // The first error is the one worth reporting.
            let _ = fs::rename(&waiting, &self.out);
            return Err(TrainError::io(&self.out)(error));
        }
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

    /// Removes what only an unfinished run needs, and of the run that was replaced what is of a run. The plan goes last: it
    /// says that there is something to clear up.
    fn clear_up(&self) -> Result<()> {
        let there = |name: &str| self.out.join(name);
        unless_gone(fs::remove_dir_all(there("checkpoints")), &there("checkpoints"))?;
        unless_gone(fs::remove_file(there(LOCK)), &there(LOCK))?;
        self.take_back(&there(REPLACED))?;
        unless_gone(fs::remove_file(there(PLAN)), &there(PLAN))?;
        // The user may have a file of that name as well.
        self.take_back(&there(REPLACED))?;
        // Where something could not be taken back, it is still in there.
        let _ = fs::remove_dir(there(REPLACED));
        Ok(())
    }

    /// Moves what is not of a run from the replaced one into the new one, but over nothing that is there, and removes what is.
    fn take_back(&self, replaced: &Path) -> Result<()> {
        for entry in fs::read_dir(replaced).into_iter().flatten().flatten() {
            let (from, to) = (entry.path(), self.out.join(entry.file_name()));
            if KEPT.iter().chain(&MAP).chain(&[REPORT]).any(|ours| entry.file_name() == **ours) {
                unless_gone(fs::remove_file(&from), &from)?;
            } else if !to.exists() {
                // It stays where it is if it may not be moved.
                let _ = fs::rename(&from, &to);
            }
        }
        Ok(())
    }
}

/// Whether a run in its final place was whole when it came there, but not cleared up: its plan is there, and all of it is done.
fn is_whole(run: &Path) -> bool {
    let checkpoints = Checkpoints { dir: run.join("checkpoints") };
    read_toml::<PlanFile>(&run.join(PLAN)).is_ok_and(|plan| {
        !checkpoints.dir.exists() || plan.stages.iter().all(|stage| checkpoints.is_done(stage))
    })
}

fn unless_gone(removed: io::Result<()>, path: &Path) -> Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(TrainError::io(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::PlanFile;
    use crate::settings::Settings;

    fn plan(content: &str) -> PlanFile {
        PlanFile {
            dataset: "csv:a.csv".into(),
            stages: vec!["map".into()],
            settings: Settings::emoji(),
            content: content.into(),
        }
    }

    fn start(out: &Path, resume: bool) -> Result<RunDir> {
        RunDir::start(out, out, &plan(""), resume, true)
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
            "run/lock",
            "run/plan.toml",
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
        let kept = ["checkpoints", "library", "lock", "model.toml", "notes.txt", "plan.toml"];
        assert_eq!(left, kept);
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
        RunDir::restore(&out).unwrap();
        let run = start(&out, true).unwrap();
        assert!(out.join("notes.txt").exists(), "the older run is in its place again");

        run.checkpoints().done("map").unwrap();
        fs::rename(&out, partial.join(REPLACED)).unwrap();
        fs::rename(&partial, &out).unwrap();
        drop(run);
        start(&out, false).unwrap();
        assert!(out.join("notes.txt").exists() && !out.join(REPLACED).exists());
    }

    #[test]
    fn an_unfinished_run_that_was_renamed_keeps_its_checkpoints() {
        let dir = tempfile::tempdir().unwrap();
        let (out, moved) = (dir.path().join("run"), dir.path().join("moved"));
        let run = start(&out, false).unwrap();
        write(&run.dir().join("model.toml"));
        fs::rename(run.dir(), &moved).unwrap();
        assert!(matches!(
            RunDir::start(&moved, &moved, &plan(""), true, false),
            Err(TrainError::RunExists { .. })
        ));
        assert!(moved.join("checkpoints").exists() && moved.join("plan.toml").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_run_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("elsewhere/real"), dir.path().join("link"));
        for name in ["model.toml", "library/a"] {
            write(&real.join(name));
        }
        std::os::unix::fs::symlink(&real, &link).unwrap();
        start(&link, false).unwrap().finish().unwrap();
        assert!(link.is_symlink() && link.join("library/a").exists());
        assert!(real.join("model.toml").exists() && !real.join(REPLACED).exists());
    }

    #[test]
    fn a_folder_that_is_called_like_an_unfinished_run_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("run.partial/a"));
        let refused = start(&dir.path().join("run"), true);
        assert!(matches!(refused, Err(TrainError::NotARun { .. })));
        assert_eq!(fs::read_dir(dir.path().join("run.partial")).unwrap().count(), 1);
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
        drop(RunDir::start(&out, &out, &plan("before"), false, true).unwrap());
        let other = RunDir::start(&out, &out, &plan("after"), true, true);
        let Err(error @ TrainError::OtherRun { .. }) = other else { panic!("resumed") };
        assert!(error.to_string().contains("csv:a.csv has changed"), "{error}");
        RunDir::start(&out, &out, &plan("before"), true, true).unwrap();
    }
}
