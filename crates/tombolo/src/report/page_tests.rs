use super::super::curves::Point;
use super::super::markup::data_uri;
use super::super::samples::{ImageHit, ImageQuery, TextHit, TextQuery};
use super::*;

const HOSTILE: &str =
    "</style><script>alert(1)</script>\" onload=\"x' http://example.org/a.png \u{202e}";

fn curve(stage: &str, steps: usize) -> Curve {
    let points = |of: fn(f64) -> f64| {
        (0..steps).map(|step| Point { x: step as f64, y: of(step as f64) }).collect()
    };
    Curve {
        stage: stage.to_owned(),
        steps,
        epochs: 2,
        loss: points(|step| 6.0 / (1.0 + step / 100.0)),
        rate: points(|step| 1e-3 * (step / 1_000.0).sin()),
    }
}

fn samples() -> Samples {
    let pixel = data_uri("image/jpeg", &[0xff, 0xd8]);
    let image =
        ImageHit { score: 0.5, right: true, id: HOSTILE.into(), thumbnail: Some(pixel.clone()) };
    let unread = ImageHit { score: -0.25, right: false, id: HOSTILE.into(), thumbnail: None };
    let text = TextHit { score: 0.5, right: true, text: HOSTILE.into() };
    Samples {
        split: "val",
        images: 1000,
        texts: 5000,
        by_text: vec![TextQuery { text: HOSTILE.into(), rank: Some(1), hits: vec![image, unread] }],
        by_image: vec![ImageQuery {
            id: HOSTILE.into(),
            thumbnail: Some(pixel),
            rank: None,
            hits: vec![text],
        }],
    }
}

fn page() -> Page {
    let facts = || vec![Fact::new("backbone", HOSTILE.to_owned())];
    Page {
        name: HOSTILE.to_owned(),
        summary: HOSTILE.to_owned(),
        parts: vec![
            Part { stage: "text", title: "Text tower", facts: facts() },
            Part { stage: "image", title: "Image tower", facts: Vec::new() },
            Part { stage: "map", title: "Map", facts: facts() },
        ],
        curves: vec![curve("text", 5_000)],
        recalls: Some(Recalls { image_to_text: [0.25, 0.5, 0.75], text_to_image: [0.1, 0.2, 1.0] }),
        groups: Vec::new(),
        samples: Some(samples()),
        notes: vec![HOSTILE.to_owned()],
        credits: vec!["Pictures: CC-BY 4.0".to_owned()],
    }
}

/// Every tag of the page with its attributes; text between tags is left out.
fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).filter_map(|rest| Some(rest.split_once('>')?.0)).collect()
}

#[test]
fn the_names_of_recalls_are_those_that_training_records() {
    let names = ["image_to_text", "text_to_image"];
    let mut metrics: BTreeMap<String, f64> = names
        .iter()
        .flat_map(|side| [1, 5, 10].map(|k| (format!("val.{side}.recall@{k}"), f64::from(k))))
        .collect();
    assert_eq!(Recalls::of("val", &metrics).unwrap().text_to_image, [1.0, 5.0, 10.0]);
    metrics.remove("val.text_to_image.recall@5");
    assert!(Recalls::of("val", &metrics).is_none());
}

#[test]
fn it_needs_nothing_from_elsewhere() {
    let html = page().html();
    for tag in tags(&html) {
        assert!(!tag.starts_with("script") && !tag.starts_with("link"), "{tag}");
        for attribute in ["src=\"", "href=\"", "srcset=\"", "xlink"] {
            for (start, _) in tag.match_indices(attribute) {
                assert!(tag[start + attribute.len()..].starts_with("data:image/"), "{tag}");
            }
        }
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains('<'));
}

#[test]
fn what_comes_from_the_data_set_stays_text() {
    let html = page().html();
    assert_eq!(html.matches("</style>").count(), 1);
    assert!(!html.contains("<script") && !html.contains(" onload=\"x"));
    assert_eq!(html.matches("&lt;script&gt;").count(), 13);
}

#[test]
fn every_tag_is_closed() {
    let html = page().html();
    for tag in
        ["section", "article", "table", "tr", "ol", "li", "dl", "figure", "svg", "bdi", "div"]
    {
        let opened =
            html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn parts_without_steps_or_training_say_so() {
    let html = page().html();
    assert_eq!(html.matches("<svg").count(), 2);
    assert_eq!(html.matches("Not trained.").count(), 1);
    assert_eq!(html.matches("found in closed form").count(), 1);
    assert!(html.contains("rsum of 280.0"));
}

#[test]
fn long_curves_do_not_make_the_page_long() {
    let mut page = page();
    let short = page.html().len();
    page.curves = vec![curve("text", 100_000)];
    assert!(page.html().len() < short + 1_000);
}
