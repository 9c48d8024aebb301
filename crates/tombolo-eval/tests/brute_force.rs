//! The whole of the evaluation against a second, independent form of it: the full score matrix,
//! sorted, with each metric read off the sorted list.

// The lint's exception for tests does not reach helpers outside of them.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use tombolo_eval::{DirectionMetrics, EvalError, Rankings, Relevance, evaluate, rank};
use tombolo_vectors::EmbeddingMatrix;

/// Gallery rows best first; among equal scores those that are not relevant come first.
fn sorted_gallery(
    query: &[f32],
    gallery: &EmbeddingMatrix,
    relevant: &[usize],
) -> Vec<(usize, bool)> {
    let mut all: Vec<(f64, bool, usize)> = gallery
        .iter()
        .enumerate()
        .map(|(row, vector)| {
            let score = query.iter().zip(vector).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            (score, relevant.contains(&row), row)
        })
        .collect();
    all.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap().then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    all.into_iter().map(|(_, relevant, row)| (row, relevant)).collect()
}

/// The metrics straight from their definitions, in the order of the contract.
fn metrics_of_sorted(lists: &[Vec<bool>]) -> Vec<f64> {
    let lists: Vec<&Vec<bool>> = lists.iter().filter(|list| list.contains(&true)).collect();
    let mean = |of: &dyn Fn(&[bool]) -> f64| {
        lists.iter().map(|list| of(list)).sum::<f64>() / lists.len() as f64
    };
    let hits = |list: &[bool], k: usize| list.iter().take(k).filter(|&&hit| hit).count() as f64;
    let total = |list: &[bool]| hits(list, list.len());
    let average_precision = |list: &[bool], k: usize, normaliser: f64| {
        let places = (0..list.len().min(k)).filter(|&place| list[place]);
        places.map(|place| hits(list, place + 1) / (place + 1) as f64).sum::<f64>() / normaliser
    };
    let first = |list: &[bool]| list.iter().position(|&hit| hit).unwrap() as f64 + 1.0;
    let mut firsts: Vec<f64> = lists.iter().map(|list| first(list)).collect();
    firsts.sort_by(f64::total_cmp);
    let (low, high) = (firsts[(firsts.len() - 1) / 2], firsts[firsts.len() / 2]);
    let mut all = Vec::new();
    all.extend([1, 5, 10].map(|k| mean(&|list| hits(list, k).min(1.0))));
    all.extend([1, 5, 10].map(|k| mean(&|list| hits(list, k) / total(list).min(k as f64))));
    all.extend([1, 5, 10].map(|k| mean(&|list| hits(list, k) / k as f64)));
    all.push(mean(&|list| average_precision(list, 50, hits(list, 50).max(1.0))));
    all.push(mean(&|list| average_precision(list, list.len(), total(list))));
    all.push((low + high) / 2.0);
    all.push(mean(&first));
    let gain = |places: &mut dyn Iterator<Item = usize>| {
        places.map(|place| 1.0 / (place as f64 + 2.0).log2()).sum::<f64>()
    };
    all.push(mean(&|list| {
        let best = gain(&mut (0..10.min(total(list) as usize)));
        gain(&mut (0..list.len().min(10)).filter(|&place| list[place])) / best
    }));
    all.push(mean(&|list| average_precision(list, 50, total(list))));
    all
}

fn as_list(metrics: &DirectionMetrics) -> Vec<f64> {
    let json = serde_json::to_value(metrics).unwrap();
    let fields = json.as_object().unwrap();
    fields.values().filter_map(serde_json::Value::as_f64).collect()
}

/// Rows of small integers: exact sums, and ties in plenty.
fn matrix(rows: std::ops::Range<usize>) -> impl Strategy<Value = EmbeddingMatrix> {
    prop::collection::vec(prop::array::uniform3(-1_i8..=1), rows).prop_map(|rows| {
        let values = rows.into_iter().flatten().map(f32::from).collect();
        EmbeddingMatrix::from_rows(3, values).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn metrics_equal_those_of_the_sorted_score_matrix(
        queries in matrix(1..150),
        gallery in matrix(1..300),
        density in 0_u32..40,
        seed in any::<u32>(),
    ) {
        let is_relevant = |query: usize, row: usize| {
            let mixed = (query as u32 * 7919 + row as u32).wrapping_mul(2_654_435_761) ^ seed;
            mixed.wrapping_mul(0x9e37_79b9) >> 16 & 63 < density
        };
        let lists: Vec<Vec<usize>> = (0..queries.len())
            .map(|query| (0..gallery.len()).filter(|&row| is_relevant(query, row)).collect())
            .collect();
        let sorted: Vec<Vec<bool>> = (0..queries.len())
            .map(|query| {
                let ranked = sorted_gallery(queries.row(query), &gallery, &lists[query]);
                ranked.into_iter().map(|(_, relevant)| relevant).collect()
            })
            .collect();
        let relevance = Relevance::from_lists(gallery.len(), lists.clone()).unwrap();
        let rankings = rank(&queries, &gallery, &relevance).unwrap();
        for (query, list) in sorted.iter().enumerate() {
            let expected: Vec<usize> =
                (1..=list.len()).filter(|&rank| list[rank - 1]).collect();
            prop_assert_eq!(rankings.of(query), expected);
        }
        match DirectionMetrics::new(&rankings) {
            Ok(metrics) => {
                prop_assert_eq!(as_list(&metrics).len(), metrics_of_sorted(&sorted).len());
                for (found, expected) in as_list(&metrics).iter().zip(metrics_of_sorted(&sorted)) {
                    prop_assert!((found - expected).abs() < 1e-12);
                }
                prop_assert_eq!(metrics.recall_at_1, metrics.true_recall_at_1);
                prop_assert!(metrics.true_recall_at_5 <= metrics.recall_at_5);
                prop_assert!(metrics.true_recall_at_10 <= metrics.recall_at_10);
                prop_assert_eq!(
                    metrics.excluded,
                    lists.iter().filter(|list| list.is_empty()).count()
                );
            }
            Err(error) => {
                let right_error = matches!(error, EvalError::NothingRelevant { .. });
                prop_assert!(right_error);
                let nothing_relevant = lists.iter().all(Vec::is_empty);
                prop_assert!(nothing_relevant);
            }
        }
    }

    #[test]
    fn both_directions_are_those_of_single_rankings(
        images in matrix(1..40),
        captions in prop::collection::vec((0_usize..1000, prop::array::uniform3(-1_i8..=1)), 1..120),
    ) {
        let values = captions.iter().flat_map(|(_, row)| row.map(f32::from)).collect();
        let texts = EmbeddingMatrix::from_rows(3, values).unwrap();
        let image_of_text: Vec<usize> =
            captions.iter().map(|(image, _)| image % images.len()).collect();
        let found = evaluate(&images, &texts, &image_of_text).unwrap();

        let ranked = |query: &[f32], gallery: &EmbeddingMatrix, relevant: Vec<usize>| {
            let list = sorted_gallery(query, gallery, &relevant).into_iter().zip(1..);
            list.filter(|((_, relevant), _)| *relevant).map(|(_, rank)| rank).collect::<Vec<_>>()
        };
        let image_to_text = Rankings::from_lists(images.iter().enumerate().map(|(image, vector)| {
            let texts_of_image = (0..texts.len()).filter(|&text| image_of_text[text] == image);
            ranked(vector, &texts, texts_of_image.collect())
        }));
        let text_to_image = Rankings::from_lists(texts.iter().zip(&image_of_text).map(
            |(vector, &image)| ranked(vector, &images, vec![image]),
        ));
        prop_assert_eq!(&found.image_to_text, &DirectionMetrics::new(&image_to_text).unwrap());
        prop_assert_eq!(&found.text_to_image, &DirectionMetrics::new(&text_to_image).unwrap());
        let recalls = [&found.image_to_text, &found.text_to_image]
            .map(|side| side.recall_at_1 + side.recall_at_5 + side.recall_at_10);
        prop_assert!((found.rsum - 100.0 * (recalls[0] + recalls[1])).abs() < 1e-9);
    }
}

fn rows(dim: usize, values: &[f32]) -> EmbeddingMatrix {
    EmbeddingMatrix::from_rows(dim, values.to_vec()).unwrap()
}

#[test]
fn an_equal_score_of_another_item_ranks_before() {
    let gallery = rows(1, &[1.0, 1.0, 1.0, 0.5]);
    let relevance = Relevance::from_lists(4, [vec![0, 3]]).unwrap();
    assert_eq!(rank(&rows(1, &[1.0]), &gallery, &relevance).unwrap().of(0), [3, 4]);
}

#[test]
fn many_relevant_items_of_one_score_follow_each_other() {
    let gallery = rows(1, &[1.0; 40]);
    let relevance = Relevance::from_lists(40, [(0..30).collect::<Vec<_>>()]).unwrap();
    let expected: Vec<usize> = (11..=40).collect();
    assert_eq!(rank(&rows(1, &[1.0]), &gallery, &relevance).unwrap().of(0), expected);
}

#[test]
fn bad_input_is_named() {
    let good = rows(2, &[1.0, 0.0]);
    let error = |images: EmbeddingMatrix, texts: EmbeddingMatrix, pairs: &[usize]| {
        let error = evaluate(&images, &texts, pairs).unwrap_err();
        assert!(error.hint().is_some());
        error.to_string()
    };
    let empty = EmbeddingMatrix::new(2).unwrap();
    assert!(error(good.clone(), empty, &[]).contains("row of texts, found none"));
    let other = error(good.clone(), rows(1, &[1.0]), &[0]);
    assert!(other.contains("2 dimensions on both sides, found 1"), "{other}");
    let not_finite = error(rows(2, &[1.0, f32::NAN]), good.clone(), &[0]);
    assert!(not_finite.contains("row 0 of the images"), "{not_finite}");
    let none = error(good.clone(), good.clone(), &[]);
    assert!(none.contains("expected relevance for 1 texts, found it for 0"), "{none}");
    assert!(error(good.clone(), good, &[4]).contains("below 1 for query 0, found 4"));
}
