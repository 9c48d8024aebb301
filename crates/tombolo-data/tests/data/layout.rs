//! Data sets in a temporary folder, laid out as the real ones are.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tombolo_data::DataError;
use tombolo_data::dataset::{Dataset, Split, open};

/// A folder with empty photos `0.jpg`, `1.jpg` … and the files given.
pub fn folder(photos: usize, files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for photo in 0..photos {
        write(folder.path(), &format!("{photo}.jpg"), "");
    }
    for (name, content) in files {
        write(folder.path(), name, content);
    }
    folder
}

pub fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub fn spec(kind: &str, folder: &TempDir, name: &str) -> String {
    format!("{kind}:{}", folder.path().join(name).display())
}

pub fn data(spec: &str) -> Box<dyn Dataset + Send + Sync> {
    open(spec)
        .unwrap_or_else(|error| panic!("{spec}: {error} {:?}", std::error::Error::source(&error)))
}

pub fn error(spec: &str) -> DataError {
    open(spec).err().expect("bad input is refused")
}

/// The message with all causes, without the temporary folder.
pub fn message(error: &DataError, folder: &TempDir) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    message.replace(&format!("{}{}", folder.path().display(), std::path::MAIN_SEPARATOR), "")
}

pub fn texts(data: &dyn Dataset, image: &str) -> Vec<String> {
    let index = data.images().iter().position(|entry| entry.id == image).unwrap();
    data.texts()[data.texts_of(index)].iter().map(|text| text.text.clone()).collect()
}

pub fn split_of(data: &dyn Dataset, image: &str) -> Split {
    data.images().iter().find(|entry| entry.id == image).unwrap().split
}

/// A PNG of one pixel.
pub fn pixel(grey: u8) -> Vec<u8> {
    use image::ImageEncoder;
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.write_image(&[grey], 1, 1, image::ExtendedColorType::L8).unwrap();
    png
}

/// What was noticed without being left out.
pub fn notices(data: &dyn Dataset) -> Vec<String> {
    let notices = data.warnings().iter().filter(|warning| !warning.is_skip());
    notices.map(|warning| format!("{}: {}", warning.what, warning.reason)).collect()
}

/// What was left out.
pub fn skipped(data: &dyn Dataset) -> Vec<String> {
    let skipped = data.warnings().iter().filter(|warning| warning.is_skip());
    skipped.map(|warning| format!("{}: {}", warning.what, warning.reason)).collect()
}

/// A line of what `tombolo data` says.
pub fn fact(data: &dyn Dataset, name: &str) -> Option<String> {
    data.facts().iter().find(|fact| fact.name == name).map(|fact| fact.value.clone())
}

/// A folder of the data that is shared with us, if it is there.
pub fn shared(name: &str) -> Option<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let path = root.join("shared/data").join(name);
    if !path.exists() {
        eprintln!("{} is not there: its test is skipped", path.display());
        return None;
    }
    Some(path)
}
