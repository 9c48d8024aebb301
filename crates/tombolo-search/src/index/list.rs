//! What there is to index, by names, sizes and times alone.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use tombolo_data::dataset::ImageSource;
use tombolo_data::image::{EXTENSIONS, is_photo, not_built};
use walkdir::{DirEntry, WalkDir};

use super::{Found, IndexItem, ItemList, Skipped, caption};
use crate::library::Stamp;

/// The pictures that are there, by path without repeats, and where others would be.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) found: Vec<Found>,
    pub(super) scope: Scope,
    pub(super) skipped: Vec<Skipped>,
    /// The files themselves of photos that were come upon through a link, by their path.
    linked: HashMap<String, PathBuf>,
}

/// Where an item that was not found is gone, and not merely elsewhere.
#[derive(Debug, Default)]
pub(super) struct Scope {
    folders: Vec<PathBuf>,
    /// Could not be looked into, so what they held may still be there.
    unreadable: Vec<PathBuf>,
    /// Hold nothing at all.
    empty: Vec<PathBuf>,
    prefix: Option<String>,
}

impl Scope {
    pub(super) fn holds(&self, path: &str) -> bool {
        let below =
            |folders: &[PathBuf]| folders.iter().any(|dir| Path::new(path).starts_with(dir));
        self.prefix.as_ref().is_some_and(|prefix| path.starts_with(prefix))
            || below(&self.folders) && !below(&self.unreadable)
    }

    /// The given folder, with nothing in it, that a path is below.
    pub(super) fn empty_above(&self, path: &str) -> Option<&Path> {
        self.empty.iter().find(|dir| Path::new(path).starts_with(dir)).map(PathBuf::as_path)
    }
}

impl Listing {
    fn skip(&mut self, path: &Path, reason: impl ToString) {
        let path = path.display().to_string();
        self.skipped.push(Skipped { path, reason: reason.to_string() });
    }

    /// Puts the pictures in the order of the records.
    fn sorted(mut self) -> Self {
        self.found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.found.dedup_by(|a, b| a.path == b.path);
        self.drop_second_names();
        self
    }

    /// Leaves out what links lead to and is there under its own name, or through an earlier link: one name a file.
    fn drop_second_names(&mut self) {
        let linked = &self.linked;
        let own = self.found.iter().filter(|found| !linked.contains_key(&found.path));
        let mut files: HashSet<PathBuf> = own.map(|found| PathBuf::from(&found.path)).collect();
        self.found.retain(|found| match linked.get(&found.path) {
            Some(file) => files.insert(file.clone()),
            None => true,
        });
    }
}

/// Lists files, and folders with all that is below them but the library itself.
pub(super) fn files(paths: &[PathBuf], library: &Path) -> Listing {
    let mut listing = Listing::default();
    let library = absolute(library).ok();
    for path in paths {
        match absolute(path) {
            Ok(root) if root.is_dir() => add_folder(&mut listing, &root, library.as_deref()),
            Ok(file) if is_photo(&file) => match file.metadata() {
                Ok(metadata) => add_file(&mut listing, &file, &metadata, caption_beside(&file)),
                Err(error) => listing.skip(path, error),
            },
            Ok(file) => match not_built(&file) {
                Some(reason) => listing.skip(path, reason),
                None => {
                    let expected = EXTENSIONS.join(", ");
                    listing.skip(path, format!("expected a folder or one of {expected}"));
                }
            },
            Err(error) => listing.skip(path, error),
        }
    }
    listing.sorted()
}

/// Lists given pictures.
pub(super) fn items(list: ItemList) -> Listing {
    let mut listing = Listing::default();
    listing.scope.prefix = list.scope;
    for IndexItem { path, source, caption } in list.items {
        let stamp = match &source {
            ImageSource::File(file) => file.metadata().map(|metadata| stamp_of(&metadata)),
            ImageSource::Member { archive, length, .. } => {
                archive.metadata().map(|metadata| Stamp { size: *length, ..stamp_of(&metadata) })
            }
            ImageSource::Embedded { bytes, .. } => Ok(Stamp {
                size: bytes.len() as u64,
                // Embedded bytes have no time; their hash changes when they do.
                modified_ns: short_hash(bytes),
                caption: None,
            }),
            ImageSource::Nowhere => Err(std::io::ErrorKind::NotFound.into()),
        };
        match stamp {
            Ok(stamp) => {
                let caption_stamp = caption.as_ref().map(|caption| short_hash(caption.as_bytes()));
                let stamp = Stamp { caption: caption_stamp, ..stamp };
                let caption = caption.map_or(caption::Source::None, caption::Source::Given);
                listing.found.push(Found { path, source, stamp, caption });
            }
            Err(error) => listing.skip(Path::new(&path), error),
        }
    }
    listing.sorted()
}

fn add_folder(listing: &mut Listing, root: &Path, library: Option<&Path>) {
    listing.scope.folders.push(root.to_owned());
    if root.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
        listing.scope.empty.push(root.to_owned());
    }
    let wanted = |entry: &DirEntry| {
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        !(hidden && entry.depth() > 0) && Some(entry.path()) != library
    };
    let mut photos = Vec::new();
    let mut captions = HashMap::new();
    let mut links = Vec::new();
    for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(wanted) {
        let entry = entry
            .and_then(|entry| Ok((entry.metadata()?, entry.path_is_symlink(), entry.into_path())));
        match entry {
            Ok((metadata, true, path)) if metadata.is_dir() => links.push(path),
            Ok((metadata, link, path)) if metadata.is_file() && is_photo(&path) => {
                let link = link || links.iter().any(|link| path.starts_with(link));
                photos.push((path, metadata, link));
            }
            Ok((metadata, _, path)) if metadata.is_file() && is_caption(&path) => {
                captions.insert(path.with_extension(""), (stamp_of(&metadata), path));
            }
            Ok((_, _, path)) => {
                if let Some(reason) = not_built(&path) {
                    listing.skip(&path, reason);
                }
            }
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                let cause = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                listing.skip(&path, cause);
                listing.scope.unreadable.push(path);
            }
        }
    }
    for (path, metadata, link) in photos {
        let caption = captions.get(&path.with_extension(""));
        let caption = caption.map(|(stamp, path)| (stamp.modified_ns, path.clone()));
        if let (true, Some(name), Ok(file)) = (link, path.to_str(), absolute(&path)) {
            listing.linked.insert(name.to_owned(), file);
        }
        add_file(listing, &path, &metadata, caption);
    }
}

fn add_file(
    listing: &mut Listing,
    path: &Path,
    metadata: &Metadata,
    caption: Option<(i64, PathBuf)>,
) {
    let Some(name) = path.to_str() else {
        return listing.skip(path, "expected a path in UTF-8");
    };
    let (caption_stamp, caption) = match caption {
        Some((stamp, path)) => (Some(stamp), caption::Source::File(path)),
        None => (None, caption::Source::None),
    };
    listing.found.push(Found {
        path: name.to_owned(),
        source: ImageSource::File(path.to_owned()),
        stamp: Stamp { caption: caption_stamp, ..stamp_of(metadata) },
        caption,
    });
}

fn caption_beside(photo: &Path) -> Option<(i64, PathBuf)> {
    let path = photo.with_extension("txt");
    let metadata = path.metadata().ok()?;
    Some((stamp_of(&metadata).modified_ns, path))
}

fn is_caption(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("txt"))
}

fn stamp_of(metadata: &Metadata) -> Stamp {
    let nanoseconds = |time: std::time::SystemTime| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    };
    let modified_ns = metadata.modified().map_or(0, nanoseconds);
    Stamp { size: metadata.len(), modified_ns, caption: None }
}

fn short_hash(bytes: &[u8]) -> i64 {
    let hash = blake3::hash(bytes);
    let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
    i64::from_le_bytes(*first)
}

/// One name per file, whatever the working directory and the links on the way: the name that a library knows it by.
///
/// # Errors
/// If there is no such file.
pub fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    let canonical = path.canonicalize()?;
    // Windows' extended form, `\\?\C:\…`, is no name that users know.
    let plain = canonical.to_str().and_then(|path| path.strip_prefix(r"\\?\"));
    match plain.filter(|path| cfg!(windows) && path.as_bytes().get(1) == Some(&b':')) {
        Some(plain) => Ok(PathBuf::from(plain)),
        None => Ok(canonical),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_by_extension_without_hidden_ones_and_the_library() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["b.JPG", "a.png", "a.txt", "notes.md", ".hidden.png", "sub/c.webp"] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        for other in ["library/d.png", ".git/e.png"] {
            std::fs::create_dir_all(root.join(other).parent().unwrap()).unwrap();
            std::fs::write(root.join(other), "x").unwrap();
        }
        let given = [root.clone(), root.join("a.png"), root.join("nowhere"), root.join("notes.md")];
        let listing = files(&given, &root.join("library"));
        let found: Vec<_> = listing
            .found
            .iter()
            .map(|found| Path::new(&found.path).strip_prefix(&root).unwrap())
            .collect();
        assert_eq!(found, [Path::new("a.png"), Path::new("b.JPG"), Path::new("sub/c.webp")]);
        assert_eq!(listing.found[0].caption, caption::Source::File(root.join("a.txt")));
        assert_eq!(listing.skipped.len(), 2);
        assert!(listing.skipped[1].reason.starts_with("expected a folder or one of jpg"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_has_one_name_whatever_links_lead_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["photos/2024/a.png", "photos/z/b.png", "elsewhere/c.png"] {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), "x").unwrap();
        }
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(root.join(to), root.join("photos").join(name)).unwrap();
        };
        link("photos/2024", "best");
        link("photos/z/b.png", "a-link.png");
        link("elsewhere", "other");
        link("elsewhere", "yet-another");
        let listing = files(&[root.join("photos")], &root.join("library"));
        let found: Vec<_> = listing.found.iter().map(|found| found.path.clone()).collect();
        let expected = ["2024/a.png", "other/c.png", "z/b.png"];
        assert_eq!(
            found,
            expected.map(|name| root.join("photos").join(name).display().to_string())
        );
    }

    #[cfg(not(feature = "heif"))]
    #[test]
    fn a_photo_that_this_build_does_not_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.HEIC"), "x").unwrap();
        let listing = files(&[dir.path().to_path_buf()], &dir.path().join("library"));
        assert!(listing.skipped[0].reason.contains("built without `heif`"));
        let listing = files(&[dir.path().join("a.HEIC")], &dir.path().join("library"));
        assert!(listing.skipped[0].reason.contains("built without `heif`"));
    }

    #[test]
    fn an_item_is_gone_only_from_folders_that_were_looked_into() {
        let scope = Scope {
            folders: vec!["/a".into()],
            unreadable: vec!["/a/closed".into()],
            empty: Vec::new(),
            prefix: Some("emoji:".into()),
        };
        assert!(scope.holds("/a/x.png") && scope.holds("emoji:dog"));
        assert!(!scope.holds("/ab/x.png") && !scope.holds("/a/closed/x.png"));
    }
}
