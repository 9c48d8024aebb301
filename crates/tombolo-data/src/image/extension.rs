//! What photos are called.

use std::path::Path;

use super::DecodeError;

/// Endings of photos' names; those from [`HEIF`] on are decoded with the feature `heif` alone.
const ALL: [&str; 11] =
    ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif"];

/// Where those of HEIF begin.
const HEIF: usize = 8;

/// Endings of the names of photos that this build decodes.
pub const EXTENSIONS: &[&str] = if cfg!(feature = "heif") { &ALL } else { ALL.split_at(HEIF).0 };

/// Whether a file's name says that it is a photo that this build decodes.
pub fn is_photo(path: &Path) -> bool {
    ends_in(path, EXTENSIONS)
}

/// Whether a file's name says that it is a photo, decoded or not.
pub fn is_called_a_photo(path: &Path) -> bool {
    ends_in(path, &ALL)
}

/// Why a photo of this name is not decoded by this build; none if it is, or if the name is no photo's.
pub fn not_built(path: &Path) -> Option<DecodeError> {
    let format = if ends_in(path, &["avif"]) { "AVIF" } else { "HEIC" };
    (is_called_a_photo(path) && !is_photo(path)).then_some(DecodeError::NotBuilt { format })
}

fn ends_in(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| extensions.iter().any(|known| known.eq_ignore_ascii_case(found)))
}
