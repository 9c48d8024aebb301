//! The mean over the folds of a data set, as the literature has it for the thousands of COCO's test split.

use serde_json::{Map, Value};

/// The means of the documents of one model over the folds of each data set of which there are at least two, under the data
/// set's name. Intervals are of one fold's queries and are left out.
pub fn means_of_folds(documents: &[Value]) -> Vec<Value> {
    let mut data_sets: Vec<(String, Vec<&Value>)> = Vec::new();
    for document in documents {
        let Some(name) = whole(document["dataset"].as_str().unwrap_or_default()) else { continue };
        match data_sets.iter_mut().find(|(known, _)| *known == name) {
            Some((_, folds)) => folds.push(document),
            None => data_sets.push((name, vec![document])),
        }
    }
    data_sets.retain(|(_, folds)| folds.len() > 1);
    let mean = |(name, folds): (String, Vec<&Value>)| {
        let mut mean = mean(&folds);
        mean["dataset"] = name.into();
        mean["folds"] = folds.len().into();
        mean
    };
    data_sets.into_iter().map(mean).collect()
}

/// Recall@1, @5 and @10 of a document in one direction, in percent.
pub fn recalls(document: &Value, direction: &str) -> [f64; 3] {
    [1, 5, 10].map(|k| {
        let recall = document[direction][format!("recall@{k}")].as_f64();
        100.0 * recall.unwrap_or(f64::NAN)
    })
}

/// The name of the data set whose fold has this name.
fn whole(name: &str) -> Option<String> {
    let (before, after) = name.split_once("-fold")?;
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < after.len()).then(|| format!("{before}{rest}"))
}

/// Numbers that differ are averaged; of all else what the first says stands for all.
fn mean(values: &[&Value]) -> Value {
    match values[0] {
        first if values.iter().all(|value| *value == first) => first.clone(),
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
        let expected = json!({
            "dataset": "coco", "model": "m", "images": 1000, "folds": 2,
            "image_to_text": { "recall@1": 0.5 },
        });
        assert_eq!(means_of_folds(&documents), [expected]);
        assert_eq!(means_of_folds(&documents[..2]), [] as [Value; 0]);
        assert_eq!(whole("coco-fg-fold3-pool").unwrap(), "coco-fg-pool");
        assert_eq!(whole("my-folder"), None);
    }
}
