use std::fs;

use tombolo_data::dataset::ImageSource;
use tombolo_search::{IndexItem, IndexOptions, ItemList, LibraryWriter, SearchError};

use crate::mean_colour::{Desk, MeanColour, vector_of, when_free};

#[test]
fn a_second_index_encodes_and_reads_nothing() {
    let desk = Desk::with_three();
    // If it were read, it would be broken: only size and time stay.
    let path = desk.path("photos/red.png");
    let (modified, size) = {
        let metadata = path.metadata().unwrap();
        (metadata.modified().unwrap(), metadata.len())
    };
    fs::write(&path, vec![0; size as usize]).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let summary = desk.index(&["photos"]);
    assert_eq!((summary.found, summary.unchanged, desk.encoded()), (3, 3, 0));
    assert!(summary.skipped.is_empty());
}

#[test]
fn an_added_a_changed_and_a_deleted_photo_are_each_handled_alone() {
    let desk = Desk::with_three();
    desk.paint("photos/white.png", [255; 3]);
    let summary = desk.index(&["photos"]);
    assert_eq!((summary.added, summary.unchanged, desk.encoded()), (1, 3, 1));

    desk.paint("photos/red.png", [255, 9, 0]);
    fs::File::options()
        .write(true)
        .open(desk.path("photos/red.png"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    let summary = desk.index(&["photos"]);
    assert_eq!((summary.updated, summary.encoded, desk.encoded()), (1, 1, 2));
    let hits = desk.library().search(&vector_of([255, 9, 0]), &Default::default()).unwrap();
    assert!(hits[0].item.path.ends_with("red.png") && hits[0].score > 0.999);

    fs::remove_file(desk.path("photos/green.png")).unwrap();
    let summary = desk.index(&["photos"]);
    assert_eq!((summary.forgotten, summary.unchanged, desk.encoded()), (1, 3, 2));
    assert_eq!(desk.names(), ["red.png", "blue.png", "white.png"]);
    let hits = desk.library().search(&vector_of([0, 255, 0]), &Default::default()).unwrap();
    assert_eq!(hits.len(), 3);
}

#[test]
fn a_renamed_a_touched_and_a_copied_photo_are_not_encoded() {
    let desk = Desk::with_three();
    let path = |name: &str| desk.path(name).to_str().unwrap().to_owned();
    let tags = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let tagged = [
        (path("photos/red.png"), tags(&["mine", "warm"])),
        (path("photos/green.png"), tags(&["cold"])),
    ];
    desk.writer().set_tags(&tagged).unwrap();
    fs::rename(desk.path("photos/red.png"), desk.path("photos/sub/rouge.png")).unwrap();
    let summary = desk.index(&["photos"]);
    assert_eq!((summary.added, summary.reused, summary.forgotten), (1, 1, 1));
    let library = desk.library();
    let hits = library.search(&vector_of([255, 0, 0]), &Default::default()).unwrap();
    assert!(hits[0].item.path.ends_with("rouge.png"));
    assert_eq!(library.tags(&hits[0].item).unwrap(), ["mine", "warm"], "tags go with a photo");
    drop(library);

    let touched = desk.path("photos/green.png");
    fs::File::options()
        .write(true)
        .open(touched)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    let summary = desk.index(&["photos"]);
    assert_eq!((summary.updated, summary.reused, summary.encoded), (1, 1, 0));

    fs::copy(desk.path("photos/green.png"), desk.path("photos/vert.png")).unwrap();
    desk.index(&["photos"]);
    assert_eq!(desk.encoded(), 0);
    let hits = desk.library().search(&vector_of([0, 255, 0]), &Default::default()).unwrap();
    let names: Vec<_> = hits[..2].iter().map(|hit| hit.item.path.rsplit_once('n')).collect();
    assert_eq!(hits.len(), 4);
    assert_eq!(hits[0].score, hits[1].score, "{names:?}");
}

#[test]
fn equal_photos_of_one_run_are_encoded_once() {
    let desk = Desk::new();
    for name in ["a.png", "b.png", "c.png"] {
        desk.paint(&format!("photos/{name}"), [10, 20, 30]);
    }
    let summary = desk.index(&["photos"]);
    assert_eq!((summary.added, summary.encoded, summary.reused, desk.encoded()), (3, 1, 2, 1));
}

#[test]
fn one_folder_never_forgets_the_photos_of_another() {
    let desk = Desk::with_three();
    desk.paint("other/white.png", [255; 3]);
    let summary = desk.index(&["other"]);
    assert_eq!((summary.found, summary.added, summary.forgotten), (1, 1, 0));
    fs::remove_dir_all(desk.path("photos/sub")).unwrap();
    assert_eq!(desk.index(&["other"]).forgotten, 0);
    assert_eq!(desk.index(&["photos"]).forgotten, 1);
    assert_eq!(desk.names(), ["white.png", "green.png", "red.png"]);
}

#[test]
fn what_does_not_exist_is_skipped_and_forgets_nothing() {
    let desk = Desk::with_three();
    fs::rename(desk.path("photos"), desk.path("away")).unwrap();
    let summary = desk.index(&["photos"]);
    assert_eq!((summary.skipped.len(), summary.forgotten), (1, 0));
    assert!(summary.skipped[0].path.ends_with("photos"));
    assert_eq!(desk.names().len(), 3);
}

#[test]
fn broken_photos_are_skipped_with_their_reasons() {
    let desk = Desk::with_three();
    fs::write(desk.path("photos/text.jpg"), "I am a text").unwrap();
    fs::write(desk.path("photos/empty.png"), "").unwrap();
    let whole = fs::read(desk.path("photos/red.png")).unwrap();
    fs::write(desk.path("photos/half.png"), &whole[..whole.len() / 2]).unwrap();
    let summary = desk.index(&["photos"]);
    let reasons: Vec<_> = summary
        .skipped
        .iter()
        .map(|skipped| (skipped.path.as_str(), skipped.reason.as_str()))
        .collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons[0].0.ends_with("empty.png") && reasons[0].1.contains("empty"), "{reasons:?}");
    assert!(
        reasons[1].0.ends_with("half.png") && reasons[1].1.contains("truncated"),
        "{reasons:?}"
    );
    assert!(reasons[2].0.ends_with("text.jpg") && reasons[2].1.contains("expected"), "{reasons:?}");
    assert_eq!(desk.names().len(), 3);
    assert_eq!(desk.index(&["photos"]), {
        let mut again = summary;
        again.unchanged = 3;
        again
    });

    desk.paint("photos/half.png", [9, 9, 9]);
    let retry = IndexOptions { retry_broken: true, ..Default::default() };
    let summary = desk.index_with(&["photos"], &retry);
    assert_eq!((summary.skipped.len(), summary.updated, summary.encoded), (2, 1, 1));
}

#[test]
fn a_photo_that_broke_is_no_longer_found() {
    let desk = Desk::with_three();
    fs::write(desk.path("photos/red.png"), "gone bad").unwrap();
    assert_eq!(desk.index(&["photos"]).skipped.len(), 1);
    assert_eq!(desk.names(), ["green.png", "blue.png"]);
}

#[test]
fn captions_come_from_the_text_beside_and_follow_it() {
    let desk = Desk::with_three();
    let caption = || {
        let items = desk.library().items_after("", 10).unwrap();
        items.into_iter().find(|item| item.path.ends_with("red.png")).unwrap().caption
    };
    assert_eq!(caption(), None);
    fs::write(desk.path("photos/red.txt"), "A red wall.\nMore").unwrap();
    let summary = desk.index(&["photos"]);
    assert_eq!((summary.updated, summary.encoded), (1, 0));
    assert_eq!(caption().as_deref(), Some("A red wall."));
    fs::remove_file(desk.path("photos/red.txt")).unwrap();
    desk.index(&["photos"]);
    assert_eq!((caption(), desk.encoded()), (None, 0));
}

#[test]
fn the_library_of_another_model_is_refused_with_both_names() {
    let desk = Desk::with_three();
    let open = || LibraryWriter::open_or_create(&desk.library_dir(), "other-tower", 3);
    let Err(error) = when_free(open) else { panic!("another model was let in") };
    let text = error.to_string();
    assert!(text.contains("mean-colour") && text.contains("other-tower"), "{text}");
    assert!(error.hint().unwrap().contains("--model"));
    let other = MeanColour { fingerprint: "other-tower", ..Default::default() };
    let result = desk.writer().index(&[], &other, &IndexOptions::default(), &mut |_| {});
    assert!(matches!(result, Err(SearchError::OtherModel { .. })));
    assert!(desk.library().require_model("other-tower").is_err());
    desk.library().require_model("mean-colour").unwrap();
}

#[test]
fn one_writer_at_a_time() {
    let desk = Desk::with_three();
    let first = desk.writer();
    let second = LibraryWriter::open_or_create(&desk.library_dir(), "mean-colour", 3);
    assert!(matches!(second, Err(SearchError::Busy { .. })));
    drop(first);
    desk.writer();
}

#[test]
fn a_folder_of_other_files_is_refused_and_left_alone() {
    let desk = Desk::new();
    fs::create_dir(desk.library_dir()).unwrap();
    desk.writer();
    fs::create_dir(desk.path("papers")).unwrap();
    fs::write(desk.path("papers/letter.txt"), "Dear").unwrap();
    let Err(error) = LibraryWriter::open_or_create(&desk.path("papers"), "mean-colour", 3) else {
        panic!("a folder of papers became a library")
    };
    assert!(matches!(error, SearchError::NotALibrary { .. }) && error.hint().is_some());
    assert_eq!(fs::read_dir(desk.path("papers")).unwrap().count(), 1);
}

#[test]
fn a_list_of_embedded_pictures_is_kept_as_one_collection() {
    let desk = Desk::with_three();
    let bytes: &'static [u8] = fs::read(desk.path("photos/red.png")).unwrap().leak();
    let item = |name: &str, caption: &str| IndexItem {
        path: format!("emoji:{name}"),
        source: ImageSource::Embedded { name: name.to_owned(), bytes },
        caption: Some(caption.to_owned()),
    };
    let index = |items| {
        let list = ItemList { scope: Some("emoji:".to_owned()), items };
        let options = IndexOptions::default();
        desk.writer().index_items(list, &desk.encoder, &options, &mut |_| {}).unwrap()
    };
    let summary = index(vec![item("a", "square"), item("b", "box")]);
    assert_eq!((summary.added, summary.reused, desk.encoded()), (2, 2, 0));
    let summary = index(vec![item("a", "red square")]);
    assert_eq!((summary.updated, summary.forgotten, summary.found), (1, 1, 1));
    assert_eq!(index(vec![item("a", "red square")]).unchanged, 1);
    let items = desk.library().items_after("emoji:", 10).unwrap();
    assert_eq!(items[0].caption.as_deref(), Some("red square"));
    assert_eq!(items.len(), 1, "photos of folders sort before and stay: {:?}", desk.names());
    assert_eq!(desk.names().len(), 4);
}
