//! Metrics and tests against ir_measures, torchmetrics, scipy and statsmodels: see `parity/metrics/make.py`.

// The lint's exception for tests does not reach helpers outside of them.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use tombolo_eval::{DirectionMetrics, Rankings, holm, mcnemar_test, randomisation_test};

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../parity/metrics/golden.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn close(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found} for {expected}");
}

#[test]
fn metrics_equal_those_of_trec_eval_and_torchmetrics() {
    let golden = golden();
    let models = golden["rankings"].as_array().unwrap().iter();
    let mut compared = 0;
    for (ranks, expected) in models.zip(golden["metrics"].as_array().unwrap()) {
        let ranks = ranks.as_array().unwrap().iter();
        let ranks = ranks.map(|ranks| list(ranks).into_iter().map(|rank| rank as usize).collect());
        let metrics = DirectionMetrics::new(&Rankings::from_lists(ranks)).unwrap();
        let found = serde_json::to_value(&metrics).unwrap();
        for (name, references) in expected.as_object().unwrap() {
            for (reference, figure) in references.as_object().unwrap() {
                let tolerance = if reference == "torchmetrics" { 1e-6 } else { 1e-9 };
                let what = format!("{name} by {reference}");
                close(&what, found[name].as_f64().unwrap(), figure.as_f64().unwrap(), tolerance);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 36);
}

#[test]
fn tests_equal_those_of_scipy_and_statsmodels() {
    let golden = golden();
    for case in golden["mcnemar"].as_array().unwrap() {
        let [first, second, p] = list(case).try_into().unwrap();
        close("mcnemar", mcnemar_test(first as usize, second as usize), p, 1e-9);
    }
    for case in golden["randomised"].as_array().unwrap() {
        let found = randomisation_test(&list(&case[0]), 1);
        close("randomised", found, case[1].as_f64().unwrap(), 0.02);
    }
    let corrected = holm(&list(&golden["holm"][0]));
    for (found, expected) in corrected.into_iter().zip(list(&golden["holm"][1])) {
        close("holm", found, expected, 1e-12);
    }
}
