use tombolo_data::dataset::{Split, open};

use crate::layout::{
    data, error, fact, folder, message, notices, shared, skipped, spec, split_of, texts,
};

const FLICKR8K: &str = r#"{"dataset": "flickr8k", "images": [
    {"filename": "11_aa.jpg", "split": "train", "sentences": [{"raw": "a dog"}]},
    {"filename": "12_bb.jpg", "split": "val", "sentences": [{"raw": "a cat"}]},
    {"filename": "13_cc.jpg", "split": "val", "sentences": [{"raw": "a cow"}]}]}"#;
const FG: &str =
    r#"{"11": ["a brown dog runs", "a dog with a red collar"], "12": ["a grey cat"], "99": ["x"]}"#;

fn flickr8k(more: &[(&str, &str)]) -> tempfile::TempDir {
    let mut files = vec![("dataset_flickr8k.json", FLICKR8K), ("fg.json", FG)];
    files.extend(
        ["images/11_aa.jpg", "images/12_bb.jpg", "images/13_cc.jpg"].map(|name| (name, "")),
    );
    files.extend_from_slice(more);
    folder(0, &files)
}

fn with(folder: &tempfile::TempDir, kind: &str, options: &[(&str, &str)]) -> String {
    let options = options
        .iter()
        .map(|(key, file)| format!(",{key}={}", folder.path().join(file).display()))
        .collect::<String>();
    format!("{}{options}", spec(kind, folder, ""))
}

#[test]
fn captions_are_replaced_and_photos_without_any_left_out() {
    let folder = flickr8k(&[]);
    let data = data(&with(&folder, "flickr8k", &[("fg", "fg.json")]));
    assert_eq!(data.name(), "flickr8k-fg");
    let ids: Vec<_> = data.images().iter().map(|image| image.id.as_str()).collect();
    assert_eq!(ids, ["11_aa.jpg", "12_bb.jpg"]);
    assert_eq!(texts(&*data, "11_aa.jpg"), ["a brown dog runs", "a dog with a red collar"]);
    assert_eq!(split_of(&*data, "12_bb.jpg"), Split::Val);
    assert_eq!(
        notices(&*data),
        ["captions: of the 3 images that have some, 2 are in the data set"]
    );
    assert!(data.standard_counts().is_empty());
}

#[test]
fn a_pool_makes_the_gallery_larger_and_no_queries() {
    let list = "13_cc\n\n12_bb.jpg\nelsewhere/21_dd.png\ngone\n";
    let folder = flickr8k(&[("pool.txt", list), ("images/elsewhere/21_dd.png", "")]);
    let data = data(&with(&folder, "flickr8k", &[("fg", "fg.json"), ("pool", "pool.txt")]));
    assert_eq!(data.name(), "flickr8k-fg-pool");
    let val: Vec<_> =
        data.image_indices(Split::Val).into_iter().map(|i| data.images()[i].id.clone()).collect();
    assert_eq!(val, ["12_bb.jpg", "13_cc.jpg", "21_dd.png"]);
    assert_eq!(data.count(Split::Val).texts, 1);
    assert!(texts(&*data, "13_cc.jpg").is_empty());
    assert_eq!(fact(&*data, "pool").unwrap(), "2 images without captions, in the gallery of val");
    let gone = &skipped(&*data)[0];
    assert!(gone.starts_with("image gone.jpg: line 5: no such file"), "{gone}");
}

#[test]
fn coco_is_matched_by_number() {
    let json = r#"{"images": [{"id": 9, "file_name": "000000000009.jpg"}, {"id": 10, "file_name": "000000000010.jpg"}], "annotations": []}"#;
    let files = [
        ("annotations/captions_val2017.json", json),
        ("val2017/000000000009.jpg", ""),
        ("val2017/000000000010.jpg", ""),
        ("fg.json", r#"{"COCO_val2014_000000000009": ["a red train"]}"#),
    ];
    let folder = folder(0, &files);
    let data = data(&with(&folder, "coco", &[("fg", "fg.json")]));
    assert_eq!(data.images().len(), 1);
    assert_eq!(texts(&*data, "000000000009.jpg"), ["a red train"]);
}

#[test]
fn bad_files_are_refused_by_name_and_field() {
    let refused = |fg: &str| {
        let folder = flickr8k(&[("bad.json", fg)]);
        message(&error(&with(&folder, "flickr8k", &[("fg", "bad.json")])), &folder)
    };
    let start = "bad.json: not the expected JSON: ";
    assert!(
        refused(r#"{"11": ["a"], "12": [7]}"#)
            .starts_with(&format!("{start}field `12`: invalid type"))
    );
    assert!(refused(r#"{"11": "a"}"#).starts_with(&format!("{start}field `11`: invalid type")));
    assert!(
        refused(r#"{"11": ["a"], "11": ["b"]}"#)
            .starts_with(&format!("{start}field `11` is there twice"))
    );
    assert!(refused(r#"{"11_a": ["a"], "11_b": ["b"]}"#).contains("its photo is there twice"));
    assert!(refused("[]").starts_with(&format!("{start}invalid type: sequence")));
    assert_eq!(
        refused("{}"),
        "bad.json: expected captions by the names of photos, found none of them"
    );
    assert!(refused(r#"{"77": ["a"]}"#).starts_with("bad.json: expected names of images of "));
    let folder = flickr8k(&[("pool.txt", "\n")]);
    let empty = message(&error(&with(&folder, "flickr8k", &[("pool", "pool.txt")])), &folder);
    assert_eq!(empty, "pool.txt: expected names of photos, one a line, found none of them");
    let unknown = open("csv:x.csv,fg=y").err().unwrap().to_string();
    assert!(unknown.contains("csv:") || unknown.contains("x.csv,fg=y"), "{unknown}");
}

#[test]
fn the_real_annotations_are_whole() {
    let (Some(flickr30k), Some(coco)) =
        (shared("fg/Flickr30K_FG_ann.json"), shared("fg/MSCOCO_FG_ann.json"))
    else {
        return;
    };
    // All photos that the files name, in the layouts that the data sets have.
    let names = |path: &std::path::Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let document: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).unwrap();
        document.keys().cloned().collect()
    };
    for (kind, file, images) in [("flickr30k", &flickr30k, 1_000), ("coco", &coco, 5_000)] {
        let entries: Vec<String> = names(file)
            .iter()
            .map(|name| {
                format!(r#"{{"filename": "{name}.jpg", "split": "test", "sentences": []}}"#)
            })
            .collect();
        let json = format!(r#"{{"dataset": "{kind}", "images": [{}]}}"#, entries.join(","));
        let folder = folder(0, &[(&format!("dataset_{kind}.json"), &json)]);
        let photos = folder.path().join("images");
        std::fs::create_dir(&photos).unwrap();
        for name in names(file) {
            std::fs::write(photos.join(format!("{name}.jpg")), "").unwrap();
        }
        let data = data(&format!("{},fg={}", spec(kind, &folder, ""), file.display()));
        assert_eq!(data.count(Split::Test).images, images);
        assert_eq!(data.texts().len(), 5 * images);
        assert!(data.warnings().is_empty(), "{:?}", data.warnings());
    }
}

#[test]
fn thirty_six_val_photos_of_flickr8k_have_fine_grained_captions() {
    let (Some(flickr8k), Some(fg)) = (shared("flickr8k"), shared("fg/Flickr30K_FG_ann.json"))
    else {
        return;
    };
    let data = data(&format!("flickr8k:{},fg={}", flickr8k.display(), fg.display()));
    assert_eq!(data.count(Split::Val).images, 36);
    assert_eq!(data.count(Split::Val).texts, 180);
    assert_eq!(data.count(Split::Train).images, 173);
}
