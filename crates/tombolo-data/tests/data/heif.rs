use tombolo_data::image::{DecodeError, Limits, decode};

/// Files of `parity/heif`; `make.py` beside them says how they were made.
fn file(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/heif");
    std::fs::read(folder.join(name)).unwrap()
}

#[cfg(not(feature = "heif"))]
#[test]
fn without_the_feature_both_formats_are_named() {
    for (name, format) in [("quadrants.heic", "HEIC"), ("quadrants.avif", "AVIF")] {
        let error = decode(&file(name), &Limits::default()).unwrap_err();
        assert!(matches!(error, DecodeError::NotBuilt { format: found } if found == format));
        assert_eq!(
            error.to_string(),
            format!("{format} pictures are not read: this program was built without `heif`")
        );
        assert!(error.hint().contains("--features heif"));
    }
}

#[cfg(feature = "heif")]
mod with_libheif {
    use super::{DecodeError, Limits, decode, file};

    const RED: [u8; 3] = [220, 30, 30];
    const GREEN: [u8; 3] = [30, 200, 40];
    const BLUE: [u8; 3] = [40, 60, 220];
    const WHITE: [u8; 3] = [250, 250, 250];

    fn close(found: [u8; 3], expected: [u8; 3]) -> bool {
        found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 12)
    }

    fn refused(bytes: &[u8]) -> DecodeError {
        decode(bytes, &Limits::default()).unwrap_err()
    }

    #[test]
    fn pictures_are_upright_with_their_facts() {
        for (name, format) in
            [("quadrants.heic", "HEIC"), ("quadrants.avif", "AVIF"), ("turned.heic", "HEIC")]
        {
            let decoded = decode(&file(name), &Limits::default()).unwrap();
            let (pixels, metadata) = (decoded.pixels, decoded.metadata);
            assert_eq!((pixels.width, pixels.height), (64, 48), "{name}");
            let middles = [(16, 12), (48, 12), (16, 36), (48, 36)];
            for ((x, y), expected) in middles.into_iter().zip([RED, GREEN, BLUE, WHITE]) {
                assert!(close(pixels.at(x, y), expected), "{name} {x} {y}: {:?}", pixels.at(x, y));
            }
            assert_eq!((metadata.format, metadata.orientation), (format, 1));
            assert_eq!(metadata.taken_at.as_deref(), Some("2024-05-31T18:03:59"), "{name}");
            assert_eq!(metadata.camera.as_deref(), Some("Camera of the test"));
        }
    }

    #[test]
    fn transparency_is_laid_on_white_and_ten_bits_become_eight() {
        let pixels = decode(&file("alpha.avif"), &Limits::default()).unwrap().pixels;
        assert!(close(pixels.at(16, 12), RED), "{:?}", pixels.at(16, 12));
        assert!(close(pixels.at(48, 12), [255; 3]), "{:?}", pixels.at(48, 12));
    }

    #[test]
    fn limits_are_checked_against_the_header() {
        for name in ["quadrants.heic", "quadrants.avif"] {
            let few = Limits { max_pixels: 64 * 48 - 1, ..Limits::default() };
            let error = decode(&file(name), &few).unwrap_err();
            assert!(matches!(error, DecodeError::TooManyPixels { width: 64, height: 48, .. }));
            let small = Limits { max_decoded_bytes: 64 * 48 * 3 - 1, ..Limits::default() };
            assert!(matches!(decode(&file(name), &small), Err(DecodeError::TooManyBytes { .. })));
        }
        // Headers that promise more than our limit, more than libheif's, and nothing.
        for (side, expected) in [
            (30_000_u32, "expected at most 178956970 pixels, found 30000 × 30000"),
            (60_000, "the AVIF picture is larger than its decoder takes"),
            (0, "expected at least"),
        ] {
            let mut bytes = file("quadrants.avif");
            let at = bytes.windows(4).position(|four| four == b"ispe").unwrap() + 8;
            bytes[at..at + 4].copy_from_slice(&side.to_be_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&side.to_be_bytes());
            assert!(refused(&bytes).to_string().starts_with(expected), "{}", refused(&bytes));
        }
    }

    #[test]
    fn a_header_of_another_size_than_the_stream_is_refused() {
        let mut bytes = file("quadrants.avif");
        let at = bytes.windows(4).position(|four| four == b"ispe").unwrap() + 8;
        bytes[at..at + 4].copy_from_slice(&16_u32.to_be_bytes());
        let error = refused(&bytes);
        assert!(matches!(error, DecodeError::Damaged { format: "AVIF", .. }), "{error}");
    }

    #[test]
    fn files_that_are_cut_or_damaged_anywhere_are_refused_or_read() {
        for name in ["quadrants.heic", "quadrants.avif", "alpha.avif", "turned.heic"] {
            let whole = file(name);
            for cut in (12..whole.len()).step_by(7) {
                let error = refused(&whole[..cut]);
                assert!(!error.to_string().is_empty(), "{name} {cut}");
            }
            for at in (0..whole.len()).step_by(3) {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x55;
                // Some bytes may be anything; none may end the program.
                let _ = decode(&bytes, &Limits::default());
            }
        }
    }
}
