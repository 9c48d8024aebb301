//! The mean over the folds of a data set, as the literature has it for the thousands of COCO's test split.

use serde_json::{Map, Value};

/// The mean of the documents of one model on several folds of a data set, under the data set's name; none where there are
/// not at least two of them. Intervals are of one fold's queries and are left out.
pub fn mean_of_folds(documents: &[Value]) -> Option<Value> {
    let (folds, name) = folds(documents)?;
    let mut mean = mean(&folds);
    mean["dataset"] = name.into();
    mean["folds"] = folds.len().into();
    Some(mean)
}

/// The documents of the folds of one data set, and its name.
fn folds(documents: &[Value]) -> Option<(Vec<&Value>, String)> {
    let name = |document: &Value| whole(document["dataset"].as_str().unwrap_or_default());
    let first = documents.iter().find_map(name)?;
    let of_it = |document: &&Value| name(document).as_ref() == Some(&first);
    let folds: Vec<&Value> = documents.iter().filter(of_it).collect();
    (folds.len() > 1).then_some((folds, first))
}

/// The name of the data set whose fold has this name.
fn whole(name: &str) -> Option<String> {
    let (before, after) = name.split_once("-fold")?;
    Some(format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit())))
}

/// Numbers are averaged; of all else what the first says stands for all.
fn mean(values: &[&Value]) -> Value {
    match values[0] {
        Value::Object(first) => {
            let named = first.keys().filter(|name| !name.ends_with("_ci95"));
            let mean = |name: &String| {
                let fields: Vec<&Value> = values.iter().map(|value| &value[name]).collect();
                (name.clone(), mean(&fields))
            };
            Value::Object(named.map(mean).collect::<Map<_, _>>())
        }
        Value::Number(_) => {
            let numbers: Vec<f64> = values.iter().filter_map(|value| value.as_f64()).collect();
            (numbers.iter().sum::<f64>() / numbers.len() as f64).into()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(dataset: &str, recall: f64) -> Value {
        let both = json!({ "recall@1": recall, "recall@1_ci95": [0.1, 0.2] });
        json!({ "dataset": dataset, "model": "m", "images": 1000, "image_to_text": both })
    }

    #[test]
    fn the_mean_is_of_the_folds_alone_and_has_the_name_of_the_whole() {
        let documents =
            [document("coco-fold1", 0.25), document("other", 0.9), document("coco-fold2", 0.75)];
        let mean = mean_of_folds(&documents).unwrap();
        let expected = json!({
            "dataset": "coco", "model": "m", "images": 1000.0, "folds": 2,
            "image_to_text": { "recall@1": 0.5 },
        });
        assert_eq!(mean, expected);
        assert_eq!(mean_of_folds(&documents[..2]), None);
        assert_eq!(whole("coco-fg-fold3-pool").unwrap(), "coco-fg-pool");
    }
}
