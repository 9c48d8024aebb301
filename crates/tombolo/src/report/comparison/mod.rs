//! Several models side by side: `results.json`, `results.csv`, `results.tex` and `report.html`.

mod csv;
mod differences;
mod drops;
mod gallery;
mod json;
mod latex;
mod page;
mod tables;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use tombolo_data::dataset::Dataset;
use tombolo_models::checkpoint::write_atomically;

use crate::evaluation::{Compared, Evaluation, Protocol, means_of_folds};

/// A data set and what each model did on it.
pub struct OnDataset {
    /// The data set.
    pub dataset: Box<dyn Dataset + Send + Sync>,
    /// One a model, in the order of the models.
    pub evaluations: Vec<Evaluation>,
}

/// Models on data sets.
pub struct Comparison {
    /// What to call each model, short and distinct.
    names: Vec<String>,
    results: Vec<OnDataset>,
    /// Of each data set, each metric over the models.
    compared: Vec<Compared>,
    /// Of each model, the means over the folds of data sets.
    means: Vec<Vec<Value>>,
    protocol: Protocol,
}

impl Comparison {
    /// Compares what was measured: each metric of each data set over all models.
    ///
    /// # Errors
    /// If two models did not rank the same queries.
    pub fn new(
        models: &[PathBuf],
        results: Vec<OnDataset>,
        protocol: Protocol,
    ) -> anyhow::Result<Self> {
        let compared = |result: &OnDataset| Compared::new(&result.evaluations, protocol.seed);
        let compared = results.iter().map(compared).collect::<Result<_, _>>()?;
        let means = |model: usize| {
            let documents = results.iter().map(|OnDataset { dataset, evaluations }| {
                evaluations[model].document(dataset.as_ref(), &protocol)
            });
            means_of_folds(&documents.collect::<Vec<_>>())
        };
        let means = (0..models.len()).map(means).collect();
        Ok(Self { names: short_names(models), results, compared, means, protocol })
    }

    /// Writes all files into a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder or a file cannot be written.
    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let files = [
            ("results.json", serde_json::to_string_pretty(&json::document(self))? + "\n"),
            ("results.csv", csv::table(self)?),
            ("results.tex", latex::tables(self)),
            ("report.html", page::html(self)),
        ];
        for (name, text) in files {
            let path = dir.join(name);
            write_atomically(&path, |file| file.write_all(text.as_bytes()))
                .with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// Each data set with what its metrics are of the models.
    fn datasets(&self) -> impl Iterator<Item = (&OnDataset, &Compared)> {
        self.results.iter().zip(&self.compared)
    }

    /// Each mean over folds with the name of its model, the models of one data set together.
    fn means(&self) -> impl Iterator<Item = (&str, &Value)> {
        let each = self.means.iter().map(Vec::len).max().unwrap_or(0);
        (0..each).flat_map(move |place| {
            let names = self.names.iter().map(String::as_str);
            names.zip(&self.means).filter_map(move |(name, means)| Some((name, means.get(place)?)))
        })
    }
}

/// The last parts of the paths if they differ, else the paths.
fn short_names(models: &[PathBuf]) -> Vec<String> {
    let last = |path: &PathBuf| {
        path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into())
    };
    let short: Vec<String> = models.iter().map(last).collect();
    let distinct = (1..short.len()).all(|i| !short[..i].contains(&short[i]));
    if distinct { short } else { models.iter().map(|path| path.display().to_string()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_called_by_their_last_part_where_that_tells_them_apart() {
        let names =
            |paths: &[&str]| short_names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(names(&["runs/a", "photo-starter"]), ["a", "photo-starter"]);
        assert_eq!(names(&["one/a", "two/a"]), ["one/a", "two/a"]);
    }
}
