use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes of a caption file that are read: far more than a caption has.
const MAX_BYTES: u64 = 64 << 10;

/// Where a caption comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    None,
    /// A `.txt` beside the photo.
    File(PathBuf),
    Given(String),
}

impl Source {
    /// The caption, if there is one: of a file, the first line. Bytes that are no UTF-8 are
    /// replaced, and a file that cannot be read is no caption.
    pub(super) fn read(&self) -> Option<String> {
        let caption = match self {
            Self::None => return None,
            Self::Given(caption) => caption.clone(),
            Self::File(path) => first_line(path).ok()?,
        };
        let caption = caption.trim_start_matches('\u{feff}').trim();
        (!caption.is_empty()).then(|| caption.to_owned())
    }
}

fn first_line(path: &Path) -> std::io::Result<String> {
    let mut line = Vec::new();
    BufReader::new(File::open(path)?.take(MAX_BYTES)).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_without_its_edges() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Source::File(path.clone()).read()
        };
        assert_eq!(read("\u{feff} A dog.\r\nSecond".as_bytes()).as_deref(), Some("A dog."));
        assert_eq!(read(b"caf\xe9").as_deref(), Some("caf\u{fffd}"));
        assert_eq!(read(b"\nsecond"), None);
        assert_eq!(Source::File(dir.path().join("none.txt")).read(), None);
    }
}
