use tombolo_data::dataset::Split;

use crate::layout::{data, error, fact, folder, message, notices, spec, split_of, texts};

const TOKENS: &str = "1000092795.jpg#0\tTwo young guys .\n1000092795.jpg#1\tTwo men .\n10002456.jpg#0\tSeveral men in hard hats .\n1000268201.jpg#0\tA child .\n";

#[test]
fn karpathys_file_is_read_with_photos_under_any_usual_name() {
    let json = r#"{"dataset": "flickr30k", "images": [
        {"filename": "1000092795.jpg", "split": "test", "sentences": [{"raw": "Two young guys ."}]},
        {"filename": "10002456.jpg", "split": "train", "sentences": [{"raw": "Several men ."}]}]}"#;
    for photos in
        ["flickr30k-images", "flickr30k_images", "images", "flickr30k_images/flickr30k_images"]
    {
        let [first, second] =
            ["1000092795.jpg", "10002456.jpg"].map(|name| format!("{photos}/{name}"));
        let files = [("dataset_flickr30k.json", json), (&first, ""), (&second, "")];
        let folder = folder(0, &files);
        let data = data(&spec("flickr30k", &folder, ""));
        assert_eq!(data.name(), "flickr30k", "{photos}");
        assert_eq!(split_of(&*data, "1000092795.jpg"), Split::Test);
        assert_eq!(
            notices(&*data)[0],
            "split train: 1 images found, 29000 in the standard split of flickr30k"
        );
    }
}

#[test]
fn tokens_are_divided_by_the_split_files() {
    let files = [
        ("results_20130124.token", TOKENS),
        ("train.txt", "1000092795\n"),
        ("val.txt", "10002456.jpg\n"),
        ("test.txt", ""),
        ("flickr30k-images/1000092795.jpg", ""),
        ("flickr30k-images/10002456.jpg", ""),
    ];
    let folder = folder(0, &files);
    let data = data(&spec("flickr30k", &folder, ""));
    assert_eq!(texts(&*data, "1000092795.jpg"), ["Two young guys .", "Two men ."]);
    assert_eq!(split_of(&*data, "1000092795.jpg"), Split::Train);
    assert_eq!(split_of(&*data, "10002456.jpg"), Split::Val);
    assert_eq!(fact(&*data, "in no split").unwrap(), "1 photos with captions");

    std::fs::write(folder.path().join("test.txt"), "10002456\n").unwrap();
    let twice = message(&error(&spec("flickr30k", &folder, "")), &folder);
    assert_eq!(
        twice,
        "test.txt, line 1, field `name`: expected a photo that is not in split val, found `10002456`"
    );
    std::fs::remove_file(folder.path().join("test.txt")).unwrap();
    let missing = message(&error(&spec("flickr30k", &folder, "")), &folder);
    assert!(missing.ends_with("expected test.txt, found none of them"), "{missing}");
}

#[test]
fn results_csv_without_splits_is_read_and_said_not_to_compare() {
    let csv = "image_name| comment_number| comment\n1.jpg| 0| A dog , running .\n1.jpg| 1   A dog runs .\n";
    let files = [("flickr30k_images/results.csv", csv), ("flickr30k_images/1.jpg", "")];
    let mut folder = folder(0, &files);
    let read = data(&spec("flickr30k", &folder, ""));
    assert_eq!(texts(&*read, "1.jpg"), ["A dog , running .", "A dog runs ."]);
    assert_eq!(split_of(&*read, "1.jpg"), Split::by_hash("1.jpg"));
    let notices = notices(&*read).join("\n");
    assert!(notices.contains("cannot be compared with published ones"), "{notices}");

    folder = crate::layout::folder(0, &[("results.csv", "image_name| comment\n1.jpg, a dog\n")]);
    let error = message(&error(&spec("flickr30k", &folder, "")), &folder);
    assert_eq!(
        error,
        "results.csv, line 2, field `name`: expected NAME.jpg| NUMBER| CAPTION, found `1.jpg, a dog`"
    );
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let folder = folder(1, &[]);
    let error = message(&error(&spec("flickr30k", &folder, "")), &folder);
    assert!(error.ends_with(
        "expected dataset_flickr30k.json, results_20130124.token or results.csv, found none of them"
    ));
}
