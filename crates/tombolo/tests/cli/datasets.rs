//! Data sets of the literature as `data` and `eval` meet them.

use serde_json::{Value, json};

use super::{COLOURS, PLACES, assert_fails, assert_status, copy_of_trained, out, run};

/// Karpathy's file for the drawn photos, all in split test, and fine-grained captions for the red ones.
fn literature() -> tempfile::TempDir {
    let dir = copy_of_trained();
    let (mut images, mut fine) = (Vec::new(), serde_json::Map::new());
    for (colour, _) in COLOURS {
        for place in PLACES {
            let name = format!("{colour}-{place}");
            let sentences = [json!({ "raw": format!("a {colour} square") })];
            images.push(json!({ "filename": format!("{name}.png"), "split": "test", "sentences": sentences }));
            if colour == "red" {
                fine.insert(name, json!([format!("a red square on the {place}"), "red"]));
            }
        }
    }
    let write = |name: &str, content: Value| {
        std::fs::write(dir.path().join(name), content.to_string()).unwrap();
    };
    write("set.json", json!({ "dataset": "drawn", "images": images }));
    write("fg.json", Value::Object(fine));
    std::fs::write(dir.path().join("pool.txt"), "blue-top.png\nblue-left.png\n").unwrap();
    dir
}

#[test]
fn fine_grained_captions_are_ranked_against_a_pool() {
    let dir = literature();
    let eval = |options: &str| -> Value {
        let dataset = format!("karpathy:set.json,images=photos{options}");
        let output = run(dir.path(), &["eval", &dataset, "--model", "model", "--json"]);
        assert_status(&output, 0);
        serde_json::from_str(&out(&output)).unwrap()
    };
    let whole = eval("");
    assert_eq!(
        (&whole["dataset"], &whole["images"], &whole["texts"]),
        (&json!("drawn"), &json!(24), &json!(24))
    );
    let fine = eval(",fg=fg.json");
    assert_eq!(
        (&fine["dataset"], &fine["images"], &fine["texts"]),
        (&json!("drawn-fg"), &json!(4), &json!(8))
    );
    let pooled = eval(",fg=fg.json,pool=pool.txt");
    assert_eq!((&pooled["images"], &pooled["texts"]), (&json!(4), &json!(8)));
    assert_eq!(pooled["gallery"], json!({ "images": 6, "texts": 8 }));
    let mean = |document: &Value| document["text_to_image"]["mean_rank"].as_f64().unwrap();
    assert!(mean(&pooled) >= mean(&fine), "more photos push nothing forward");
}

#[test]
fn data_says_what_was_taken_and_help_names_every_form() {
    let dir = literature();
    let dataset = "karpathy:set.json,images=photos,fg=fg.json,pool=pool.txt";
    let output = run(dir.path(), &["data", dataset]);
    assert_status(&output, 0);
    let page = out(&output);
    assert!(
        page.contains("drawn-fg-pool") && page.contains("captions: those of fg.json"),
        "{page}"
    );
    assert!(page.contains("pool: 2 images without captions, in the gallery of test"), "{page}");
    let help = out(&run(dir.path(), &["data", "--help"]));
    for form in ["flickr30k:DIR", "coco:DIR", "nuswide:DIR", "webdataset:GLOB", ",fold=N"] {
        assert!(help.contains(form), "{form}: {help}");
    }
    let fold = format!("{dataset},fold=2");
    assert_fails(
        &run(dir.path(), &["data", &fold]),
        2,
        "at most 1: the test split has 24",
        "option",
    );
    let unknown = "karpathy:set.json,year=2017";
    assert_fails(&run(dir.path(), &["data", unknown]), 2, "no option `year`", "fold=2");
    let nothing = ["data", "webdataset:none-*.tar"];
    assert_fails(&run(dir.path(), &nothing), 2, "expected tar shards", "path");
}

#[test]
fn the_means_over_folds_are_in_every_file() {
    let dir = copy_of_trained();
    let photos: Vec<String> = COLOURS
        .iter()
        .flat_map(|(colour, _)| PLACES.map(|place| format!("{colour}-{place}.png")))
        .collect();
    let many = dir.path().join("many");
    std::fs::create_dir(&many).unwrap();
    let image = |i: usize| {
        let (photo, name) = (&photos[i % photos.len()], format!("{i}.png"));
        std::fs::copy(dir.path().join("photos").join(photo), many.join(&name)).unwrap();
        json!({ "filename": name, "split": "test", "sentences": [{ "raw": format!("{photo} {i}") }] })
    };
    let images: Vec<Value> = (0..2_000).map(image).collect();
    let set = json!({ "dataset": "drawn", "images": images });
    std::fs::write(dir.path().join("many.json"), set.to_string()).unwrap();
    let [first, second] = [1, 2].map(|n| format!("karpathy:many.json,images=many,fold={n}"));
    let eval = ["eval", &first, &second, "--model", "model", "--out", "results/"];
    assert_status(&run(dir.path(), &eval), 0);
    let read = |name: &str| std::fs::read_to_string(dir.path().join("results").join(name)).unwrap();
    let results: Value = serde_json::from_str(&read("results.json")).unwrap();
    let (mean, folds) = (&results["means"][0], &results["evaluations"]);
    assert_eq!((&mean["dataset"], &mean["folds"]), (&json!("drawn"), &json!(2)));
    let rsum = |document: &Value| document["rsum"].as_f64().unwrap();
    assert!((rsum(mean) - (rsum(&folds[0]) + rsum(&folds[1])) / 2.0).abs() < 1e-9);
    let line = format!("drawn,test,model,,,,both,rsum,{},,", mean["rsum"]);
    assert!(read("results.csv").contains(&line), "{line}");
    let rounded = format!("{:.1}", rsum(mean));
    assert!(
        read("results.tex").contains("Means over folds") && read("results.tex").contains(&rounded)
    );
    assert!(read("report.html").contains("Means over folds"));
}
