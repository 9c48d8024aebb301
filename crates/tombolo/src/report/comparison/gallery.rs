//! The queries on which two models differ most, as sections of the page.

use super::differences::{Difference, Differences};
use crate::report::examples::{CAPTION, image_hit, picture, text_hit};
use crate::report::markup::{clip, escape, grouped};
use crate::report::samples::{ImageHit, TextHit};

/// Both directions of a pair of models.
pub fn section(names: [&str; 2], differences: &Differences) -> String {
    let by_text: String = differences.by_text.iter().map(|d| text_query(names, d)).collect();
    let by_image: String = differences.by_image.iter().map(|d| image_query(names, d)).collect();
    let [a, b] = names.map(escape);
    let nothing = "<p class=\"note\">They rank all answers alike.</p>";
    let or_nothing =
        |queries: String| if queries.is_empty() { nothing.to_owned() } else { queries };
    format!(
        "<section><h2>Where {a} and {b} differ most</h2><p class=\"note\">By the ratio of the ranks of the \
         first right answer: first where {a} does better, then where {b} does. Right answers are marked.</p>\
         <h3>Texts, and the images found for them</h3>{}\
         <h3 class=\"second\">Images, and the texts found for them</h3>{}</section>",
        or_nothing(by_text),
        or_nothing(by_image)
    )
}

fn text_query(names: [&str; 2], difference: &Difference<ImageHit>) -> String {
    let sides = sides(names, difference, |hits| {
        format!("<ol class=\"images\">{}</ol>", hits.iter().map(image_hit).collect::<String>())
    });
    let text = escape(&clip(&difference.query, CAPTION));
    format!("<article class=\"query pair\"><h4><bdi>{text}</bdi></h4>{sides}</article>")
}

fn image_query(names: [&str; 2], difference: &Difference<TextHit>) -> String {
    let sides = sides(names, difference, |hits| {
        format!("<ol class=\"texts\">{}</ol>", hits.iter().map(text_hit).collect::<String>())
    });
    let picture = picture(&difference.query, difference.thumbnail.as_deref());
    format!("<article class=\"query pair image\"><div>{picture}</div><div>{sides}</div></article>")
}

fn sides<Hit>(
    names: [&str; 2],
    difference: &Difference<Hit>,
    list: impl Fn(&[Hit]) -> String,
) -> String {
    let [mine, theirs] = difference.ranks;
    let side = |place: usize, better: bool| {
        let (name, rank) = (escape(names[place]), grouped(difference.ranks[place] as u64));
        let class = if better { "rank first" } else { "rank" };
        let hits = list(&difference.hits[place]);
        format!(
            "<div class=\"side\"><h5>{name} <span class=\"{class}\">right one at rank {rank}</span></h5>{hits}</div>"
        )
    };
    format!("<div class=\"sides\">{}{}</div>", side(0, mine < theirs), side(1, theirs < mine))
}
