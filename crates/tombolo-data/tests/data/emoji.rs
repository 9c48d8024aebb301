use std::collections::{BTreeMap, BTreeSet};

use tombolo_data::dataset::{Collection, Dataset, Gallery, Split, SplitCount, emoji};

fn open() -> Collection {
    emoji::open([]).unwrap()
}

fn words(text: &str) -> BTreeSet<String> {
    let split = |c: char| c.is_whitespace() || c.is_ascii_punctuation() || "–—’“”×".contains(c);
    text.to_lowercase().split(split).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

#[test]
fn counts_are_as_documented() {
    let data = open();
    assert_eq!(data.images().len(), 3_511);
    let counts = Split::ALL.map(|split| data.count(split));
    let expected = [(3_151, 6_640), (180, 390), (180, 381)];
    assert_eq!(counts, expected.map(|(images, texts)| SplitCount { images, texts }));
    assert_eq!(data.gallery(), Gallery::Everything);
    assert!(data.warnings().is_empty());
}

#[test]
fn held_out_emoji_are_new_combinations_of_known_words() {
    let data = open();
    let sets: Vec<_> = data.texts().iter().map(|text| words(&text.text)).collect();
    let train = data.text_indices(Split::Train);
    let known: BTreeSet<_> = train.iter().flat_map(|&text| &sets[text]).collect();
    let combinations: BTreeSet<_> = train.iter().map(|&text| &sets[text]).collect();
    for split in [Split::Val, Split::Test] {
        for text in data.text_indices(split) {
            let shown = &data.texts()[text].text;
            for word in &sets[text] {
                assert!(known.contains(word), "`{word}` of `{shown}` is not in training");
            }
            assert!(!combinations.contains(&sets[text]), "`{shown}` is in training");
        }
    }
}

#[test]
fn a_text_without_the_name_is_of_one_emoji_only() {
    let data = open();
    let mut owners: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
    for text in data.texts() {
        owners.entry(words(&text.text)).or_default().insert(text.image);
    }
    let name = |image: usize| &data.texts()[data.texts_of(image).start].text;
    for text in data.texts().iter().filter(|text| !text.text.starts_with(name(text.image))) {
        assert_eq!(owners[&words(&text.text)].len(), 1, "{}", text.text);
    }
}

#[test]
fn a_variant_says_its_tone_in_every_text() {
    let data = open();
    let image =
        data.images().iter().position(|image| image.id == "1f469-1f3fd-200d-1f692").unwrap();
    let texts: Vec<_> = data.texts_of(image).map(|text| data.texts()[text].text.as_str()).collect();
    assert_eq!(
        texts,
        ["woman firefighter: medium skin tone", "woman firefighter: medium skin tone, firetruck",]
    );
    assert_eq!(data.images()[image].labels, ["woman firefighter"]);
    assert!(texts.iter().all(|text| text.contains("medium skin tone")));
}

#[test]
fn every_picture_decodes() {
    use tombolo_data::image::{Limits, load};
    for image in open().images().iter().step_by(50) {
        let pixels = load(&image.source, &Limits::default()).unwrap().pixels;
        assert_eq!((pixels.width, pixels.height), (72, 72), "{}", image.id);
    }
}

#[test]
#[cfg(feature = "lang-de")]
fn another_language_adds_texts_and_leaves_the_split() {
    let german = emoji::open(["de"]).unwrap();
    assert!(german.texts().len() > open().texts().len());
    let splits = |data: &Collection| data.images().iter().map(|i| i.split).collect::<Vec<_>>();
    assert_eq!(splits(&german), splits(&open()));
    let texts: Vec<_> = german.texts().iter().map(|text| text.text.as_str()).collect();
    assert!(texts.contains(&"Feuerwehrfrau: mittlere Hautfarbe"));
}
