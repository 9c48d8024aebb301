use std::fs;
use std::path::Path;

use tombolo_data::dataset::Split;
use tombolo_data::image::{Limits, load};

use crate::layout::{data, error, fact, folder, message, pixel, skipped, split_of, texts};

/// Writes a shard with the members given.
fn shard(path: &Path, members: &[(&str, &[u8])]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut archive = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.finish().unwrap();
}

fn opened(folder: &tempfile::TempDir, pattern: &str) -> String {
    format!("webdataset:{}", folder.path().join(pattern).display())
}

#[test]
fn samples_are_gathered_from_shards_and_pictures_read_by_offset() {
    let folder = folder(0, &[]);
    let json =
        br#"{"caption": "a grey point", "url": "x", "width": 1, "label": 7, "split": "val"}"#;
    let long = format!("{}/long.png", "deep".repeat(40));
    shard(
        &folder.path().join("test/00000.tar"),
        &[
            ("000.png", &pixel(10)),
            ("000.txt", "one\n\n two \n".as_bytes()),
            ("000.json", json),
            ("001.json", json),
            ("001.PNG", &pixel(200)),
            ("001.cls", b" 3\n"),
            ("001.npy", b"x"),
        ],
    );
    shard(
        &folder.path().join("test/00001.tar"),
        &[("000.txt", b"alone"), (&long, &pixel(90)), ("._x.png", b"junk")],
    );
    let data = data(&opened(&folder, "test/{00000..00001}.tar"));
    assert_eq!(data.name(), "test");
    let ids: Vec<_> = data.images().iter().map(|image| image.id.clone()).collect();
    assert_eq!(ids[..2], ["00000/000", "00000/001"]);
    assert!(ids[2].starts_with("00001/deepdeep") && ids[2].ends_with("/long"), "{}", ids[2]);
    assert_eq!(texts(&*data, "00000/000"), ["one", "two"]);
    assert_eq!(texts(&*data, "00000/001"), ["a grey point"]);
    assert_eq!(data.images()[1].labels, ["3", "7"]);
    assert_eq!(split_of(&*data, "00000/000"), Split::Val);
    assert_eq!(data.images()[2].split, Split::Test);
    assert_eq!(skipped(&*data), ["sample 000: it has no picture"]);
    assert_eq!(fact(&*data, "shards").unwrap(), "2");
    assert_eq!(fact(&*data, "other members").unwrap(), "2 passed over");
    let greys: Vec<u8> = data
        .images()
        .iter()
        .map(|image| load(&image.source, &Limits::default()).unwrap().pixels.rgb[0])
        .collect();
    assert_eq!(greys, [10, 200, 90]);
}

#[test]
fn patterns_name_shards_and_what_is_absent_is_said() {
    let folder = folder(0, &[]);
    for n in [0, 1, 3] {
        shard(&folder.path().join(format!("s-{n:03}.tar")), &[("a.png", &pixel(n))]);
    }
    let count = |pattern: &str| data(&opened(&folder, pattern)).images().len();
    assert_eq!(count("*.tar"), 3);
    assert_eq!(count("s-00[01].tar"), 2);
    assert_eq!(count("{s-000,s-000,s-003}.tar"), 2);
    let gap = data(&opened(&folder, "s-{000..003}.tar"));
    assert_eq!(gap.images().len(), 3);
    assert!(skipped(&*gap)[0].contains("s-002.tar"), "{:?}", skipped(&*gap));

    let refused = |pattern: &str| message(&error(&opened(&folder, pattern)), &folder);
    assert!(refused("t-*.tar").ends_with("expected tar shards, found none of them"));
    assert!(refused("s-{000..001.tar").contains("a brace is not closed"));
    assert!(refused("s-[.tar").contains("cannot read the pattern"));
    assert!(error("webdataset:").to_string().contains("webdataset:GLOB"));
    let hint = error("d/00000.tar").hint().unwrap();
    assert_eq!(hint, "write `webdataset:d/00000.tar`");
}

#[test]
fn broken_shards_and_members_are_refused_by_name() {
    let folder = folder(0, &[("text.tar", &"no tar file ".repeat(100)), ("empty.tar", "")]);
    let path = folder.path().join("a.tar");
    let refused = |pattern: &str| message(&error(&opened(&folder, pattern)), &folder);
    assert!(refused("text.tar").starts_with("text.tar: not a whole tar file: "));
    assert!(refused("empty.tar").contains("expected samples with a picture"));
    shard(&path, &[("0.png", &pixel(1)), ("0.json", br#"{"caption": {"en": "x"}}"#)]);
    let wrong = refused("a.tar");
    assert!(wrong.starts_with("a.tar/0.json: not the expected JSON: "), "{wrong}");
    shard(&path, &[("0.png", &pixel(1)), ("0.json", br#"{"split": "tset"}"#)]);
    assert_eq!(
        refused("a.tar"),
        "a.tar, byte 0, field `split`: expected train, val or test, found `tset`"
    );
    shard(&path, &[("0.png", &pixel(1)), ("1.png", &pixel(1)), ("0.png", &pixel(2))]);
    assert_eq!(refused("a.tar"), {
        let second = 2 * 1_024;
        format!("a.tar, byte {second}: image `a/0` was already named at byte 0")
    });
    shard(&path, &[("0.png", &pixel(1)), ("1.png", &[0; 4_000])]);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..3_000]).unwrap();
    assert!(refused("a.tar").starts_with("a.tar: not a whole tar file"), "{}", refused("a.tar"));
}

#[test]
fn a_shard_that_was_cut_after_it_was_listed_is_a_picture_that_cannot_be_read() {
    let folder = folder(0, &[]);
    let path = folder.path().join("a.tar");
    shard(&path, &[("0.png", &pixel(1))]);
    let data = data(&opened(&folder, "a.tar"));
    fs::write(&path, "").unwrap();
    let error = load(&data.images()[0].source, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("a.tar/0.png"), "{error}");
    assert_eq!(data.count(data.images()[0].split).images, 1);
}
