//! The files of a library: one that is whole, with some bytes of one file written over. Whatever they are, opening, searching,
//! checking and mending it ends in an answer or an error, and no photo is found twice.
#![no_main]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use half::f16;
use libfuzzer_sys::fuzz_target;
use tombolo_search::{BoxError, GalleryMap, Library, LibraryWriter, LinkOptions, PageOptions, SearchOptions, Wanted};
use tombolo_vectors::EmbeddingMatrix;

const DIM: usize = 4;
const PHOTOS: usize = 30;
const LINK: LinkOptions = LinkOptions { from_rows: 1, unlinked: 1 };

/// Leaves vectors as they are.
struct Same;

impl GalleryMap for Same {
    fn fingerprint(&self) -> &str {
        "same"
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn apply(&self, raw: &EmbeddingMatrix) -> Result<EmbeddingMatrix, BoxError> {
        Ok(raw.clone())
    }
}

/// The files of a library that is whole, by name.
fn whole() -> &'static [(PathBuf, Vec<u8>)] {
    static WHOLE: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("library");
        let mut writer = LibraryWriter::open_or_create_with_segments(&dir, "tower", DIM, 8).expect("a library");
        let unit = |photo: usize| [(photo as f32).cos(), (photo as f32).sin(), 0.0, 0.0].map(f16::from_f32);
        let vectors: Vec<f16> = (0..PHOTOS).flat_map(unit).collect();
        let names: Vec<String> = (0..PHOTOS).map(|photo| format!("/photos/{photo}.jpg")).collect();
        writer.commit_vectors(&vectors, &names).expect("photos");
        writer.link(&Same, &LINK, &mut |_, _| {}).expect("a graph");
        drop(writer);
        let mut files = Vec::new();
        take(&dir, Path::new(""), &mut files);
        // What is written over it is read as the part of the records that is not in their file yet.
        files.push(("items.sqlite-wal".into(), Vec::new()));
        files.sort();
        files
    })
}

fn take(dir: &Path, name: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(dir.join(name)).expect("a folder") {
        let name = name.join(entry.expect("a file").file_name());
        match fs::read(dir.join(&name)) {
            Ok(bytes) => files.push((name, bytes)),
            Err(_) => take(dir, &name, files),
        }
    }
}

/// Which file is written over, where, and whether it ends there; and with what.
struct Damage<'a> {
    file: usize,
    at: usize,
    ends: bool,
    bytes: &'a [u8],
}

impl<'a> Damage<'a> {
    fn of(input: &'a [u8]) -> Option<Self> {
        let ([file, low, high, ends], bytes) = input.split_first_chunk()?;
        Some(Self { file: (*file).into(), at: u16::from_le_bytes([*low, *high]).into(), ends: ends % 2 == 1, bytes })
    }

    fn done_to(&self, whole: &[u8]) -> Vec<u8> {
        let at = self.at % (whole.len() + 1);
        let rest = whole.get(at + self.bytes.len()..).filter(|_| !self.ends).unwrap_or_default();
        [&whole[..at], self.bytes, rest].concat()
    }
}

fuzz_target!(|input: &[u8]| {
    let Some(damage) = Damage::of(input) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("library");
    for (place, (name, bytes)) in whole().iter().enumerate() {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let hit = place == damage.file % whole().len();
        fs::write(path, if hit { damage.done_to(bytes) } else { bytes.clone() }).expect("a file");
    }
    use_it(&dir);
});

fn use_it(dir: &Path) {
    let options = SearchOptions { map: Some(&Same), ..SearchOptions::default() };
    if let Ok(library) = Library::open(dir) {
        for options in [options, SearchOptions::default()] {
            let hits = library.search(&[0.5; DIM], &options).unwrap_or_default();
            let ids: HashSet<&str> = hits.iter().map(|hit| hit.item.id.as_str()).collect();
            assert_eq!(ids.len(), hits.len(), "a photo was found twice");
            for hit in &hits {
                let _ = library.vector_of(&hit.item);
                let _ = library.tags(&hit.item);
            }
        }
        let _ = library.page(&Wanted::All, &options, &PageOptions::default());
        let _ = library.check();
        let _ = library.facets();
        let _ = library.duplicates(0.9, &mut |_, _| {});
    }
    if let Ok(mut writer) = LibraryWriter::open(dir) {
        let _ = writer.repair();
        let _ = writer.compact();
        let _ = writer.link(&Same, &LINK, &mut |_, _| {});
    }
}
