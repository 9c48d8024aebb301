//! What can be wrong with a data set.

use std::fmt;
use std::path::PathBuf;

/// Where in a file something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Element of the JSON array `images`, counted from 0.
    Entry(usize),
    /// Element of the JSON array `annotations`, counted from 0.
    Annotation(usize),
    /// Line of a text file, counted from 1.
    Line(u64),
    /// Where in a file something begins, counted from 0.
    Byte(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(index) => write!(f, "images[{index}]"),
            Self::Annotation(index) => write!(f, "annotations[{index}]"),
            Self::Byte(offset) => write!(f, "byte {offset}"),
            Self::Line(line) => write!(f, "line {line}"),
        }
    }
}

/// Why a data set could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The word before the colon names no format.
    #[error("unknown data set `{kind}`: expected one of {}", known.join(", "))]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// What there is.
        known: &'static [&'static str],
        /// What to do about it.
        hint: String,
    },
    /// A format that reads from disk was given no path.
    #[error("data set `{kind}` needs a path: expected `{expected}`")]
    MissingPath {
        /// The format.
        kind: &'static str,
        /// How it is written.
        expected: &'static str,
    },
    /// What follows a path is no option of the format.
    #[error("data set `{kind}` has no option `{option}`: expected {}", expected_options(known))]
    UnknownOption {
        /// The format.
        kind: &'static str,
        /// What was asked for.
        option: String,
        /// What there is.
        known: &'static [&'static str],
    },
    /// An option holds what it must not.
    #[error("option `{option}`: expected {expected}, found `{found}`")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// What it may hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// The names of shards cannot be read.
    #[error("cannot read the pattern `{pattern}`: {reason}")]
    InvalidPattern {
        /// As it was written.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A shard is no tar file, or is cut off.
    #[error("{}: not a whole tar file", path.display())]
    Shard {
        /// The shard.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file should have a line for each line of another.
    #[error("{}: expected {expected} lines, as {} has, found {found}", path.display(), list.display())]
    Lines {
        /// The file.
        path: PathBuf,
        /// The other.
        list: PathBuf,
        /// Lines of the other.
        expected: usize,
        /// Lines of the file.
        found: usize,
    },
    /// `emoji:LANG` names a language that the emoji crate has, but this program was built without.
    #[error("emoji texts in `{language}` are not built in: this program has {}", available.join(", "))]
    LanguageNotBuilt {
        /// What was asked for.
        language: String,
        /// What was compiled in.
        available: &'static [&'static str],
        /// Whether a `lang-…` feature of this crate adds it.
        feature: bool,
    },
    /// A file or folder could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A text file is in another encoding.
    #[error("{}, line {line}: expected UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Where the first byte is that is none, from 1.
        line: usize,
    },
    /// A folder holds nothing that the format expects.
    #[error("{}: expected {expected}, found none of them", path.display())]
    NotFound {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        expected: String,
    },
    /// A file is not the JSON it should be.
    #[error("{}: not the expected JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What and where; its message ends in line and column.
        source: serde_json::Error,
        /// What it should look like.
        shape: &'static str,
    },
    /// A line is not the JSON it should be.
    #[error("{}, line {line}: not the expected JSON object", path.display())]
    JsonLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong within the line.
        source: serde_json::Error,
    },
    /// A file is not well-formed CSV.
    #[error("{}: not well-formed CSV", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What and where.
        source: csv::Error,
    },
    /// A CSV header lacks a column.
    #[error("{}: expected a column `{expected}`, found {}", path.display(), found.join(", "))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column, with its other names.
        expected: String,
        /// The header as it is.
        found: Vec<String>,
    },
    /// An entry lacks a field.
    #[error("{}, {place}: field `{field}` is missing", path.display())]
    MissingField {
        /// The file.
        path: PathBuf,
        /// The entry.
        place: Place,
        /// The field.
        field: &'static str,
    },
    /// A field holds what it must not.
    #[error("{}, {place}, field `{field}`: expected {expected}, found `{found}`", path.display())]
    InvalidField {
        /// The file.
        path: PathBuf,
        /// The entry.
        place: Place,
        /// The field.
        field: &'static str,
        /// What it may hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// Two images have one id.
    #[error("{}, {place}: image `{id}` was already named at {first}", path.display())]
    DuplicateImage {
        /// The file.
        path: PathBuf,
        /// The second of them.
        place: Place,
        /// The first of them.
        first: Place,
        /// Their id.
        id: String,
    },
    /// No image that the data set names is there.
    #[error("{}: none of its {named} images is there; looked in {}", path.display(), looked_in.display())]
    NoImages {
        /// The data set.
        path: PathBuf,
        /// How many images it names.
        named: usize,
        /// The folder of the first of them.
        looked_in: PathBuf,
    },
    /// A split that was asked for holds no image.
    #[error("split `{split}` of {dataset} is empty: expected at least one image, found {found}")]
    EmptySplit {
        /// The data set.
        dataset: String,
        /// The split.
        split: crate::dataset::Split,
        /// The sizes of all splits.
        found: String,
    },
}

fn expected_options(known: &[&str]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

impl DataError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownKind { hint, .. } => hint.clone(),
            Self::MissingPath { expected, .. } => {
                format!("write the path after the colon: {expected}")
            }
            Self::UnknownOption { known: [], .. } => "write the path alone".into(),
            Self::UnknownOption { .. } => {
                "options follow the path, as in `coco:DIR,fold=2,fg=FILE`".into()
            }
            Self::InvalidOption { option: "10k", .. } => {
                "NUS-WIDE-10K needs the official list of concepts".into()
            }
            Self::InvalidOption { .. } => "correct that option".into(),
            Self::InvalidPattern { .. } => {
                "write it like `webdataset:DIR/{0000..0009}.tar` or `webdataset:DIR/*.tar`".into()
            }
            Self::Shard { .. } => {
                "fetch it again; shards that are compressed must be unpacked to plain .tar".into()
            }
            Self::Lines { .. } => "both must be of the same copy of the data set".into(),
            Self::LanguageNotBuilt { language, feature: true, .. } => {
                format!("build with `--features lang-{language}`")
            }
            Self::LanguageNotBuilt { .. } => {
                "languages are written like `emoji:de,fr`; docs list those that can be built in"
                    .into()
            }
            Self::Read { .. } | Self::NotFound { .. } => "check the path".into(),
            Self::Json { shape, .. } => format!("expected {shape}"),
            Self::JsonLine { .. } => {
                "expected {\"image\":…,\"caption\":…} or {\"image\":…,\"captions\":[…]} on each line"
                    .into()
            }
            Self::Csv { .. } => {
                "every row needs as many fields as the header; quote captions that hold commas"
                    .into()
            }
            Self::NotUtf8 { .. } => "save it as UTF-8 (in spreadsheets: CSV UTF-8)".into(),
            Self::MissingColumn { found, .. } if found.len() == 1 && found[0].contains(';') => {
                "columns are separated by commas, in a .tsv by tabs; this file has semicolons".into()
            }
            Self::MissingColumn { .. } => "name the columns in the first line of the file".into(),
            Self::MissingField { field, .. } => format!("add `{field}` to that entry or remove it"),
            Self::InvalidField { .. } => "correct that field".into(),
            Self::DuplicateImage { .. } => "give each image once, with all its captions".into(),
            Self::NoImages { .. } => {
                "paths are relative to the file that names them; flickr8k, flickr30k, coco, nuswide and karpathy also take \
                 `,images=DIR` after the path"
                    .into()
            }
            Self::EmptySplit { .. } => {
                "`eval` takes another with `--split`; training needs images in `train`".into()
            }
        })
    }
}
