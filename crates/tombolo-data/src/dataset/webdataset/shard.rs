//! One pass over a tar file.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::sample::Sample;
use crate::DataError;
use crate::dataset::collection::Builder;
use crate::dataset::{ImageSource, Split};
use crate::image::is_photo;

/// The longest caption or JSON that is read.
const LONGEST_TEXT: u64 = 16 << 20;

/// Adds the samples of a shard, whose ids begin with `name`. Returns how many members it passed over.
///
/// # Errors
/// [`DataError::Shard`] if it is no tar file or cut off, [`DataError::Json`] with the member.
pub(super) fn read(
    (path, name): (&Path, &str),
    split: Option<Split>,
    builder: &mut Builder,
) -> Result<usize, DataError> {
    let broken = |source| DataError::Shard { path: path.to_owned(), source };
    let file = File::open(path).map_err(broken)?;
    let length = file.metadata().map_err(broken)?.len();
    let mut archive = tar::Archive::new(BufReader::new(file));
    let (key, sample, ignored) = (String::new(), None, 0);
    let mut reader = Reader { path, name, split, builder, key, sample, ignored };
    for member in archive.entries_with_seek().map_err(broken)? {
        let mut member = member.map_err(broken)?;
        if !member.header().entry_type().is_file() {
            continue;
        }
        let end = member.raw_file_position().checked_add(member.size());
        if end.is_none_or(|end| end > length) {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        reader.add(&name, &mut member)?;
    }
    reader.flush()?;
    Ok(reader.ignored)
}

type Member<'a> = tar::Entry<'a, BufReader<File>>;

struct Reader<'a> {
    path: &'a Path,
    /// The shard's own among all of them.
    name: &'a str,
    split: Option<Split>,
    builder: &'a mut Builder,
    /// Of the sample that is being gathered; its members lie side by side.
    key: String,
    sample: Option<Sample>,
    ignored: usize,
}

impl Reader<'_> {
    fn add(&mut self, name: &str, member: &mut Member) -> Result<(), DataError> {
        let Some((key, extension)) = divide(name) else {
            self.ignored += 1;
            return Ok(());
        };
        if self.key != key {
            self.flush()?;
            key.clone_into(&mut self.key);
        }
        let mut sample = self.sample.take().unwrap_or_default();
        sample.place.get_or_insert(member.raw_header_position());
        let extension = extension.to_ascii_lowercase();
        match extension.as_str() {
            "txt" => sample.captions = self.text(name, member)?.map(|text| lines(&text)),
            "cls" => sample.label = self.text(name, member)?,
            "json" => {
                if let Some(text) = self.text(name, member)? {
                    sample.read_json(&self.path.join(name), &text)?;
                }
            }
            _ if sample.image.is_none()
                && is_photo(Path::new(name))
                && !extension.contains('.') =>
            {
                sample.image = Some(ImageSource::Member {
                    archive: self.path.to_owned(),
                    name: name.to_owned(),
                    offset: member.raw_file_position(),
                    length: member.size(),
                });
            }
            _ => self.ignored += 1,
        }
        self.sample = Some(sample);
        Ok(())
    }

    /// A member that is text; one that is too long is left out.
    fn text(&mut self, name: &str, member: &mut Member) -> Result<Option<String>, DataError> {
        if member.size() > LONGEST_TEXT {
            let reason = format!("expected at most {LONGEST_TEXT} bytes, found {}", member.size());
            self.builder.skip_in(self.path, name.to_owned(), reason);
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let read = member.read_to_end(&mut bytes);
        read.map_err(|source| DataError::Shard { path: self.path.to_owned(), source })?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Adds the sample that is complete now.
    fn flush(&mut self) -> Result<(), DataError> {
        let Some(sample) = self.sample.take() else { return Ok(()) };
        sample.add_to(self.builder, (self.path, self.name), &self.key, self.split)
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// A member's key, which is its path up to the first dot of the file name, and what follows that dot.
fn divide(name: &str) -> Option<(&str, &str)> {
    let name = name.strip_prefix("./").unwrap_or(name);
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = file + name[file..].find('.')?;
    // Hidden files, such as macOS leaves behind.
    (dot > file).then(|| (&name[..dot], &name[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::divide;

    #[test]
    fn a_key_ends_at_the_first_dot_of_the_file_name() {
        assert_eq!(divide("./v1.0/a.seg.png"), Some(("v1.0/a", "seg.png")));
        assert_eq!(divide("000001.jpg"), Some(("000001", "jpg")));
        assert_eq!(divide("d/._a.jpg"), None);
        assert_eq!(divide("README"), None);
    }
}
