//! The entry of pictures: no panic, and no more memory than the limits allow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tombolo_data::image::{Limits, decode};

const LIMITS: Limits = Limits { max_pixels: 1 << 20, max_file_bytes: 1 << 20, max_decoded_bytes: 1 << 24 };

fuzz_target!(|bytes: &[u8]| {
    if let Ok(decoded) = decode(bytes, &LIMITS) {
        let pixels = &decoded.pixels;
        assert!(pixels.width * pixels.height <= 1 << 20);
        assert_eq!(pixels.rgb.len(), pixels.width * pixels.height * 3);
    }
});
