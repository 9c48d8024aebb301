//! Properties that every perturbation has, on captions in any script and on none.

use proptest::prelude::*;
use tombolo_data::image::Pixels;
use tombolo_data::perturbation::{ImageKind, Strength, TextPerturbation};

/// Captions as people write them, and strings that nobody would.
fn caption() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "a",
        "the",
        "dog",
        "dogs",
        "Red",
        "young",
        "running",
        "street",
        "snow.",
        ",",
        "über",
        "犬",
        "🏝",
        "\u{301}",
        "two",
        "people's",
        "e\u{301}té",
        "\u{202e}x",
    ]);
    let spaced = prop::collection::vec(words, 0..12).prop_map(|words| words.join(" "));
    prop_oneof![spaced, ".*"]
}

fn sorted_words(text: &str) -> Vec<&str> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    words.sort_unstable();
    words
}

proptest! {
    #[test]
    fn the_same_seed_and_index_give_the_same_caption(text in caption(), seed: u64, index in 0_usize..9) {
        for perturbation in TextPerturbation::ALL {
            let once = perturbation.apply(&text, seed, index);
            prop_assert_eq!(&once, &perturbation.apply(&text, seed, index));
        }
    }

    #[test]
    fn what_is_counted_as_changed_differs(texts in prop::collection::vec(caption(), 0..6), seed: u64) {
        let texts: Vec<(usize, &str)> = texts.iter().map(String::as_str).enumerate().collect();
        for perturbation in TextPerturbation::ALL {
            let perturbed = perturbation.apply_to_all(&texts, seed);
            let differ = perturbed.texts.iter().zip(&texts).filter(|(new, (_, old))| new != old);
            prop_assert_eq!(perturbed.changed, differ.count());
            prop_assert_eq!(perturbed.texts.len(), texts.len());
        }
    }

    #[test]
    fn another_order_keeps_the_words(text in caption(), seed: u64) {
        for perturbation in TextPerturbation::ALL {
            if perturbation.name().starts_with("shuffle") {
                let shuffled = perturbation.apply(&text, seed, 0);
                prop_assert_eq!(sorted_words(&shuffled), sorted_words(&text));
            }
        }
    }

    #[test]
    fn a_typo_touches_one_letter(text in caption(), seed: u64) {
        let length = |text: &str| text.chars().count() as i64;
        let longer = [
            (TextPerturbation::CharSwap, 0),
            (TextPerturbation::MissingChar, -1),
            (TextPerturbation::ExtraChar, 1),
            (TextPerturbation::NearbyChar, 0),
        ];
        for (perturbation, by) in longer {
            let typed = perturbation.apply(&text, seed, 0);
            prop_assert!(typed == text || length(&typed) == length(&text) + by);
        }
        let typed = TextPerturbation::NearbyChar.apply(&text, seed, 0);
        let differ = typed.chars().zip(text.chars()).filter(|(a, b)| a != b).count();
        prop_assert!(differ <= 1);
    }

    #[test]
    fn photos_of_any_size_pass(width in 1_usize..20, height in 1_usize..20, seed: u64, fill: u8) {
        let rgb = (0..width * height * 3).map(|i| fill.wrapping_mul(i as u8)).collect();
        let photo = Pixels::new(width, height, rgb);
        for kind in ImageKind::ALL {
            for strength in Strength::ALL {
                let once = kind.at(strength).apply(&photo, seed, 1);
                prop_assert_eq!(&once, &kind.at(strength).apply(&photo, seed, 1));
            }
        }
    }
}

#[test]
fn a_caption_of_an_ordinary_kind_is_changed_by_all() {
    let caption = "A young man in a red shirt throws a yellow ball to his little dog in the park .";
    for perturbation in TextPerturbation::ALL {
        let changed = (0..20).filter(|&index| perturbation.apply(caption, 1, index) != caption);
        assert!(changed.count() > 8, "{}", perturbation.name());
    }
}
