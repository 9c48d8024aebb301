use std::sync::atomic::{AtomicUsize, Ordering};

use tombolo_search::{
    BoxError, GalleryMap, IndexOptions, Library, LibraryWriter, Method, SearchError, SearchOptions,
};
use tombolo_vectors::EmbeddingMatrix;

use crate::mean_colour::{Desk, vector_of};

/// Swaps red and blue.
#[derive(Default)]
pub struct Swap {
    applied_to: AtomicUsize,
}

impl GalleryMap for Swap {
    fn fingerprint(&self) -> &str {
        "swap"
    }

    fn dim(&self) -> usize {
        3
    }

    fn apply(&self, raw: &EmbeddingMatrix) -> Result<EmbeddingMatrix, BoxError> {
        self.applied_to.fetch_add(raw.len(), Ordering::Relaxed);
        let swapped = raw.iter().flat_map(|row| [row[2], row[1], row[0]]).collect();
        Ok(EmbeddingMatrix::from_rows(3, swapped)?)
    }
}

fn names(library: &Library, query: [u8; 3], options: &SearchOptions<'_>) -> Vec<String> {
    let hits = library.search(&vector_of(query), options).unwrap();
    hits.iter()
        .enumerate()
        .map(|(place, hit)| {
            assert_eq!(hit.rank, place + 1);
            std::path::Path::new(&hit.item.path).file_stem().unwrap().to_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn hits_come_best_first_with_their_records() {
    let desk = Desk::with_three();
    let library = desk.library();
    assert_eq!(names(&library, [200, 90, 10], &Default::default()), ["red", "green", "blue"]);
    let top = SearchOptions { top: 1, ..Default::default() };
    let hits = library.search(&vector_of([1, 2, 9]), &top).unwrap();
    assert_eq!((hits.len(), hits[0].item.width, hits[0].item.height), (1, 8, 6));
    assert_eq!(library.item(&hits[0].item.id).unwrap().as_ref(), Some(&hits[0].item));
    assert_eq!(library.vector_of(&hits[0].item).unwrap(), [0.0, 0.0, 1.0]);
    assert_eq!(library.len().unwrap(), 3);
}

#[test]
fn an_open_library_follows_the_writer() {
    let desk = Desk::with_three();
    let library = desk.library();
    assert_eq!(names(&library, [9, 9, 9], &Default::default()).len(), 3);
    let mut writer = desk.writer();
    desk.paint("photos/grey.png", [9, 9, 9]);
    let paths = [desk.path("photos")];
    let mut seen = Vec::new();
    writer
        .index(&paths, &desk.encoder, &IndexOptions::default(), &mut |_| {
            seen = names(&library, [9, 9, 9], &Default::default());
        })
        .unwrap();
    assert_eq!((seen.len(), seen[0].as_str()), (4, "grey"));
    std::fs::remove_file(desk.path("photos/grey.png")).unwrap();
    writer.index(&paths, &desk.encoder, &IndexOptions::default(), &mut |_| {}).unwrap();
    let top = SearchOptions { top: 1, ..Default::default() };
    assert_ne!(names(&library, [9, 9, 9], &top), ["grey"]);
}

#[test]
fn a_map_moves_the_gallery_and_is_kept() {
    let desk = Desk::with_three();
    let map = Swap::default();
    let options = SearchOptions { top: 1, map: Some(&map), ..Default::default() };
    assert_eq!(names(&desk.library(), [255, 0, 0], &options), ["blue"]);
    assert_eq!(names(&desk.library(), [255, 0, 0], &options), ["blue"]);
    assert_eq!(map.applied_to.load(Ordering::Relaxed), 3, "kept on disk");
    assert!(desk.library_dir().join("mapped").join("swap").join("000001.f16").exists());

    desk.paint("photos/white.png", [255; 3]);
    desk.index(&["photos"]);
    assert_eq!(names(&desk.library(), [255; 3], &options), ["white"]);
    assert_eq!(map.applied_to.load(Ordering::Relaxed), 4, "only the new row");

    std::fs::remove_dir_all(desk.library_dir().join("mapped")).unwrap();
    std::fs::write(desk.library_dir().join("mapped"), "no folder can be here").unwrap();
    assert_eq!(names(&desk.library(), [255, 0, 0], &options), ["blue"]);
    assert_eq!(map.applied_to.load(Ordering::Relaxed), 8, "in memory");
}

#[test]
fn what_is_not_a_library_or_not_a_query_is_named() {
    let desk = Desk::with_three();
    let Err(error) = Library::open(&desk.path("photos")) else { panic!("photos are no library") };
    assert!(matches!(error, SearchError::NotALibrary { .. }));
    let error = desk.library().search(&[1.0], &Default::default()).unwrap_err();
    assert!(matches!(error, SearchError::Dim { expected: 3, found: 1, .. }));
    std::fs::write(desk.library_dir().join("library.toml"), "format = \"x\"").unwrap();
    let Err(error) = Library::open(&desk.library_dir()) else { panic!("damaged") };
    assert!(error.to_string().contains("library.toml"), "{error}");
}

#[test]
fn a_copy_in_int8_finds_the_same_with_the_same_scores() {
    let desk = Desk::with_three();
    let map = Swap::default();
    let library = desk.library();
    for map in [None, Some(&map as &dyn GalleryMap)] {
        let exact = SearchOptions { map, method: Method::Exact, ..Default::default() };
        let int8 = SearchOptions { method: Method::Int8, ..exact };
        let query = vector_of([200, 90, 10]);
        let found = library.search(&query, &int8).unwrap();
        assert_eq!(found, library.search(&query, &exact).unwrap());
        assert_eq!(found.len(), 3);
    }
    desk.paint("photos/grey.png", [9, 9, 9]);
    desk.index(&["photos"]);
    let int8 = SearchOptions { method: Method::Int8, ..Default::default() };
    assert_eq!(names(&library, [9, 9, 9], &int8)[0], "grey", "follows the writer");
}

#[test]
fn an_empty_library_finds_nothing() {
    let desk = Desk::new();
    desk.writer();
    assert!(desk.library().is_empty().unwrap());
    assert!(desk.library().search(&[1.0, 0.0, 0.0], &Default::default()).unwrap().is_empty());
}

#[test]
fn searches_at_once_do_not_take_each_others_files() {
    let desk = Desk::new();
    let dir = desk.library_dir();
    let names: Vec<String> = (0..20_000).map(|name| format!("/{name}.png")).collect();
    let halves = vec![half::f16::from_f32(0.5); 3 * names.len()];
    let mut writer = LibraryWriter::open_or_create(&dir, "mean-colour", 3).unwrap();
    writer.commit_vectors(&halves, &names).unwrap();
    for _ in 0..30 {
        let _ = std::fs::remove_dir_all(dir.join("mapped"));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let map = Swap::default();
                    let options = SearchOptions { map: Some(&map), ..Default::default() };
                    Library::open(&dir).unwrap().search(&[1.0, 0.0, 0.0], &options).unwrap();
                });
            }
        });
    }
    let left = std::fs::read_dir(dir.join("mapped").join("swap")).unwrap().count();
    assert_eq!(left, 1, "one segment, and nothing half written");
}

#[test]
fn a_search_stands_a_compaction() {
    let desk = Desk::with_three();
    let searching = AtomicUsize::new(1);
    /// Ends the searches even if the other side panics.
    struct Done<'a>(&'a AtomicUsize);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(0, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let _done = Done(&searching);
        scope.spawn(|| {
            while searching.load(Ordering::Relaxed) == 1 {
                assert!(names(&desk.library(), [9, 9, 9], &Default::default()).len() >= 3);
                assert_eq!(desk.library().check().unwrap().problems, Vec::<String>::new());
            }
        });
        for _ in 0..20 {
            desk.paint("photos/grey.png", [9, 9, 9]);
            desk.index(&["photos"]);
            std::fs::remove_file(desk.path("photos/grey.png")).unwrap();
            desk.index(&["photos"]);
            desk.writer().compact().unwrap();
        }
    });
}
