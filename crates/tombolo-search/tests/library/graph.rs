use tombolo_search::{Hit, LinkOptions, Method, SearchOptions};

use crate::mean_colour::{Desk, vector_of};
use crate::search::Swap;

/// From the first row on, and extended for every row.
const ALWAYS: LinkOptions = LinkOptions { from_rows: 1, unlinked: 1 };

fn colour(photo: u8) -> [u8; 3] {
    [photo.wrapping_mul(37), photo.wrapping_mul(101) | 1, photo.wrapping_mul(59)]
}

fn desk(photos: u8) -> Desk {
    let desk = Desk::new();
    (0..photos).for_each(|photo| desk.paint(&name(photo), colour(photo)));
    desk.index(&["photos"]);
    desk
}

fn name(photo: u8) -> String {
    format!("photos/{photo:03}.png")
}

fn link(desk: &Desk, options: &LinkOptions) -> bool {
    desk.writer().link(&Swap::default(), options, &mut |_, _| {}).unwrap()
}

fn graph(desk: &Desk) -> std::path::PathBuf {
    desk.library_dir().join("mapped").join("swap").join("graph.hnsw")
}

/// What a search through the graph finds, after making sure that an exact one finds the same.
fn search(desk: &Desk, query: [u8; 3], top: usize) -> Vec<Hit> {
    let library = desk.library();
    let map = Swap::default();
    let auto = SearchOptions { top, map: Some(&map), method: Method::Auto };
    let exact = SearchOptions { method: Method::Exact, ..auto };
    let found = library.search(&vector_of(query), &auto).unwrap();
    assert_eq!(found, library.search(&vector_of(query), &exact).unwrap());
    found
}

#[test]
fn a_graph_is_made_from_enough_rows_on_and_finds_what_an_exact_search_finds() {
    let desk = desk(60);
    assert!(!link(&desk, &LinkOptions { from_rows: 61, unlinked: 1 }));
    assert!(!graph(&desk).exists());
    assert!(link(&desk, &ALWAYS));
    assert!(graph(&desk).exists());
    assert!(!link(&desk, &ALWAYS), "nothing is missing");
    (0..60).for_each(|photo| assert_eq!(search(&desk, colour(photo), 5).len(), 5));
    assert_eq!(search(&desk, [1, 2, 3], 100).len(), 60, "more than there are");
}

#[test]
fn what_is_gone_is_not_found_and_what_is_new_is() {
    let desk = desk(40);
    assert!(link(&desk, &ALWAYS));
    for photo in 0..30 {
        std::fs::remove_file(desk.path(&name(photo))).unwrap();
    }
    desk.paint("photos/new.png", [255, 0, 0]);
    desk.index(&["photos"]);
    let found = search(&desk, [0, 0, 255], 11);
    assert_eq!(found.len(), 11);
    assert!(found[0].item.path.ends_with("new.png"), "red and blue are swapped");
    let gone = |hit: &Hit| (0..30).any(|photo| hit.item.path.ends_with(&name(photo)[6..]));
    assert!(!found.iter().any(gone));
    assert!(!link(&desk, &LinkOptions { unlinked: 2, ..ALWAYS }), "one row can wait");
    assert!(link(&desk, &ALWAYS), "extended");
    assert!(search(&desk, [0, 0, 255], 1)[0].item.path.ends_with("new.png"));
}

#[test]
fn a_damaged_graph_is_passed_over_and_made_again() {
    let desk = desk(20);
    assert!(link(&desk, &ALWAYS));
    std::fs::write(graph(&desk), "no graph").unwrap();
    assert_eq!(search(&desk, [9, 9, 9], 3).len(), 3);
    assert!(link(&desk, &ALWAYS));
    assert!(std::fs::read(graph(&desk)).unwrap().len() > 100);
}
