//! `tombolo eval` beyond one model on one data set: perturbations, labels, comparison.

use serde_json::Value;

use super::{assert_fails, assert_status, copy_of_trained, out, run, trained};

const EVAL: [&str; 6] = ["eval", "csv:captions.csv", "--model", "model", "--split", "val"];

fn document(flags: &[&str]) -> Value {
    let output = run(trained(), &[&EVAL[..], flags, &["--json"]].concat());
    assert_status(&output, 0);
    serde_json::from_str(&out(&output)).unwrap()
}

#[test]
fn every_perturbation_says_what_it_changed_and_what_it_cost() {
    let document = document(&["--perturb", "all"]);
    let perturbations = document["perturbations"].as_object().unwrap();
    assert_eq!(perturbations.len(), 20);
    let rsum = document["rsum"].as_f64().unwrap();
    for (name, perturbed) in perturbations {
        let (changed, of) = (&perturbed["changed"], perturbed["of"].as_u64().unwrap());
        assert!(changed.as_u64().unwrap() <= of, "{name}");
        assert_eq!(of, if name.contains('@') { 4 } else { 8 }, "{name}");
        for side in ["image_to_text", "text_to_image"] {
            assert!(perturbed[side]["recall@1"].is_number(), "{name}");
        }
        let drop = 1.0 - perturbed["rsum"].as_f64().unwrap() / rsum;
        assert!((perturbed["relative_drop"].as_f64().unwrap() - drop).abs() < 1e-9, "{name}");
    }
    assert_eq!(perturbations["distraction_true"]["changed"], 8);
    assert_eq!(perturbations["noise@3"]["changed"], 4);
}

#[test]
fn the_same_seed_perturbs_alike() {
    let at = |seed| {
        let found = document(&["--perturb", "shuffle_all_words,noise@5", "--seed", seed]);
        assert_eq!(found["seed"].to_string(), seed);
        found["perturbations"].clone()
    };
    assert_eq!(at("1"), at("1"));
}

#[test]
fn a_perturbation_that_is_none_is_refused_by_name() {
    let output = run(trained(), &[&EVAL[..], &["--perturb", "blurr"]].concat());
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("`blurr`") && error.contains("did you mean `blur`?"), "{error}");
}

#[test]
fn models_are_compared_in_a_folder_of_results() {
    let dir = copy_of_trained();
    std::fs::create_dir(dir.path().join("other")).unwrap();
    for file in std::fs::read_dir(dir.path().join("model")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), dir.path().join("other").join(file.file_name())).unwrap();
    }
    let compare = ["--model", "other", "--perturb", "char_swap", "--out", "results"];
    let output = run(dir.path(), &[&EVAL[..], &compare, &["--json"]].concat());
    assert_status(&output, 0);
    let lines: Vec<Value> =
        out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["model"], &lines[1]["model"]), (&"model".into(), &"other".into()));

    let read = |name: &str| std::fs::read_to_string(dir.path().join("results").join(name)).unwrap();
    let results: Value = serde_json::from_str(&read("results.json")).unwrap();
    assert_eq!(results["evaluations"].as_array().unwrap().len(), 2);
    let tests = results["comparisons"].as_array().unwrap();
    assert_eq!(tests.len(), 20);
    assert!(tests.iter().any(|test| test["metric"] == "true_recall@5"));
    // A model does not differ from its copy.
    assert!(tests.iter().all(|test| test["others"][0]["p"] == 1.0), "{tests:?}");
    let table = read("results.csv");
    assert!(
        table.starts_with("dataset,split,model,perturbation,changed,of,direction,metric,value")
    );
    assert!(table.contains(",other,char_swap,8,8,text_to_image,recall@1,"));
    let tex = read("results.tex");
    assert!(tex.contains("\\begin{tabular}") && tex.contains("{\\tiny "), "{tex}");
    let page = read("report.html");
    assert!(page.contains("<svg") && !page.contains("src=\"http") && !page.contains("<script"));
    for tag in ["section", "article", "table", "tr", "td", "ol", "li", "svg", "div", "figure"] {
        let opened =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn several_data_sets_become_a_matrix() {
    let arguments = ["csv:captions.csv", "--out", "results/", "--quiet"];
    let dir = copy_of_trained();
    assert_status(&run(dir.path(), &[&EVAL[..], &arguments].concat()), 0);
    let results = std::fs::read_to_string(dir.path().join("results/results.json")).unwrap();
    let results: Value = serde_json::from_str(&results).unwrap();
    let row = results["transfer"]["rsum"][0].as_array().unwrap();
    assert!(row.len() == 2 && row[0] == row[1]);
    assert!(results["comparisons"].as_array().unwrap().is_empty());
    let page = std::fs::read_to_string(dir.path().join("results/report.html")).unwrap();
    assert!(page.contains("Models on data sets"));
}

#[test]
fn what_shares_a_label_is_an_answer_in_every_file_of_results() {
    let dir = copy_of_trained();
    let lines = ["red-left", "red-top", "blue-left"].map(|name| {
        let label = name.split('-').next().unwrap();
        format!(
            r#"{{"image": "photos/{name}.png", "captions": ["{label}"], "labels": ["{label}"], "split": "test"}}"#
        )
    });
    std::fs::write(dir.path().join("labelled.jsonl"), lines.join("\n")).unwrap();
    let models = ["--model", "model", "--model", "./model"];
    let eval = [&["eval", "jsonl:labelled.jsonl", "--out", "results/"][..], &models].concat();
    let output = run(dir.path(), &eval);
    assert_status(&output, 0);
    assert!(out(&output).contains("where whatever shares a label is an answer"));
    let read = |name: &str| std::fs::read_to_string(dir.path().join("results").join(name)).unwrap();
    let results: Value = serde_json::from_str(&read("results.json")).unwrap();
    let map = &results["evaluations"][0]["category"]["text_to_image"]["map@50"];
    let line = format!(",text_to_image,category.map@50,{},", map.as_f64().unwrap());
    assert!(read("results.csv").contains(&line), "{}", read("results.csv"));
    assert!(read("results.tex").contains("whatever shares a label"));
    assert!(read("report.html").contains("At the level of categories"));
    let tests = results["comparisons"].as_array().unwrap();
    assert!(tests.iter().any(|test| test["metric"] == "category.map@50"), "{tests:?}");
}

#[test]
fn several_results_do_not_fit_one_file() {
    let two = [&EVAL[..], &["--model", "model", "--out", "all.json"]].concat();
    assert_fails(&run(trained(), &two), 2, "all.json", "results/");
}
