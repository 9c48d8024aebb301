use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::checkpoint::PickleError;

/// Golden files of `parity/pth/make.py`, which says how they were made; values are compared exactly.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/pth").join(name)
}

fn read_bytes(bytes: &[u8]) -> Result<Tensors, CheckpointError> {
    decode(Path::new("x.pth"), bytes)
}

/// A legacy file with the given state_dict pickle, list of keys and rest.
fn legacy(state: &[u8], keys: &[u8], rest: &[u8]) -> Vec<u8> {
    let head = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}X\r\x00\x00\x00little_endian\x88s.";
    [head, state, keys, rest].concat()
}

/// The pickle of {"w": a tensor of `shape` and `stride` (pickled tuples) in a float storage "0" of `length` elements}.
fn one_tensor(length: u32, offset: u8, shape: &[u8], stride: &[u8]) -> Vec<u8> {
    let length = length.to_le_bytes();
    [
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ",
        &length[..],
        b"NtQK",
        &[offset],
        shape,
        stride,
        b"\x89NtRs.",
    ]
    .concat()
}

const KEYS: &[u8] = b"\x80\x02]X\x01\x00\x00\x000a.";

fn storage(elements: &[f32]) -> Vec<u8> {
    let mut bytes = (elements.len() as u64).to_le_bytes().to_vec();
    bytes.extend(elements.iter().flat_map(|element| element.to_le_bytes()));
    bytes
}

#[test]
fn both_forms_agree_with_pytorch() {
    let expected = crate::checkpoint::safetensors::read(&golden("expected.safetensors")).unwrap();
    assert_eq!(expected.len(), 16);
    for form in ["legacy.pth", "zip.pth"] {
        assert_eq!(read(&golden(form)).unwrap(), expected, "{form}");
        assert_eq!(crate::checkpoint::read(&golden(form)).unwrap(), expected, "{form}");
    }
}

#[test]
fn a_minimal_file_is_read() {
    let state = one_tensor(6, 1, b"K\x02K\x02\x86", b"K\x03K\x01\x86");
    let tensors =
        read_bytes(&legacy(&state, KEYS, &storage(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))).unwrap();
    assert_eq!(tensors["w"], HostTensor { shape: vec![2, 2], data: vec![1.0, 2.0, 4.0, 5.0] });
}

#[test]
fn views_beyond_their_storage_are_refused() {
    let data = storage(&[0.0; 6]);
    let shapes: [(&[u8], &[u8]); 5] = [
        (b"K\x02K\x02\x86", b"K\x05K\x01\x86"),
        (b"K\x07\x85", b"K\x01\x85"),
        (b"K\x02\x85", b"K\x01K\x01\x86"),
        (b"J\xff\xff\xff\xff\x85", b"K\x01\x85"),
        (b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85", b"K\x00\x85"),
    ];
    for (shape, stride) in shapes {
        assert!(read_bytes(&legacy(&one_tensor(6, 1, shape, stride), KEYS, &data)).is_err());
    }
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_allocated() {
    let state = one_tensor(i32::MAX as u32, 0, b"J\xff\xff\xff\x7f\x85", b"K\x01\x85");
    let data = u64::from(i32::MAX as u32).to_le_bytes();
    let error = read_bytes(&legacy(&state, KEYS, &data)).unwrap_err();
    assert!(matches!(error, CheckpointError::Truncated { .. }), "{error}");
}

#[test]
fn code_is_refused_by_name_and_never_run() {
    let folder = tempfile::tempdir().unwrap();
    let proof = folder.path().join("proof");
    let command = format!("touch {}", proof.display());
    let mut state = b"\x80\x02cos\nsystem\nX".to_vec();
    state.extend(u32::try_from(command.len()).unwrap().to_le_bytes());
    state.extend(command.as_bytes());
    state.extend(b"\x85R.");
    let error = read_bytes(&legacy(&state, KEYS, b"")).unwrap_err();
    assert!(error.to_string().contains("`os.system`"), "{error}");
    assert!(!proof.exists());
    let by_stack = b"\x80\x04\x8c\x05posix\x8c\x06system\x93.";
    assert!(
        read_bytes(&legacy(by_stack, KEYS, b""))
            .unwrap_err()
            .to_string()
            .contains("`posix.system`")
    );
}

#[test]
fn a_pickle_of_more_than_tensors_is_refused_with_what_to_save() {
    // {"epoch": 3, "state_dict": {}}
    let state = b"\x80\x02}(X\x05\x00\x00\x00epochK\x03X\x0a\x00\x00\x00state_dict}u.";
    let error = read_bytes(&legacy(state, b"\x80\x02].", b"")).unwrap_err();
    assert!(error.to_string().ends_with("found something else at `epoch`"), "{error}");
    assert!(error.hint().unwrap().contains(r#"torch.load(FILE)["state_dict"]"#), "{error:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    fs::write(&path, b"\x80\x04}\x94.").unwrap();
    let error = crate::checkpoint::read(&path).unwrap_err();
    assert!(error.to_string().ends_with("found a pickle of something else"), "{error}");
}

#[test]
fn other_instructions_are_refused_by_number() {
    // INST, OBJ, NEWOBJ, NEWOBJ_EX, EXT1, PERSID, INT, POP, DUP
    for code in [b'i', b'o', 0x81, 0x92, 0x82, b'P', b'I', b'0', b'2'] {
        let error = read_bytes(&legacy(&[0x80, 2, code, b'.'], KEYS, b"")).unwrap_err();
        assert!(
            matches!(error, CheckpointError::Pickle { source: PickleError::Instruction { found, .. }, .. } if found == code),
            "{error}"
        );
        assert!(error.hint().is_some());
    }
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let mut state = vec![0x80, 2, b')'];
    state.extend(vec![0x85; 1_000_000]);
    state.push(b'.');
    assert!(read_bytes(&legacy(&state, KEYS, b"")).is_err());
}

#[test]
fn every_truncation_is_refused() {
    for form in ["legacy.pth", "zip.pth"] {
        let whole = fs::read(golden(form)).unwrap();
        for length in 0..whole.len() {
            assert!(read_bytes(&whole[..length]).is_err(), "{form} cut at {length}");
        }
    }
}

proptest! {
    #[test]
    fn mutations_never_panic(
        legacy_form in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = fs::read(golden(if legacy_form { "legacy.pth" } else { "zip.pth" })).unwrap();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read_bytes(&bytes);
    }

    #[test]
    fn noise_never_panics(state in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_bytes(&legacy(&state, KEYS, b""));
        let _ = read_bytes(&state);
    }
}
