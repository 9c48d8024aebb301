//! How a model does on each group of the curriculum, whichever of them it was trained on.

use std::collections::BTreeMap;
use std::fmt::Write;

use tombolo_train::settings::Group;

use super::page::Recalls;
use super::table::aligned;

/// Titles of the columns.
const TITLES: [&str; 7] = ["group", "i→t R@1", "R@5", "R@10", "t→i R@1", "R@5", "R@10"];

/// What is measured of a group.
pub struct OfGroup {
    group: Group,
    recalls: Recalls,
}

/// Those of the groups that were measured, by what `model.toml` records.
pub fn measured(metrics: &BTreeMap<String, f64>) -> Vec<OfGroup> {
    let of = |group: Group| {
        let recalls = Recalls::of(&format!("val.group{}", u8::from(group)), metrics)?;
        Some(OfGroup { group, recalls })
    };
    Group::ALL.into_iter().filter_map(of).collect()
}

fn title(group: Group) -> &'static str {
    match group {
        Group::Precise => "1, precise texts",
        Group::Incomplete => "2, incomplete sentences",
        Group::Ambiguous => "3, ambiguous texts",
    }
}

/// A table for the terminal, in percent.
pub fn table(groups: &[OfGroup]) -> String {
    let mut rows = vec![TITLES.map(str::to_owned)];
    rows.extend(groups.iter().map(|OfGroup { group, recalls }| {
        let mut cells = recalls.percents();
        std::array::from_fn(|column| match column {
            0 => title(*group).to_owned(),
            _ => cells.next().unwrap_or_default(),
        })
    }));
    aligned(&rows)
}

/// A section of the page.
pub fn section(groups: &[OfGroup]) -> String {
    let mut rows = String::from("<tr><td></td>");
    for title in &TITLES[1..] {
        // Writing to a string cannot fail.
        let _ = write!(rows, "<th scope=\"col\">{title}</th>");
    }
    for OfGroup { group, recalls } in groups {
        let _ = write!(rows, "</tr><tr><th scope=\"row\">{}</th>", title(*group));
        recalls.percents().for_each(|cell| {
            let _ = write!(rows, "<td>{cell}<small> %</small></td>");
        });
    }
    format!(
        "<section><h2>By groups of the curriculum</h2><table class=\"recalls\">{rows}</tr></table><p class=\"note\">Queries of \
         each group of the validation split, whichever groups the map was trained on.</p></section>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_were_measured_are_told() {
        let side = |group: usize, side: &str| {
            let name = format!("val.group{group}.{side}.recall@");
            [(1, 0.25), (5, 0.5), (10, 0.75)].map(|(k, recall)| (format!("{name}{k}"), recall))
        };
        let metrics = [(1, "image_to_text"), (1, "text_to_image"), (3, "image_to_text")];
        let metrics = metrics.into_iter().flat_map(|(group, of)| side(group, of)).collect();
        let groups = measured(&metrics);
        assert_eq!(groups.len(), 1, "of group 3 one direction alone");
        let lines = table(&groups);
        let last = lines.lines().last().unwrap();
        assert!(last.starts_with("1, precise") && last.ends_with("75.0"), "{lines}");
        assert_eq!(section(&groups).matches("25.0").count(), 2);
    }
}
