//! The report as one HTML page that needs nothing but itself.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::chart::Chart;
use super::curves::{Curve, smooth, thin};
use super::examples;
use super::groups::{self, OfGroup};
use super::markup::{counted, escape};
use super::samples::Samples;

const STYLE: &str = include_str!("page.css");

/// All that the page tells.
pub struct Page {
    /// The data set's name.
    pub name: String,
    /// What was trained on what, in a sentence or two.
    pub summary: String,
    /// The parts of the model, in the order of the stages.
    pub parts: Vec<Part>,
    /// How the stages went, those that were trained step by step.
    pub curves: Vec<Curve>,
    /// What the map reached on the validation split.
    pub recalls: Option<Recalls>,
    /// What it reached on each group of the curriculum.
    pub groups: Vec<OfGroup>,
    /// What the model finds.
    pub samples: Option<Samples>,
    /// What whoever reads the numbers should know.
    pub notes: Vec<String>,
    /// Whom the pictures are owed to.
    pub credits: Vec<String>,
}

/// A part of the model.
pub struct Part {
    /// The stage that trains it.
    pub stage: &'static str,
    /// What to call it.
    pub title: &'static str,
    /// What there is to say of it; nothing if it has not been trained.
    pub facts: Vec<Fact>,
}

/// A name and a value.
pub struct Fact {
    name: &'static str,
    value: String,
}

impl Fact {
    /// A name and a value.
    pub fn new(name: &'static str, value: String) -> Self {
        Self { name, value }
    }
}

/// recall@1, @5 and @10 in both directions, between 0 and 1.
pub struct Recalls {
    /// Images are queries.
    pub image_to_text: [f64; 3],
    /// Texts are queries.
    pub text_to_image: [f64; 3],
}

impl Page {
    /// The page.
    pub fn html(&self) -> String {
        let name = escape(&self.name);
        let mut body = format!(
            "<header><p class=\"over\">Tombolo · report of a run</p><h1>{name}</h1><p>{}</p></header>",
            escape(&self.summary)
        );
        if let Some(recalls) = &self.recalls {
            body.push_str(&recalls.section());
        }
        if !self.groups.is_empty() {
            body.push_str(&groups::section(&self.groups));
        }
        body.push_str(&self.stages());
        if let Some(samples) = &self.samples {
            body.push_str(&examples::sections(samples));
        }
        body.push_str(&self.footer());
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><title>{name} · Tombolo</title>\
             <style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
        )
    }

    fn stages(&self) -> String {
        let parts = self.parts.iter().map(|part| {
            let curve = self.curves.iter().find(|curve| curve.stage == part.stage);
            part.card(curve)
        });
        let cards = parts.collect::<String>();
        format!("<section><h2>What was trained</h2><div class=\"stages\">{cards}</div></section>")
    }

    fn footer(&self) -> String {
        let version = format!("Written by Tombolo {}.", env!("CARGO_PKG_VERSION"));
        let lines = self.notes.iter().chain(&self.credits).chain([&version]);
        let lines: String = lines.map(|line| format!("<p>{}</p>", escape(line))).collect();
        format!("<footer>{lines}</footer>")
    }
}

impl Recalls {
    /// What `model.toml` records of some queries, such as `val`; none if it does not.
    pub fn of(queries: &str, metrics: &BTreeMap<String, f64>) -> Option<Self> {
        let side = |side: &str| {
            let [one, five, ten] =
                [1, 5, 10].map(|k| metrics.get(&format!("{queries}.{side}.recall@{k}")).copied());
            Some([one?, five?, ten?])
        };
        let (image_to_text, text_to_image) = (side("image_to_text")?, side("text_to_image")?);
        Some(Self { image_to_text, text_to_image })
    }

    /// All six in percent.
    pub fn percents(&self) -> impl Iterator<Item = String> {
        let all = self.image_to_text.into_iter().chain(self.text_to_image);
        all.map(|recall| format!("{:.1}", 100.0 * recall))
    }

    fn section(&self) -> String {
        let rows = [("image → text", self.image_to_text), ("text → image", self.text_to_image)];
        let mut table = String::from("<tr><td></td>");
        for title in ["R@1", "R@5", "R@10"] {
            // Writing to a string cannot fail.
            let _ = write!(table, "<th scope=\"col\">{title}</th>");
        }
        for (direction, recalls) in rows {
            let _ = write!(table, "</tr><tr><th scope=\"row\">{direction}</th>");
            for recall in recalls {
                let _ = write!(table, "<td>{:.1}<small> %</small></td>", 100.0 * recall);
            }
        }
        let sum: f64 = rows.iter().flat_map(|(_, recalls)| recalls).sum();
        format!(
            "<section><h2>How well it finds</h2><table class=\"recalls\">{table}</tr></table>\
             <p class=\"note\">Share of the validation queries with a right answer among the first 1, 5 \
             and 10. All six add up to an rsum of {:.1}.</p></section>",
            100.0 * sum
        )
    }
}

impl Part {
    fn card(&self, curve: Option<&Curve>) -> String {
        let title = self.title;
        if self.facts.is_empty() {
            let words = "<p class=\"note\">Not trained.</p>";
            return format!("<article><h3>{title}</h3>{words}</article>");
        }
        let charts = match curve {
            Some(curve) => charts(curve),
            None => {
                "<p class=\"note\">No steps to draw: found in closed form, or kept from an earlier \
                     run.</p>"
                    .to_owned()
            }
        };
        let facts = self.facts.iter().map(|Fact { name, value }| {
            format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(value))
        });
        let facts: String = facts.collect();
        format!("<article><h3>{title}</h3>{charts}<dl>{facts}</dl></article>")
    }
}

/// The loss over the learning rate of a stage.
fn charts(curve: &Curve) -> String {
    let Curve { stage, steps, epochs, loss, rate } = curve;
    let smoothed = smooth(loss);
    let last = smoothed.last().map_or(f64::NAN, |point| point.y);
    let loss = Chart {
        label: &format!("loss of stage {stage} at each step, ending at {last:.2} nats"),
        height: 190.0,
        steps: *steps,
        faint: &thin(loss),
        line: &thin(&smoothed),
    };
    let rate = Chart {
        label: &format!("learning rate of stage {stage} at each step"),
        height: 84.0,
        steps: *steps,
        faint: &[],
        line: &thin(rate),
    };
    format!(
        "<figure><figcaption>loss, in nats <span>ends at <b>{last:.2}</b></span></figcaption>{}\
         <figcaption>learning rate</figcaption>{}\
         <figcaption class=\"steps\">{}, {}</figcaption></figure>",
        loss.svg(),
        rate.svg(),
        counted(*steps, "step"),
        counted(*epochs, "epoch")
    )
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
