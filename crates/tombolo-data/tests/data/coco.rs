use tombolo_data::dataset::{Dataset, Split};

use crate::layout::{data, error, fact, folder, message, notices, skipped, spec, split_of, texts};

const CAPTIONS: &str = r#"{"info": {"year": 2014}, "images": [
    {"license": 5, "file_name": "COCO_val2014_000000000042.jpg", "height": 1, "width": 1, "id": 42},
    {"license": 5, "file_name": "COCO_val2014_000000000073.jpg", "height": 1, "width": 1, "id": 73}],
  "licenses": [], "annotations": [
    {"image_id": 73, "id": 1, "caption": "A motorcycle."},
    {"image_id": 42, "id": 2, "caption": "A shoe rack. "},
    {"image_id": 73, "id": 3, "caption": "A parked motorcycle."}]}"#;
const INSTANCES: &str = r#"{"annotations": [
    {"segmentation": [[1.5, 2.0]], "area": 2.0, "iscrowd": 0, "image_id": 73, "bbox": [1, 2, 3, 4], "category_id": 4, "id": 1},
    {"segmentation": {"counts": [1], "size": [1, 1]}, "iscrowd": 1, "image_id": 73, "category_id": 1, "id": 2},
    {"segmentation": [], "image_id": 73, "category_id": 1, "id": 3}],
  "categories": [{"supercategory": "person", "id": 1, "name": "person"}, {"id": 4, "name": "motorcycle"}]}"#;

#[test]
fn the_official_files_give_captions_categories_and_counts() {
    let files = [
        ("annotations/captions_val2014.json", CAPTIONS),
        ("annotations/instances_val2014.json", INSTANCES),
        // The same objects again, as the other release has them.
        ("annotations/instances_train2017.json", INSTANCES),
        ("val2014/COCO_val2014_000000000042.jpg", ""),
        ("val2014/COCO_val2014_000000000073.jpg", ""),
    ];
    let folder = folder(0, &files);
    let data = data(&spec("coco", &folder, ""));
    assert_eq!(data.name(), "coco2014");
    let motorcycle = "COCO_val2014_000000000073.jpg";
    assert_eq!(texts(&*data, motorcycle), ["A motorcycle.", "A parked motorcycle."]);
    assert_eq!(texts(&*data, "COCO_val2014_000000000042.jpg"), ["A shoe rack."]);
    assert_eq!(data.images()[1].labels, ["motorcycle", "person"]);
    assert!(data.images()[0].labels.is_empty());
    assert_eq!(
        fact(&*data, "objects").unwrap(),
        "1 images with several, 0 with one, 1 with none known, of 2 categories"
    );
    assert_eq!([data.objects(0), data.objects(1)], [Some(0), Some(3)]);
    assert_eq!(data.count(Split::Val).images, 2);
    assert!(notices(&*data).contains(
        &"split val: 2 images found, 40504 in the standard split of coco2014".to_owned()
    ));
}

#[test]
fn karpathys_split_wins_and_finds_photos_of_either_release() {
    let json = r#"{"dataset": "coco", "images": [
        {"filename": "COCO_val2014_000000000042.jpg", "filepath": "val2014", "cocoid": 42, "split": "test", "sentences": [{"raw": "A shoe rack."}]},
        {"filename": "COCO_train2014_000000000009.jpg", "filepath": "train2014", "cocoid": 9, "split": "restval", "sentences": []},
        {"filename": "COCO_val2014_000000000073.jpg", "filepath": "val2014", "cocoid": 73, "split": "val", "sentences": []}]}"#;
    let files = [
        ("dataset_coco.json", json),
        ("annotations/captions_val2014.json", CAPTIONS),
        ("annotations/instances_val2014.json", INSTANCES),
        ("images/val2014/COCO_val2014_000000000042.jpg", ""),
        ("images/train2017/000000000009.jpg", ""),
    ];
    let folder = folder(0, &files);
    let read = data(&spec("coco", &folder, ""));
    assert_eq!(read.name(), "coco");
    assert_eq!(split_of(&*read, "COCO_train2014_000000000009.jpg"), Split::Train);
    let absent = &skipped(&*read)[0];
    assert!(absent.starts_with("image COCO_val2014_000000000073.jpg: no such file"), "{absent}");
    assert!(absent.contains("images/val2014"), "{absent}");
    assert!(notices(&*read).contains(&"images: 1 of 3 are not there".to_owned()));

    let official = data(&format!("{},year=2014", spec("coco", &folder, "")));
    assert_eq!(official.count(Split::Val).images, 1);
    let none = error(&format!("{},year=2017", spec("coco", &folder, "")));
    assert!(message(&none, &folder).contains("captions_train2017.json or captions_val2017.json"));
}

#[test]
fn the_release_of_2017_is_read_by_its_own_names() {
    let train = r#"{"images": [{"id": 9, "file_name": "000000000009.jpg"}], "annotations": [{"image_id": 9, "caption": "x"}]}"#;
    let val = r#"{"images": [{"id": 139, "file_name": "000000000139.jpg"}],
        "annotations": [{"image_id": 139, "caption": "y"}, {"image_id": 5, "caption": "z"}]}"#;
    let files = [
        ("annotations/captions_train2017.json", train),
        ("annotations/captions_val2017.json", val),
        ("train2017/000000000009.jpg", ""),
        ("val2017/000000000139.jpg", ""),
    ];
    let folder = folder(0, &files);
    let data = data(&spec("coco", &folder, ""));
    assert_eq!(data.name(), "coco2017");
    assert_eq!((data.count(Split::Train).texts, data.count(Split::Val).texts), (1, 1));
    assert_eq!(skipped(&*data), ["captions: 1 are of images that the file does not name"]);
    assert!(data.require(Split::Test).unwrap_err().to_string().contains("train 1, val 1, test 0"));
}

#[test]
fn errors_name_file_entry_and_field() {
    let read = |captions: &str, instances: &str| {
        let files = [
            ("annotations/captions_val2017.json", captions),
            ("annotations/instances_val2017.json", instances),
            ("val2017/1.jpg", ""),
        ];
        let folder = folder(0, &files);
        message(&error(&spec("coco", &folder, "")), &folder)
    };
    let captions = |annotation: &str| {
        format!(
            r#"{{"images": [{{"id": 1, "file_name": "1.jpg"}}], "annotations": [{annotation}]}}"#
        )
    };
    let good = captions(r#"{"image_id": 1, "caption": "x"}"#);
    assert_eq!(
        read(&captions(r#"{"image_id": 1}"#), INSTANCES),
        "annotations/captions_val2017.json, annotations[0]: field `caption` is missing"
    );
    assert!(read(&captions(r#"{"image_id": "1", "caption": "x"}"#), INSTANCES).contains(
        "captions_val2017.json: not the expected JSON: annotations[0]: invalid type: string \"1\""
    ));
    assert!(read(r#"{"images": []}"#, INSTANCES).contains("field `annotations` is missing"));
    assert_eq!(
        read(&good, r#"{"categories": [], "annotations": [{"image_id": 1, "category_id": 7}]}"#),
        "annotations/instances_val2017.json, annotations[0], field `category_id`: expected an id of `categories`, found `7`"
    );
    assert!(
        read(&good, r#"{"categories": [], "annotations": ["#).contains("instances_val2017.json")
    );
}

/// Karpathy's file with 2,500 test images, all in one folder.
fn many() -> (tempfile::TempDir, Vec<String>) {
    let names: Vec<String> = (0..2_500).map(|n| format!("COCO_val2014_{n:012}.jpg")).collect();
    let entry = |name: &String| {
        format!(
            r#"{{"filename": "{name}", "filepath": "val2014", "split": "test", "sentences": [{{"raw": "x"}}]}}"#
        )
    };
    let train = r#"{"filename": "0.jpg", "split": "train", "sentences": []}"#.to_owned();
    let entries: Vec<String> = std::iter::once(train).chain(names.iter().map(entry)).collect();
    let json = format!(r#"{{"dataset": "coco", "images": [{}]}}"#, entries.join(","));
    let folder = folder(1, &[("dataset_coco.json", &json)]);
    std::fs::create_dir(folder.path().join("val2014")).unwrap();
    for name in &names {
        std::fs::write(folder.path().join("val2014").join(name), "").unwrap();
    }
    (folder, names)
}

#[test]
fn a_fold_is_a_thousand_of_the_test_split_in_the_order_of_the_file() {
    let (folder, names) = many();
    // One that is gone leaves its place empty: the folds of a copy that lacks photos are still those of all others.
    std::fs::remove_file(folder.path().join("val2014").join(&names[3])).unwrap();
    let fold = |n: usize| data(&format!("{},fold={n}", spec("coco", &folder, "")));
    let ids = |data: &dyn Dataset| -> Vec<String> {
        let test = data.image_indices(Split::Test);
        test.iter().map(|&image| data.images()[image].id.clone()).collect()
    };
    assert_eq!(fold(1).count(Split::Test).images, 999);
    let second = fold(2);
    assert_eq!(second.name(), "coco-fold2");
    assert_eq!(ids(&*second), names[1_000..2_000]);
    assert_eq!(second.count(Split::Train).images, 1);
    assert!(second.warnings().is_empty(), "{:?}", second.warnings());
    assert_eq!(ids(&*fold(3)), names[2_000..]);
    assert_eq!(
        message(&error(&format!("{},fold=4", spec("coco", &folder, ""))), &folder),
        "option `fold`: expected at most 3: the test split has 2500 images and a fold 1000, found `4`"
    );
}
