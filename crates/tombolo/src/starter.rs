//! Models that are built into the program: ready to search with before anything is trained.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tombolo_models::checkpoint::sync_folder;

/// A run directory inside the program.
pub struct Starter {
    /// What it is called by, where a model is asked for.
    pub name: &'static str,
    /// What it is for, in a line.
    pub about: &'static str,
    files: &'static [(&'static str, &'static [u8])],
}

macro_rules! starter {
    ($name:literal, $about:literal, [$($file:literal),* $(,)?] $(,)?) => {
        Starter {
            name: $name,
            about: $about,
            files: &[$((
                $file,
                include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/", $name, "/", $file)),
            )),*],
        }
    };
}

/// The model that a new library is indexed with where none is named.
pub const DEFAULT: &str = "photo-starter";

/// All of them.
pub const STARTERS: [Starter; 2] = [
    starter!(
        "photo-starter",
        "photos by English words, on all-minilm-l6-v2 and efficientnet-lite2, which are pulled when first needed",
        [
            "model.toml",
            "text.safetensors",
            "image.safetensors",
            "map.safetensors",
            "calibration.json"
        ],
    ),
    starter!(
        "emoji-starter",
        "emoji by English words, from scratch, as quickstart trains it",
        [
            "model.toml",
            "text.safetensors",
            "image.safetensors",
            "map.safetensors",
            "calibration.json",
            "tokenizer.json",
        ],
    ),
];

impl Starter {
    /// Bytes of its files.
    pub fn bytes(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// The directory that it is unpacked to: another one for other contents, so that a library keeps the model
    /// that it was indexed with when the program is updated.
    fn dir(&self, home: &Path) -> PathBuf {
        let mut hash = blake3::Hasher::new();
        for (name, bytes) in self.files {
            hash.update(name.as_bytes()).update(bytes);
        }
        home.join("starters").join(format!("{}-{}", self.name, &hash.finalize().to_hex()[..16]))
    }

    /// Writes the files into a new directory, and has them on disk before anything is renamed.
    fn write(&self, dir: &Path) -> std::io::Result<()> {
        fs::create_dir_all(dir)?;
        for (name, bytes) in self.files {
            let mut file = fs::File::create(dir.join(name))?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        sync_folder(dir)
    }

    /// Puts the run directory below `home`, unless it is there. Returns it.
    fn unpack(&self, home: &Path) -> anyhow::Result<PathBuf> {
        let dir = self.dir(home);
        if dir.is_dir() {
            return Ok(dir);
        }
        let partial = dir.with_extension(format!("partial-{}", std::process::id()));
        if let Err(error) = self.write(&partial) {
            // The first error is the one worth reporting.
            let _ = fs::remove_dir_all(&partial);
            let what = format!("cannot unpack {} to {}", self.name, partial.display());
            return Err(anyhow::Error::new(error).context(what));
        }
        match fs::rename(&partial, &dir) {
            // Another process was faster.
            Err(_) if dir.is_dir() => fs::remove_dir_all(&partial).map(|()| dir.clone()),
            renamed => renamed.map(|()| dir.clone()),
        }
        .with_context(|| format!("cannot unpack {} to {}", self.name, dir.display()))
    }
}

/// The name of the starter that was unpacked to a directory, of this program or of one before it; or that is named.
pub fn name_of(model: &Path) -> Option<&'static str> {
    let last = model.file_name()?.to_str()?;
    let unpacked = model.parent().is_some_and(|parent| parent.ends_with("starters"));
    let named = |starter: &&Starter| match unpacked {
        true => last.strip_prefix(starter.name).is_some_and(|hash| hash.starts_with('-')),
        false => is_starter(model) && last == starter.name,
    };
    STARTERS.iter().find(named).map(|starter| starter.name)
}

/// Whether a model that was named is a starter, and no directory.
pub fn is_starter(model: &Path) -> bool {
    STARTERS.iter().any(|starter| Path::new(starter.name) == model) && !model.exists()
}

/// The directory of a model that was named: itself, or where the starter of that name lies, below `home`.
pub fn run_dir(model: &Path, home: &Path) -> anyhow::Result<PathBuf> {
    let starter = STARTERS.iter().find(|starter| Path::new(starter.name) == model);
    match starter.filter(|_| !model.exists()) {
        Some(starter) => starter.unpack(home),
        None => Ok(model.to_path_buf()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_models::model::Model;

    #[test]
    fn every_starter_is_unpacked_once_and_opens() {
        let home = tempfile::tempdir().unwrap();
        for starter in &STARTERS {
            let dir = run_dir(Path::new(starter.name), home.path()).unwrap();
            let model = Model::open(&dir).unwrap();
            model.tower("text", &candle_core::Device::Cpu).unwrap();
            model.tower("image", &candle_core::Device::Cpu).unwrap();
            model.map(&candle_core::Device::Cpu).unwrap();
            assert_eq!(run_dir(Path::new(starter.name), home.path()).unwrap(), dir);
            assert_eq!(name_of(&dir), Some(starter.name));
            assert_eq!(name_of(Path::new(starter.name)), Some(starter.name));
        }
        assert_eq!(fs::read_dir(home.path().join("starters")).unwrap().count(), STARTERS.len());
    }

    #[test]
    fn any_other_name_is_a_directory() {
        let home = Path::new("/nowhere");
        assert_eq!(run_dir(Path::new("runs/mine"), home).unwrap(), Path::new("runs/mine"));
        assert_eq!(name_of(Path::new("runs/mine")), None);
    }

    #[test]
    fn starters_are_small() {
        assert!(STARTERS.iter().all(|starter| starter.bytes() < 12_000_000));
    }
}
