//! The files of a library: whatever they hold, opening, searching, checking and mending it ends in an answer or an error.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use tombolo_search::{Library, LibraryWriter, PageOptions, Wanted};

const MANIFEST: &str = "format = 2\nimage_tower = \"t\"\ndim = 4\nsegment_rows = 2\n";

fuzz_target!(|input: (u8, &[u8])| {
    let (which, bytes) = input;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("library");
    fs::create_dir_all(dir.join("vectors")).expect("a folder");
    fs::write(dir.join("library.toml"), MANIFEST).expect("a file");
    drop(LibraryWriter::open(&dir).expect("an empty library"));
    let file = match which % 4 {
        0 => "library.toml",
        1 => "items.sqlite",
        2 => "items.sqlite-wal",
        _ => "vectors/000000.f16",
    };
    fs::write(dir.join(file), bytes).expect("a file");
    if let Ok(library) = Library::open(&dir) {
        let _ = library.search(&[0.5; 4], &Default::default());
        let _ = library.page(&Wanted::All, &Default::default(), &PageOptions::default());
        let _ = library.check();
        let _ = library.facets();
        let _ = library.duplicates(0.9, &mut |_, _| {});
    }
    if let Ok(mut writer) = LibraryWriter::open(&dir) {
        let _ = writer.repair();
        let _ = writer.compact();
    }
});
