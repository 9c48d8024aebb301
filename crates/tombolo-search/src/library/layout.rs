//! Where things are in a library, and what `library.toml` says.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::durable::{is_temporary, remove_folder, write_whole};
use crate::SearchError;

const FORMAT: u32 = 2;
const MANIFEST: &str = "library.toml";
const LOCK: &str = "library.lock";
const RECORDS: &str = "items.sqlite";

/// The records, and what SQLite keeps beside them.
const RECORD_FILES: [&str; 4] =
    [RECORDS, "items.sqlite-wal", "items.sqlite-shm", "items.sqlite-journal"];

/// A segment holds at most this many rows, and at most this many bytes.
const SEGMENT_ROWS: usize = 65_536;
const SEGMENT_BYTES: usize = 64 << 20;

/// Components of a vector; far more than any tower has.
const MAX_DIM: usize = 1 << 20;

/// Where the graph of a folder of mapped vectors is.
pub(crate) fn graph_path(mapped: &Path) -> PathBuf {
    mapped.join("graph.hnsw")
}

/// `library.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// Fingerprint of the tower that made the vectors.
    pub(crate) image_tower: String,
    pub(crate) dim: usize,
    /// Rows of every segment but the last.
    pub(crate) segment_rows: usize,
}

impl Manifest {
    /// The manifest itself, if its sizes can be meant.
    fn sound(self) -> Result<Self, toml::de::Error> {
        let expected = |what| Err(serde::de::Error::custom(what));
        match (self.dim, self.segment_rows) {
            (1..=MAX_DIM, 1..=SEGMENT_ROWS) => Ok(self),
            (1..=MAX_DIM, _) => expected("expected `segment_rows` from 1 to 65536"),
            _ => expected("expected `dim` from 1 to 1048576"),
        }
    }

    pub(crate) fn new(image_tower: &str, dim: usize) -> Self {
        let fitting = SEGMENT_BYTES / (dim.max(1) * size_of::<half::f16>());
        Self {
            format: FORMAT,
            image_tower: image_tower.to_owned(),
            dim,
            segment_rows: fitting.clamp(1, SEGMENT_ROWS),
        }
    }
}

fn generation_of(name: &str, generation: u32) -> String {
    match generation {
        0 => name.to_owned(),
        later => format!("{name}-{later}"),
    }
}

/// The folder of a library.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn records(&self) -> PathBuf {
        self.dir.join(RECORDS)
    }

    /// Where the raw vectors are; in another folder after each compaction.
    pub(crate) fn vectors(&self, generation: u32) -> PathBuf {
        self.dir.join(generation_of("vectors", generation))
    }

    /// Where all that is derived from them is.
    pub(crate) fn derived(&self, generation: u32) -> PathBuf {
        self.dir.join(generation_of("mapped", generation))
    }

    /// Folders of vectors, and of what is derived from them, of all generations but one: what a compaction could not remove.
    pub(crate) fn of_other_generations(&self, generation: u32) -> Vec<PathBuf> {
        let kept = [self.vectors(generation), self.derived(generation)];
        let ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let of = |kind: &str| {
                let rest = name.strip_prefix(kind);
                let number = rest.and_then(|rest| rest.strip_prefix('-'));
                rest == Some("") || number.is_some_and(|number| number.parse::<u32>().is_ok())
            };
            of("vectors") || of("mapped")
        };
        let entries = fs::read_dir(&self.dir).into_iter().flatten();
        let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
        folders.filter(|path| ours(path) && !kept.contains(path)).collect()
    }

    /// Removes the library, and nothing else that lies in its folder.
    pub(crate) fn remove(&self) -> Result<(), SearchError> {
        let io = |source| SearchError::Io { path: self.dir.clone(), source };
        let _lock = self.lock()?;
        for folder in
            [self.vectors(0), self.derived(0)].into_iter().chain(self.of_other_generations(0))
        {
            remove_folder(&folder).map_err(io)?;
        }
        // The manifest after all that it makes a library of, so that a removal that was cut off can be done again; the lock
        // last, since whoever finds none makes one of their own.
        for name in RECORD_FILES.into_iter().chain([MANIFEST, LOCK]) {
            match fs::remove_file(self.dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Where vectors go that a map has moved. A fingerprint that is no plain name is hashed.
    pub(crate) fn mapped(&self, fingerprint: &str, generation: u32) -> PathBuf {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_name = (1..=64).contains(&fingerprint.len()) && fingerprint.chars().all(plain);
        let hashed = || blake3::hash(fingerprint.as_bytes()).to_hex().to_string();
        self.derived(generation).join(if is_name { fingerprint.to_owned() } else { hashed() })
    }

    /// `library.toml`, or `None` where there is none.
    pub(crate) fn manifest(&self) -> Result<Option<Manifest>, SearchError> {
        let path = self.dir.join(MANIFEST);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SearchError::Io { path, source }),
        };
        let parsed = toml::from_str(&text).and_then(Manifest::sound);
        let manifest =
            parsed.map_err(|source| SearchError::Manifest { path, source: Box::new(source) })?;
        if manifest.format != FORMAT {
            let (path, found) = (self.dir.clone(), manifest.format);
            return Err(SearchError::Format { path, expected: FORMAT, found });
        }
        Ok(Some(manifest))
    }

    /// Writing the manifest is what makes a folder a library.
    pub(crate) fn write_manifest(&self, manifest: &Manifest) -> Result<(), SearchError> {
        let path = self.dir.join(MANIFEST);
        let text = toml::to_string(manifest).expect("two numbers and two strings are TOML");
        write_whole(&path, text.as_bytes()).map_err(|source| SearchError::Io { path, source })
    }

    /// Makes the folder, and refuses one that holds anything but a library or its beginning.
    pub(crate) fn claim(&self) -> Result<(), SearchError> {
        let io = |source| SearchError::Io { path: self.dir.clone(), source };
        if self.dir.is_file() {
            let path = self.dir.clone();
            return Err(SearchError::NotALibrary { path, found: "a file" });
        }
        fs::create_dir_all(&self.dir).map_err(io)?;
        if self.dir.join(MANIFEST).exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.dir).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let ours = name.to_str().is_some_and(|name| {
                // The beginning of a creation, or the end of a removal.
                name == LOCK || RECORD_FILES.contains(&name) || is_temporary(name, MANIFEST)
            });
            if !ours {
                let found = "a folder of other files without library.toml";
                return Err(SearchError::NotALibrary { path: self.dir.clone(), found });
            }
        }
        Ok(())
    }

    /// Takes the writer's lock, which the system frees when the process ends, however it ends.
    pub(crate) fn lock(&self) -> Result<File, SearchError> {
        let path = self.dir.join(LOCK);
        let io = |source| SearchError::Io { path: path.clone(), source };
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(SearchError::Busy { path: self.dir.clone() }),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_bounded_in_rows_and_bytes() {
        assert_eq!(Manifest::new("t", 128).segment_rows, 65_536);
        assert_eq!(Manifest::new("t", 512).segment_rows, 65_536);
        assert_eq!(Manifest::new("t", 1024).segment_rows, 32_768);
    }

    #[test]
    fn a_fingerprint_never_leaves_the_folder() {
        let layout = Layout::new(Path::new("library"));
        assert_eq!(layout.mapped("ab12", 0), Path::new("library/mapped/ab12"));
        let strange = layout.mapped("../../etc", 0);
        assert_eq!(strange.parent(), Some(Path::new("library/mapped")));
        assert_eq!(layout.mapped("ab12", 3), Path::new("library/mapped-3/ab12"));
    }

    #[test]
    fn folders_of_other_generations_are_told_from_what_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "vectors",
            "vectors-24",
            "vectors-25",
            "mapped",
            "mapped-25",
            "vectors-old",
            "vectors2",
        ] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut found = Layout::new(dir.path()).of_other_generations(25);
        found.sort();
        assert_eq!(found, ["mapped", "vectors", "vectors-24"].map(|name| dir.path().join(name)));
    }

    #[test]
    fn sizes_that_cannot_be_meant_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        for (dim, segment_rows) in [(0, 2), (4, 0), (usize::MAX >> 1, 2), (4, 1 << 20)] {
            let manifest = Manifest { dim, segment_rows, ..Manifest::new("t", 4) };
            layout.write_manifest(&manifest).unwrap();
            let error = layout.manifest().unwrap_err();
            assert!(error.to_string().contains("expected `"), "{error}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let newer = Manifest { format: FORMAT + 1, ..Manifest::new("t", 4) };
        layout.write_manifest(&newer).unwrap();
        let error = layout.manifest().unwrap_err();
        assert!(error.to_string().ends_with("expected a library of format 2, found format 3"));
        assert!(error.hint().unwrap().contains("update"));
    }
}
