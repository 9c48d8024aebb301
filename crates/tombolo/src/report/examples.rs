//! Sample retrievals as sections of the page.

use super::markup::{clip, escape, grouped};
use super::samples::{ImageHit, ImageQuery, Samples, TextHit, TextQuery};

/// Most characters of a caption on the page.
pub(super) const CAPTION: usize = 200;

/// Both directions, one section each.
pub fn sections(samples: &Samples) -> String {
    let (images, texts) = (samples.images, samples.texts);
    let by_text: String = samples.by_text.iter().map(|query| text_query(query, images)).collect();
    let by_image: String = samples.by_image.iter().map(|query| image_query(query, texts)).collect();
    let split = escape(samples.split);
    let (images, texts) = (grouped(images as u64), grouped(texts as u64));
    format!(
        "<section><h2>Texts, and the images found for them</h2><p class=\"note\">Texts of the split \
         {split}, evenly spread, against {images} images. The number under an image is the cosine; the \
         right one is framed.</p>{by_text}</section>\
         <section><h2>Images, and the texts found for them</h2><p class=\"note\">Images of the split \
         {split}, evenly spread, against {texts} texts. Right ones are ticked.</p>\
         <div class=\"queries\">{by_image}</div></section>"
    )
}

fn text_query(query: &TextQuery, gallery: usize) -> String {
    let hits: String = query.hits.iter().map(image_hit).collect();
    format!(
        "<article class=\"query\"><h3><bdi>{}</bdi> {}</h3><ol class=\"images\">{hits}</ol></article>",
        escape(&clip(&query.text, CAPTION)),
        rank(query.rank, gallery)
    )
}

/// An image that was found, as an item of a list.
pub(super) fn image_hit(hit: &ImageHit) -> String {
    let (class, mark) = if hit.right { (" class=\"right\"", "✓ ") } else { ("", "") };
    let picture = picture(&hit.id, hit.thumbnail.as_deref());
    format!("<li{class}>{picture}<span>{mark}{}</span></li>", score(hit.score))
}

fn image_query(query: &ImageQuery, gallery: usize) -> String {
    let hits: String = query.hits.iter().map(text_hit).collect();
    format!(
        "<article class=\"query image\"><div>{}{}</div><ol class=\"texts\">{hits}</ol></article>",
        picture(&query.id, query.thumbnail.as_deref()),
        rank(query.rank, gallery)
    )
}

/// A text that was found, as an item of a list.
pub(super) fn text_hit(hit: &TextHit) -> String {
    let (class, mark) = if hit.right { (" class=\"right\"", "✓") } else { ("", "") };
    format!(
        "<li{class}><i>{mark}</i><bdi>{}</bdi><span>{}</span></li>",
        escape(&clip(&hit.text, CAPTION)),
        score(hit.score)
    )
}

/// A picture, or where it would be.
pub(super) fn picture(id: &str, thumbnail: Option<&str>) -> String {
    let id = escape(id);
    match thumbnail {
        Some(uri) => format!("<img src=\"{uri}\" alt=\"{id}\" title=\"{id}\" loading=\"lazy\">"),
        None => format!("<div class=\"missing\" title=\"{id}\">cannot be read</div>"),
    }
}

fn rank(rank: Option<usize>, gallery: usize) -> String {
    let Some(rank) = rank else { return String::new() };
    if rank == 1 {
        return "<span class=\"rank first\">right one first</span>".to_owned();
    }
    let (rank, gallery) = (grouped(rank as u64), grouped(gallery as u64));
    format!("<span class=\"rank\">right one at rank {rank} of {gallery}</span>")
}

fn score(score: f32) -> String {
    format!("{score:.3}").replace('-', "−")
}
