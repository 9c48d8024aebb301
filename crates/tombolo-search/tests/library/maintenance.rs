use std::fs;

use tombolo_search::{LibraryWriter, Method, SearchOptions};

use crate::mean_colour::{Desk, vector_of, when_free};
use crate::search::Swap;

fn colours(count: u8) -> Desk {
    let desk = Desk::new();
    for photo in 0..count {
        let colour = [photo.wrapping_mul(37), photo.wrapping_mul(101) | 1, photo.wrapping_mul(59)];
        desk.paint(&format!("photos/{photo:02}.png"), colour);
    }
    desk.index(&["photos"]);
    desk
}

fn found(desk: &Desk) -> Vec<(String, f32)> {
    let (map, library) = (Swap::default(), desk.library());
    let options = SearchOptions { top: 100, map: Some(&map), method: Method::Exact };
    let hits = library.search(&vector_of([40, 90, 200]), &options).unwrap();
    hits.into_iter().map(|hit| (hit.item.path, hit.score)).collect()
}

#[test]
fn a_sound_library_has_no_problems() {
    let desk = colours(7);
    let health = desk.library().check().unwrap();
    assert_eq!((health.photos, health.rows, health.unused, health.broken), (7, 7, 0, 0));
    assert!(health.problems.is_empty(), "{:?}", health.problems);
}

#[test]
fn compacting_gives_room_back_and_changes_no_answer() {
    let desk = colours(9);
    let before_open = desk.library();
    found(&desk);
    for photo in [0, 3, 4, 8] {
        fs::remove_file(desk.path(&format!("photos/{photo:02}.png"))).unwrap();
    }
    desk.index(&["photos"]);
    let expected = found(&desk);
    assert_eq!(expected.len(), 5);
    assert_eq!(desk.library().check().unwrap().unused, 4);
    let mut writer = desk.writer();
    assert_eq!(writer.compact().unwrap(), 4);
    assert_eq!(writer.compact().unwrap(), 0, "nothing is left to give back");
    drop(writer);
    let health = desk.library().check().unwrap();
    assert_eq!((health.rows, health.unused), (5, 0));
    assert!(health.problems.is_empty(), "{:?}", health.problems);
    assert_eq!(found(&desk), expected);
    assert!(!desk.path("library/vectors").exists() && desk.path("library/vectors-1").exists());
    let map = Swap::default();
    let options = SearchOptions { top: 100, map: Some(&map), method: Method::Exact };
    let hits = before_open.search(&vector_of([40, 90, 200]), &options).unwrap();
    assert_eq!(hits.len(), 5, "a library that was open follows");

    // And it grows on.
    desk.paint("photos/new.png", [1, 2, 250]);
    assert_eq!(desk.index(&["photos"]).encoded, 1);
    assert_eq!(found(&desk).len(), 6);
    assert!(desk.library().check().unwrap().problems.is_empty());
}

#[test]
fn lost_vectors_are_found_and_encoded_again() {
    let desk = colours(7);
    let expected = found(&desk);
    // Segments hold two rows: one is gone, one is cut, one is overwritten.
    fs::remove_file(desk.path("library/vectors/000000.f16")).unwrap();
    fs::File::options()
        .write(true)
        .open(desk.path("library/vectors/000001.f16"))
        .unwrap()
        .set_len(6)
        .unwrap();
    fs::write(desk.path("library/vectors/000002.f16"), [0xff; 12]).unwrap();
    let health = desk.library().check().unwrap();
    assert_eq!(health.problems.len(), 3, "{:?}", health.problems);
    let repaired = desk.writer().repair().unwrap();
    assert_eq!((repaired.forgotten, repaired.segments), (5, 2));
    assert!(desk.library().check().unwrap().problems.is_empty());
    assert_eq!(found(&desk).len(), 2);
    let summary = desk.index(&["photos"]);
    assert_eq!((summary.added, summary.unchanged), (5, 2));
    let mut again = found(&desk);
    let mut sorted = expected.clone();
    again.sort_by(|a, b| a.0.cmp(&b.0));
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(again, sorted);
}

#[test]
fn vectors_that_changed_places_are_found_and_made_again() {
    let desk = colours(7);
    let expected = found(&desk);
    exchange_rows(&desk, "library/vectors/000001.f16");
    let problems = desk.library().check().unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("2 vectors"), "{problems:?}");
    assert_eq!(desk.writer().repair().unwrap().forgotten, 2);
    assert_eq!(desk.index(&["photos"]).added, 2);
    let in_order = |mut hits: Vec<_>| {
        hits.sort_by(|a: &(String, f32), b| a.0.cmp(&b.0));
        hits
    };
    assert_eq!(in_order(found(&desk)), in_order(expected));
    // What is known of them goes with them to their new places.
    assert_eq!(desk.writer().compact().unwrap(), 2);
    assert!(desk.library().check().unwrap().problems.is_empty());
    fs::write(
        desk.path("library/vectors-1/000002.f16"),
        fs::read(desk.path("library/vectors-1/000000.f16")).unwrap(),
    )
    .unwrap();
    assert_eq!(desk.library().check().unwrap().problems.len(), 1);
}

#[test]
fn records_that_tell_of_more_vectors_than_there_can_be_end_in_an_error() {
    let desk = colours(7);
    change_records(&desk, "UPDATE vectors SET rows = 1 << 60");
    let problems = desk.library().check().unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("1152921504606846976"), "{problems:?}");
    assert!(desk.writer().repair().is_err() && desk.writer().compact().is_err());
    assert!(desk.library().search(&vector_of([1, 2, 3]), &SearchOptions::default()).is_err());
}

/// Does to the records what another program would.
fn change_records(desk: &Desk, sql: &str) {
    let records = rusqlite::Connection::open(desk.path("library/items.sqlite")).unwrap();
    records.execute_batch(sql).unwrap();
}

fn assert_sound(desk: &Desk) {
    let problems = desk.library().check().unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
}

fn exchange_rows(desk: &Desk, segment: &str) {
    let mut rows = fs::read(desk.path(segment)).unwrap();
    rows.rotate_left(6);
    fs::write(desk.path(segment), rows).unwrap();
}

#[test]
fn a_library_older_than_check_sums_is_sound() {
    let desk = colours(7);
    change_records(&desk, "DROP TABLE sums");
    assert_sound(&desk);
    assert_eq!(desk.writer().repair().unwrap().forgotten, 0);
    // A compaction reads all vectors, and takes their sums.
    fs::remove_file(desk.path("photos/06.png")).unwrap();
    desk.index(&["photos"]);
    assert_eq!(desk.writer().compact().unwrap(), 1);
    assert_sound(&desk);
    exchange_rows(&desk, "library/vectors-1/000001.f16");
    assert_eq!(desk.library().check().unwrap().problems.len(), 1);
}

#[test]
fn what_an_older_program_wrote_without_check_sums_is_sound() {
    let desk = colours(7);
    change_records(&desk, "DELETE FROM sums WHERE vector_row > 2");
    assert_sound(&desk);
    // It compacts without regard to sums: those of other rows are not theirs.
    fs::rename(desk.path("library/vectors"), desk.path("library/vectors-1")).unwrap();
    change_records(&desk, "UPDATE vectors SET generation = 1");
    exchange_rows(&desk, "library/vectors-1/000000.f16");
    assert_sound(&desk);
    desk.paint("photos/new.png", [1, 2, 250]);
    assert_eq!(desk.index(&["photos"]).encoded, 1);
    assert_sound(&desk);
}

#[test]
fn a_compaction_that_was_killed_leaves_the_library_as_it_was() {
    let desk = colours(7);
    let expected = found(&desk);
    fs::create_dir(desk.path("library/vectors-1")).unwrap();
    fs::write(desk.path("library/vectors-1/000000.f16"), [0xff; 9]).unwrap();
    assert_sound(&desk);
    assert_eq!(found(&desk), expected);
    fs::remove_file(desk.path("photos/03.png")).unwrap();
    desk.index(&["photos"]);
    assert_eq!(desk.writer().compact().unwrap(), 1);
    assert_sound(&desk);
    assert_eq!(found(&desk).len(), 6);
}

#[test]
fn another_generation_in_damaged_records_removes_no_vectors() {
    let desk = colours(7);
    fs::remove_file(desk.path("photos/03.png")).unwrap();
    desk.index(&["photos"]);
    desk.writer().compact().unwrap();
    for generation in ["0", "4294967295"] {
        change_records(&desk, &format!("UPDATE vectors SET generation = {generation}, rows = 7"));
        assert!(desk.writer().compact().is_err());
    }
    change_records(&desk, "UPDATE vectors SET generation = 1, rows = 6");
    assert_sound(&desk);
    assert_eq!(found(&desk).len(), 6);
}

#[test]
fn copies_and_likenesses_are_grouped() {
    let desk = Desk::with_three();
    fs::copy(desk.path("photos/red.png"), desk.path("photos/copy.png")).unwrap();
    desk.paint("photos/reddish.png", [255, 4, 3]);
    fs::copy(desk.path("photos/sub/blue.png"), desk.path("photos/azure.png")).unwrap();
    desk.index(&["photos"]);
    let names = |threshold: f32| {
        let found = desk.library().duplicates(threshold, &mut |_, _| {}).unwrap();
        let group = |group: tombolo_search::Duplicates| {
            let name = |path: &str| path.rsplit(['/', '\\']).next().unwrap().to_owned();
            (group.exact, group.items.iter().map(|item| name(&item.path)).collect::<Vec<_>>())
        };
        found.into_iter().map(group).collect::<Vec<_>>()
    };
    let blue = (true, vec!["azure.png".to_owned(), "blue.png".to_owned()]);
    let red = |names: &[&str]| (names.len() == 2, names.iter().map(|n| (*n).to_owned()).collect());
    assert_eq!(names(f32::INFINITY), [blue.clone(), red(&["copy.png", "red.png"])]);
    assert_eq!(names(0.99), [blue, red(&["copy.png", "red.png", "reddish.png"])]);
}

#[test]
fn a_photo_joins_a_group_by_any_of_its_members() {
    let desk = Desk::new();
    // Each is nearer to its own twenty than to any of the others.
    for colour in (0..20).chain(60..80) {
        desk.paint(&format!("photos/{colour}.png"), [255, colour, 0]);
    }
    desk.index(&["photos"]);
    let found = desk.library().duplicates(0.95, &mut |_, _| {}).unwrap();
    let sizes: Vec<usize> = found.iter().map(|group| group.items.len()).collect();
    assert_eq!(sizes, [40]);
}

#[cfg(unix)]
#[test]
fn two_names_of_one_file_are_no_duplicates() {
    let desk = Desk::new();
    desk.paint("photos/2024/a.png", [255, 0, 0]);
    std::os::unix::fs::symlink(desk.path("photos/2024"), desk.path("photos/best")).unwrap();
    let names = ["photos/best/a.png", "photos/2024/a.png", "photos/2024/gone.png"];
    let names = names.map(|name| desk.path(name).display().to_string());
    let halves = [[1.0, 0.0, 0.0]; 3].as_flattened().iter().map(|&x| half::f16::from_f32(x));
    let halves: Vec<half::f16> = halves.collect();
    desk.writer().commit_vectors(&halves[..6], &names[..2]).unwrap();
    let paths = || {
        let found = desk.library().duplicates(0.97, &mut |_, _| {}).unwrap();
        let paths = found.into_iter().flat_map(|group| group.items).map(|item| item.path);
        paths.collect::<Vec<_>>()
    };
    assert_eq!(paths(), Vec::<String>::new());
    desk.writer().commit_vectors(&halves[6..], &names[2..]).unwrap();
    assert_eq!(paths(), names[1..], "the file's own name stays");
}

#[test]
fn a_library_is_removed_and_nothing_else() {
    let desk = colours(3);
    fs::write(desk.library_dir().join("notes.txt"), "mine").unwrap();
    when_free(|| LibraryWriter::remove(&desk.library_dir())).unwrap();
    let left: Vec<_> =
        fs::read_dir(desk.library_dir()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
    assert!(LibraryWriter::remove(&desk.library_dir()).is_err());
}

#[test]
fn a_removal_that_was_cut_off_can_be_done_again() {
    let desk = colours(3);
    let mut left: Vec<_> =
        fs::read_dir(desk.library_dir()).unwrap().map(|e| e.unwrap().path()).collect();
    // In the order of a removal.
    let order = |path: &std::path::PathBuf| {
        let names = ["items.sqlite", "library.toml", "library.lock"];
        names.iter().position(|name| path.file_name().unwrap() == *name)
    };
    left.sort_by_key(order);
    let whole = desk.path("whole");
    fs::rename(desk.library_dir(), &whole).unwrap();
    for kept in 0..left.len() {
        fs::create_dir(desk.library_dir()).unwrap();
        for path in &left[kept..] {
            let name = path.file_name().unwrap();
            match whole.join(name).is_dir() {
                true => fs::create_dir(path).unwrap(),
                false => drop(fs::copy(whole.join(name), path).unwrap()),
            }
        }
        // Whoever comes next takes over what is left, or begins anew where nothing is.
        if desk.library_dir().join("library.toml").exists() {
            when_free(|| LibraryWriter::remove(&desk.library_dir())).unwrap();
        }
        let summary = desk.index(&["photos"]);
        assert_eq!((summary.added, summary.encoded), (3, 3), "{kept} files were removed");
        assert_eq!(desk.library().check().unwrap().problems, Vec::<String>::new());
        fs::remove_dir_all(desk.library_dir()).unwrap();
    }
}

#[test]
fn what_is_no_library_cannot_be_mended() {
    let desk = Desk::new();
    assert!(LibraryWriter::open(&desk.path("nothing")).is_err());
    assert!(!desk.path("nothing").exists());
}
