//! The readers of safetensors and of PyTorch's files: no panic, and nothing run that a file names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tombolo_models::checkpoint;

fuzz_target!(|input: (bool, &[u8])| {
    let (is_safetensors, bytes) = input;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(if is_safetensors { "a.safetensors" } else { "a.pth" });
    std::fs::write(&path, bytes).expect("a file");
    match is_safetensors {
        true => drop(checkpoint::safetensors::read(&path)),
        false => drop(checkpoint::pth::read(&path)),
    }
});
