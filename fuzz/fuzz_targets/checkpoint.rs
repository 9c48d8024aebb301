//! The readers of safetensors and of PyTorch's files: no panic, and nothing run that a file names.
//!
//! The first byte says what follows: a safetensors file, a PyTorch file, or the pickle of one, around which a sound archive is made:
//! a check sum would keep changed ones from the machine that reads pickles. `seeds.py` made the files to begin with.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use tombolo_models::checkpoint;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("weights");
    match kind % 3 {
        0 => {
            std::fs::write(&path, bytes).expect("a file");
            let _ = checkpoint::safetensors::read_metadata(&path);
            drop(checkpoint::safetensors::read(&path));
        }
        1 => {
            std::fs::write(&path, bytes).expect("a file");
            drop(checkpoint::pth::read(&path));
        }
        _ => {
            std::fs::write(&path, archive(bytes)).expect("a file");
            drop(checkpoint::pth::read(&path));
        }
    }
});

/// A file as PyTorch writes it, with this pickle and six storages of 64 bytes.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut put = |name: &str, bytes: &[u8]| {
        archive.start_file(name, stored).and_then(|()| Ok(archive.write_all(bytes)?)).expect("memory");
    };
    put("weights/data.pkl", pickle);
    for storage in 0..6 {
        put(&format!("weights/data/{storage}"), &[storage; 64]);
    }
    archive.finish().expect("memory").into_inner()
}
