use tombolo_data::dataset::{Split, Warning};

use crate::layout::{data, error, folder, message, spec, split_of, texts};

#[test]
fn karpathy_reads_splits_captions_and_coco_folders() {
    let json = r#"{"dataset": "mine", "images": [
        {"filename": "0.jpg", "split": "restval", "sentences": [{"raw": " A dog. "}, {"raw": "犬"}], "imgid": 0},
        {"filename": "deep.jpg", "filepath": "val2014", "split": "test", "sentences": [{"raw": "x"}]},
        {"filename": "1.jpg", "filepath": "val2014", "split": "val", "sentences": []}]}"#;
    let folder = folder(2, &[("d.json", json), ("val2014/deep.jpg", "")]);
    let data = data(&spec("karpathy", &folder, "d.json"));
    assert_eq!(data.name(), "mine");
    assert_eq!(texts(&*data, "0.jpg"), ["A dog.", "犬"]);
    assert_eq!(
        data.images().iter().map(|i| i.split).collect::<Vec<_>>(),
        [Split::Train, Split::Test, Split::Val]
    );
    assert!(data.warnings().is_empty(), "{:?}", data.warnings());
    assert_eq!(data.require(Split::Test).unwrap(), [1]);
}

#[test]
fn karpathy_skips_and_names_what_is_absent_or_empty() {
    let long = "dog ".repeat(10_000);
    let json = format!(
        r#"{{"images": [
        {{"filename": "0.jpg", "split": "train", "sentences": [{{"raw": " "}}, {{"raw": "{long}"}}]}},
        {{"filename": "gone.jpg", "split": "test", "sentences": [{{"raw": "A cat."}}]}}]}}"#
    );
    let folder = folder(1, &[("d.json", &json)]);
    let data = data(&spec("karpathy", &folder, "d.json"));
    assert_eq!((data.name(), data.images().len(), data.texts().len()), ("d", 1, 1));
    assert_eq!(data.texts()[0].text.split(' ').count(), 10_000);
    let skipped: Vec<_> = data.warnings().iter().map(|w| (w.is_skip(), w.what.as_str())).collect();
    assert_eq!(
        skipped,
        [(true, "a caption of image 0.jpg"), (true, "image gone.jpg"), (false, "images")]
    );
    let error = data.require(Split::Test).unwrap_err();
    assert_eq!(
        error.to_string(),
        "split `test` of d is empty: expected at least one image, found train 1, val 0, test 0"
    );
}

#[test]
fn karpathy_errors_name_entry_and_field() {
    let entry = |entry: &str| {
        let good = r#"{"filename": "0.jpg", "split": "train", "sentences": []}"#;
        let folder = folder(1, &[("d.json", &format!(r#"{{"images": [{good}, {entry}]}}"#))]);
        message(&error(&spec("karpathy", &folder, "d.json")), &folder)
    };
    assert_eq!(
        entry(r#"{"filename": "1.jpg", "sentences": []}"#),
        "d.json, images[1]: field `split` is missing"
    );
    assert_eq!(
        entry(r#"{"filename": "1.jpg", "split": "train"}"#),
        "d.json, images[1]: field `sentences` is missing"
    );
    assert_eq!(
        entry(r#"{"filename": "0.jpg", "split": "tset", "sentences": []}"#),
        "d.json, images[1], field `split`: expected train, restval, val or test, found `tset`"
    );
    assert_eq!(
        entry(r#"{"filename": "0.jpg", "split": "val", "sentences": []}"#),
        "d.json, images[1]: image `0.jpg` was already named at images[0]"
    );
    assert!(
        entry(r#"{"filename": 7}"#)
            .contains("images[1]: invalid type: integer `7`, expected a string")
    );
    assert!(entry(r#"{"filename": "#).contains("line 1"));
}

#[test]
fn a_data_set_without_any_of_its_images_says_where_it_looked() {
    let json = r#"{"images": [{"filename": "a.jpg", "split": "val", "sentences": []}]}"#;
    let folder = folder(0, &[("d.json", json), ("photos/a.jpg", "")]);
    let plain = spec("karpathy", &folder, "d.json");
    let error = error(&plain);
    assert!(message(&error, &folder).starts_with("d.json: none of its 1 images is there"));
    assert!(error.hint().unwrap().contains("images=DIR"));
    let photos = folder.path().join("photos");
    assert_eq!(data(&format!("{plain},images={}", photos.display())).images().len(), 1);
}

#[test]
fn flickr8k_reads_either_form_and_compares_the_counts() {
    let files = [
        (
            "Flickr8k_text/Flickr8k.token.txt",
            "0.jpg#0\tA dog .\n0.jpg#1\tDogs .\n1.jpg#0\tA cat .\n2.jpg#0\tx\n",
        ),
        ("Flickr8k_text/Flickr_8k.trainImages.txt", "0.jpg\n"),
        ("Flickr8k_text/Flickr_8k.devImages.txt", "1.jpg\n"),
        ("Flickr8k_text/Flickr_8k.testImages.txt", ""),
        ("Flicker8k_Dataset/0.jpg", ""),
        ("Flicker8k_Dataset/1.jpg", ""),
    ];
    let tokens = folder(0, &files);
    let data_set = data(&spec("flickr8k", &tokens, ""));
    assert_eq!(texts(&*data_set, "0.jpg"), ["A dog .", "Dogs ."]);
    assert_eq!(split_of(&*data_set, "1.jpg"), Split::Val);
    assert_eq!(data_set.facts()[0].value, "1 photos with captions");
    assert_eq!(data_set.standard_counts()[0].images, 6_000);
    let notices: Vec<_> = data_set.warnings().iter().filter(|w| !w.is_skip()).collect();
    assert_eq!(notices.len(), 3);
    assert!(
        notices[2]
            .to_string()
            .ends_with("split test: 0 images found, 1000 in the standard split of flickr8k"),
        "{}",
        notices[2]
    );

    let json = r#"{"dataset": "flickr8k", "images": [{"filename": "0.jpg", "split": "test", "sentences": []}]}"#;
    let karpathy = folder(0, &[("dataset_flickr8k.json", json), ("images/0.jpg", "")]);
    assert_eq!(data(&spec("flickr8k", &karpathy, "")).count(Split::Test).images, 1);

    let nothing = folder(1, &[]);
    let error = error(&spec("flickr8k", &nothing, ""));
    assert!(
        error
            .to_string()
            .ends_with("expected dataset_flickr8k.json or Flickr8k.token.txt, found none of them")
    );
}

#[test]
fn csv_gathers_rows_of_one_image() {
    let csv = "\u{feff}Path,Text,split,labels,extra\n0.jpg,\"A dog, running\",val,dog; animal,1\n1.jpg,A cat,,cat,2\n0.jpg,\"Two\nlines\",,dog;pet,3\n";
    let folder = folder(2, &[("captions.csv", csv)]);
    let data = data(&spec("csv", &folder, "captions.csv"));
    assert_eq!(data.name(), "captions");
    assert_eq!(texts(&*data, "0.jpg"), ["A dog, running", "Two\nlines"]);
    assert_eq!(data.images()[0].labels, ["dog", "animal", "pet"]);
    assert_eq!(data.images()[0].split, Split::Val);
    assert_eq!(data.images()[1].split, Split::by_hash("1.jpg"));
}

#[test]
fn counted_objects_are_read_and_may_not_differ() {
    let csv = "image,caption,objects\n0.jpg,a,1\n0.jpg,b,\n1.jpg,c, 3\n2.jpg,d,\n";
    let folder_of = |csv: &str| folder(3, &[("c.csv", csv)]);
    let counted = data(&spec("csv", &folder_of(csv), "c.csv"));
    assert_eq!([0, 1, 2].map(|image| counted.objects(image)), [Some(1), Some(3), None]);
    for (wrong, end) in [
        (
            "image,caption,objects\n0.jpg,a,1\n0.jpg,b,2\n",
            "expected 1, as the same image has above, found `2`",
        ),
        ("image,caption,objects\n0.jpg,a,few\n", "expected a whole number, found `few`"),
    ] {
        let found = error(&spec("csv", &folder_of(wrong), "c.csv")).to_string();
        assert!(found.ends_with(end), "{found}");
    }
    let line = r#"{"image": "0.jpg", "caption": "a", "objects": 2}"#;
    let folder = folder(1, &[("d.jsonl", line)]);
    assert_eq!(data(&spec("jsonl", &folder, "d.jsonl")).objects(0), Some(2));
}

#[test]
fn csv_errors_name_line_and_column() {
    let read = |csv: &str| {
        let folder = folder(1, &[("c.csv", csv)]);
        message(&error(&spec("csv", &folder, "c.csv")), &folder)
    };
    assert_eq!(
        read("image,label\n0.jpg,x\n"),
        "c.csv: expected a column `caption` or `text` or `sentence` or `raw`, found image, label"
    );
    assert_eq!(
        read("image,caption,split\n0.jpg,x,train\n0.jpg,y,val\n"),
        "c.csv, line 3, field `split`: expected train, as the same image has above, found `val`"
    );
    assert_eq!(
        read("image,caption\n ,x\n"),
        "c.csv, line 2, field `image`: expected a path, found ``"
    );
    assert!(read("image,caption\n0.jpg,x,y\n").contains("line: 2"));
}

#[test]
fn an_absent_photo_of_several_rows_is_one_warning() {
    let folder =
        folder(1, &[("c.csv", "image,caption\n0.jpg,a\ngone.jpg,b\ngone.jpg,c\n0.jpg,\n")]);
    let data = data(&spec("csv", &folder, "c.csv"));
    let skipped = data.warnings().iter().filter(|warning| warning.is_skip());
    let skipped: Vec<_> = skipped.map(|warning: &Warning| &warning.what).collect();
    assert_eq!(skipped, ["image gone.jpg", "a caption of image 0.jpg"]);
    assert_eq!(data.texts().len(), 1);
}

#[test]
fn jsonl_reads_one_or_several_captions() {
    let jsonl = r#"{"image": "0.jpg", "caption": "a", "labels": "dog"}

{"path": "1.jpg", "captions": ["b", "c"], "split": "test", "labels": ["cat", "pet"], "id": "one"}
{"image": "0.jpg", "text": "d"}
"#;
    let folder = folder(2, &[("d.jsonl", jsonl)]);
    let data = data(&spec("jsonl", &folder, "d.jsonl"));
    assert_eq!(texts(&*data, "0.jpg"), ["a", "d"]);
    assert_eq!(texts(&*data, "one"), ["b", "c"]);
    assert_eq!(split_of(&*data, "one"), Split::Test);
    assert_eq!(data.images()[1].labels, ["cat", "pet"]);
}

#[test]
fn jsonl_errors_name_line_and_field() {
    let read = |line: &str| {
        let folder = folder(
            1,
            &[("d.jsonl", &format!("{{\"image\":\"0.jpg\",\"caption\":\"a\"}}\n{line}\n"))],
        );
        message(&error(&spec("jsonl", &folder, "d.jsonl")), &folder)
    };
    assert_eq!(read(r#"{"image": "0.jpg"}"#), "d.jsonl, line 2: field `caption` is missing");
    assert_eq!(read(r#"{"caption": "a"}"#), "d.jsonl, line 2: field `image` is missing");
    assert!(
        read(r#"{"image": 3}"#)
            .starts_with("d.jsonl, line 2: not the expected JSON object: invalid type")
    );
}

#[test]
fn folder_pairs_photos_with_text_files() {
    let files = [
        ("sub/a.PNG", ""),
        ("sub/a.txt", "one\n\ntwo\n"),
        ("0.txt", "zero"),
        (".hidden/x.jpg", ""),
        ("note.md", ""),
    ];
    let folder = folder(2, &files);
    let data = data(&spec("folder", &folder, ""));
    let ids: Vec<_> = data.images().iter().map(|image| image.id.as_str()).collect();
    assert_eq!(ids, ["0.jpg", "1.jpg", "sub/a.PNG"]);
    assert_eq!(texts(&*data, "sub/a.PNG"), ["one", "two"]);
    assert!(texts(&*data, "1.jpg").is_empty());
    assert_eq!(split_of(&*data, "0.jpg"), Split::by_hash("0.jpg"));
    assert!(data.warnings().is_empty());
}

#[test]
fn captions_of_a_folder_whose_photo_is_absent_are_counted() {
    let files = [("0.txt", "zero"), ("gone.txt", "a dog"), ("sub/lost.txt", "a cat")];
    let folder = folder(1, &files);
    let data = data(&spec("folder", &folder, ""));
    let [warning] = data.warnings() else { panic!("{:?}", data.warnings()) };
    assert_eq!(warning.what, "2 texts, the first gone.txt");
    assert!(!warning.is_skip(), "they may be notes");
}

#[test]
fn texts_without_photos_are_read_a_line_a_meaning() {
    let lines = "a dog runs\tein Hund rennt\n\n alone \n\t\na cat\tune chatte\teine Katze\n";
    let folder = folder(0, &[("texts.tsv", lines), ("empty.tsv", "\n")]);
    let data = data(&spec("texts", &folder, "texts.tsv"));
    assert_eq!(data.count(Split::Train).images, 3);
    assert_eq!(texts(&*data, "line 5"), ["a cat", "une chatte", "eine Katze"]);
    assert_eq!(texts(&*data, "line 3"), ["alone"]);
    assert!(!data.has_pictures() && data.warnings().is_empty());
    assert!(data.images()[0].source.read().is_err());
    let empty = message(&error(&spec("texts", &folder, "empty.tsv")), &folder);
    assert!(empty.starts_with("empty.tsv: expected texts"), "{empty}");
}

#[test]
fn what_cannot_be_opened_gets_a_hint() {
    let hint = |spec: &str| error(spec).hint().unwrap();
    assert_eq!(hint("flikr8k:there"), "did you mean `flickr8k:there`?");
    assert_eq!(hint("flikr8k"), "did you mean `flickr8k`?");
    assert_eq!(hint("cvs:a.csv"), "did you mean `csv:a.csv`?");
    assert_eq!(hint("captions.csv"), "write `csv:captions.csv`");
    assert!(hint("folder:").contains("folder:DIR"));
    assert_eq!(
        error("folder:").to_string(),
        "data set `folder` needs a path: expected `folder:DIR`"
    );
    let photos = folder(1, &[]);
    let path = photos.path().display().to_string();
    assert_eq!(hint(&path), format!("for a folder of photos write `folder:{path}`"));
    assert_eq!(hint("csv:nowhere.csv"), "check the path");
    assert!(error("csv:nowhere.csv").to_string().contains("nowhere.csv"));
    let empty = folder(0, &[("a.txt", "x")]);
    assert!(error(&spec("folder", &empty, "")).to_string().contains("expected photos"));
}

#[test]
fn tags_are_gathered_by_photo() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tags.csv");
    std::fs::write(&file, "image,tags\na.jpg,sea; holiday\nsub/b.jpg,\na.jpg,family\n").unwrap();
    let found = tombolo_data::dataset::read_tags(&file).unwrap();
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    let expected = [
        (dir.path().join("a.jpg"), tags(&["sea", "holiday", "family"])),
        (dir.path().join("sub/b.jpg"), tags(&[])),
    ];
    assert_eq!(found, expected);
    std::fs::write(&file, "image,caption\na.jpg,x\n").unwrap();
    let error = tombolo_data::dataset::read_tags(&file).unwrap_err();
    assert!(error.to_string().contains("tags"), "{error}");
}
