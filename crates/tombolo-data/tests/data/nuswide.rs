use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tombolo_data::dataset::Split;

use crate::layout::{data, error, fact, folder, message, notices, skipped, spec, split_of, texts};

const TEN: [&str; 10] =
    ["animal", "clouds", "flowers", "food", "grass", "person", "sky", "toy", "water", "window"];

/// The official layout with four photos, the last of which is in no split and the third of which is not there.
fn nuswide() -> TempDir {
    let files = [
        (
            "ImageList/Imagelist.txt",
            "actor\\0001_2124494179.jpg\r\nactor\\0002_174174086.jpg\r\nzoo\\0001_7.jpg\r\nzoo\\0002_8.jpg\r\n",
        ),
        ("ImageList/TrainImagelist.txt", "actor\\0001_2124494179.jpg \r\nzoo\\0001_7.jpg\r\n"),
        ("ImageList/TestImagelist.txt", "actor\\0002_174174086.jpg\r\n"),
        ("ConceptsList/Concepts81.txt", "person\r\nzebra\r\n"),
        ("Groundtruth/AllLabels/Labels_person.txt", "1\n1\n0\n0\n"),
        ("Groundtruth/AllLabels/Labels_zebra.txt", "0\n1\n1\n0\n"),
        (
            "NUS_WID_Tags/All_Tags.txt",
            "174174086         portrait  man\tactor\n2124494179 hollywood \n7 \n5 other\n",
        ),
        ("Flickr/actor/0001_2124494179.jpg", ""),
        ("Flickr/actor/0002_174174086.jpg", ""),
    ];
    folder(0, &files)
}

#[test]
fn the_official_lists_give_tags_concepts_and_splits() {
    let folder = nuswide();
    let data = data(&spec("nuswide", &folder, ""));
    assert_eq!(data.name(), "nuswide");
    assert_eq!(texts(&*data, "actor/0002_174174086.jpg"), ["portrait man actor"]);
    assert_eq!(split_of(&*data, "actor/0002_174174086.jpg"), Split::Test);
    assert_eq!(data.images()[0].labels, ["person"]);
    assert_eq!(data.images()[1].labels, ["person", "zebra"]);
    assert!(skipped(&*data)[0].starts_with("image zoo/0001_7.jpg: no such file"));
    assert_eq!(fact(&*data, "in no split").unwrap(), "1 photos");
    assert_eq!(fact(&*data, "concepts").unwrap(), "2");
    let notices = notices(&*data);
    assert!(notices.contains(
        &"split train: 1 images found, 161789 in the standard split of nuswide".to_owned()
    ));
    assert!(notices.contains(&"images: 1 of 3 are not there".to_owned()));
}

#[test]
fn photos_in_one_folder_and_the_thousand_tags_are_read_too() {
    let folder = nuswide();
    fs::rename(folder.path().join("Flickr/actor"), folder.path().join("images")).unwrap();
    fs::remove_dir(folder.path().join("Flickr")).unwrap();
    let tags = folder.path().join("NUS_WID_Tags");
    fs::remove_file(tags.join("All_Tags.txt")).unwrap();
    fs::write(tags.join("TagList1k.txt"), "nature\r\nsky\r\n").unwrap();
    fs::write(tags.join("AllTags1k.txt"), "1\t1\n0\t1\n0\t0\n0\t0\n").unwrap();
    let read = data(&spec("nuswide", &folder, ""));
    assert_eq!(texts(&*read, "actor/0001_2124494179.jpg"), ["nature sky"]);
    assert_eq!(texts(&*read, "actor/0002_174174086.jpg"), ["sky"]);

    let refused = |table: &str| {
        fs::write(tags.join("AllTags1k.txt"), table).unwrap();
        message(&error(&spec("nuswide", &folder, "")), &folder)
    };
    assert_eq!(
        refused("1\t1\n0\n0\t0\n0\t0\n"),
        "NUS_WID_Tags/AllTags1k.txt, line 2, field `tags`: expected 2 values, one for each line of TagList1k.txt, found `1`"
    );
    assert!(refused("1 1\n").contains("expected 4 lines, as"));
}

#[test]
fn lists_that_do_not_belong_together_are_refused_by_name() {
    let refused = |file: &str, content: &str| {
        let folder = nuswide();
        fs::write(folder.path().join(file), content).unwrap();
        message(&error(&spec("nuswide", &folder, "")), &folder)
    };
    assert_eq!(
        refused("Groundtruth/AllLabels/Labels_zebra.txt", "0\n1\n"),
        "Groundtruth/AllLabels/Labels_zebra.txt: expected 4 lines, as ImageList/Imagelist.txt has, found 2"
    );
    assert_eq!(
        refused("Groundtruth/AllLabels/Labels_zebra.txt", "0\n1\n2\n0\n"),
        "Groundtruth/AllLabels/Labels_zebra.txt, line 3, field `label`: expected 0 or 1, found `2`"
    );
    assert_eq!(
        refused("ImageList/TestImagelist.txt", "actor\\9.jpg\n"),
        "ImageList/TestImagelist.txt, line 1, field `photo`: expected one of Imagelist.txt, found `actor/9.jpg`"
    );
    assert_eq!(
        refused("ImageList/TestImagelist.txt", "zoo\\0001_7.jpg\n"),
        "ImageList/TestImagelist.txt, line 1, field `photo`: expected a photo of no other split, found `zoo/0001_7.jpg`"
    );
    assert!(refused("NUS_WID_Tags/All_Tags.txt", "7 x\nhello\n").contains("line 2, field `photo`"));
    let folder = nuswide();
    fs::remove_file(folder.path().join("Groundtruth/AllLabels/Labels_zebra.txt")).unwrap();
    let missing = message(&error(&spec("nuswide", &folder, "")), &folder);
    assert!(
        missing.ends_with("expected Groundtruth/AllLabels/Labels_zebra.txt, found none of them")
    );
}

/// Ten photos of each of the ten concepts, and one of two concepts.
fn ten_concepts(folder: &Path) {
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let names: Vec<String> = (0..101).map(|n| format!("c/{n}_{}.jpg", 1_000 + n)).collect();
    write("Imagelist.txt", &names.join("\n").replace('/', "\\"));
    write("TrainImagelist.txt", &names.join("\n"));
    write("TestImagelist.txt", "");
    write("Concepts81.txt", &TEN.join("\n"));
    for (concept, name) in TEN.iter().enumerate() {
        let labels = (0..101).map(|n| if n / 10 == concept || n == 100 { "1\n" } else { "0\n" });
        write(&format!("AllLabels/Labels_{name}.txt"), &labels.collect::<String>());
    }
    let tags: String = (0..101).map(|n| format!("{} tag{n}\n", 1_000 + n)).collect();
    write("All_Tags.txt", &tags);
    for name in &names {
        write(&format!("Flickr/{name}"), "");
    }
}

#[test]
fn the_selection_takes_photos_of_one_concept_and_divides_each_alike() {
    let folder = folder(0, &[]);
    ten_concepts(folder.path());
    let data = data(&format!("{},10k", spec("nuswide", &folder, "")));
    assert_eq!(data.name(), "nuswide-10k");
    let count = |split| data.count(split).images;
    assert_eq!([80, 10, 10], Split::ALL.map(count));
    for split in Split::ALL {
        for concept in TEN {
            let has = |image: &&usize| data.images()[**image].labels == [concept];
            let found = data.image_indices(split).iter().filter(has).count();
            assert_eq!(found, count(split) / 10, "{concept} in {split}");
        }
    }
    assert_eq!(notices(&*data)[0], "concept animal: 10 photos have it alone, 1000 are drawn");
}

#[test]
fn the_selection_needs_its_concepts() {
    let folder = nuswide();
    let error = error(&format!("{},10k", spec("nuswide", &folder, "")));
    assert_eq!(
        error.to_string(),
        "option `10k`: expected a concept `animal` in Concepts81.txt, found `person, zebra`"
    );
}
