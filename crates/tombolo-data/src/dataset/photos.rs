//! Where the photos of a data set lie: the folders that copies of it have.

use std::path::{Path, PathBuf};

use super::files::Listings;

/// Folders that may hold a data set's photos.
#[derive(Clone, Debug)]
pub(super) struct Photos {
    folders: Vec<PathBuf>,
    other_name: fn(&str) -> Option<&str>,
}

impl Photos {
    /// Those of `names` that are folders below `root`, unless the user says where the photos are.
    pub fn below(root: &Path, names: &[&str], given: &[PathBuf]) -> Self {
        let usual = || names.iter().map(|name| root.join(name)).filter(|dir| dir.is_dir());
        Self::of(if given.is_empty() { usual().collect() } else { given.to_vec() })
    }

    /// Those of these folders.
    pub fn of(folders: Vec<PathBuf>) -> Self {
        Self { folders, other_name: |_| None }
    }

    /// Photos may go by another name too.
    pub fn or_named(self, other_name: fn(&str) -> Option<&str>) -> Self {
        Self { other_name, ..self }
    }

    /// Whether there is no folder to look in.
    pub fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// The file of a photo, in the first folder that has it: `below/name`, or `name` alone, since some keep all photos
    /// in one folder. If none has it, the path at which it was expected.
    pub fn locate(&self, below: &str, name: &str, listings: &mut Listings) -> PathBuf {
        let names = [Some(name), (self.other_name)(name)];
        let in_folder = |folder: &PathBuf, name| [folder.join(below).join(name), folder.join(name)];
        let found = names.into_iter().flatten().find_map(|name| {
            let mut places = self.folders.iter().flat_map(|folder| in_folder(folder, name));
            places.find(|path| listings.contains(path))
        });
        let first = self.folders.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
        found.unwrap_or_else(|| first.join(below).join(name))
    }
}
