use super::server::{COMMIT, Hub};
use super::*;

const NAME: &str = "hf:owner/name";

fn weights() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn hash(bytes: &[u8]) -> String {
    installed::copy_hashed(bytes, std::io::sink()).unwrap().1
}

fn hub() -> Hub {
    let weights = weights();
    Hub::start(&[
        ("config.json", b"{}", "0000000000000000000000000000000000000001"),
        ("model.safetensors", &weights, &hash(&weights)),
        ("1_Pooling/config.json", b"{\"pool\":1}", "0000000000000000000000000000000000000002"),
        ("tf_model.h5", b"not wanted", "0000000000000000000000000000000000000003"),
    ])
}

fn parse() -> Entry {
    Entry::parse(NAME).unwrap()
}

#[test]
fn a_repository_is_installed_whole() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    let store = store(folder.path(), &hub.address);
    assert!(store.find(NAME).is_none());
    let mut seen = Vec::new();
    let mut watch =
        |progress: Progress<'_>| seen.push((progress.step, progress.bytes, progress.total));
    let installed = store.ensure(NAME, false, &mut watch).unwrap();
    assert_eq!(std::fs::read(installed.weights().unwrap()).unwrap(), weights());
    assert_eq!(std::fs::read(installed.file("1_Pooling/config.json")).unwrap(), b"{\"pool\":1}");
    assert!(!installed.file("tf_model.h5").exists());
    assert_eq!(installed.manifest.version, COMMIT);
    installed.verify().unwrap();
    let total = 400_000 + 2 + 10;
    assert!(seen.contains(&(Step::Downloading, total, Some(total))), "{seen:?}");
    let downloading: Vec<_> = seen.iter().filter(|(step, ..)| *step == Step::Downloading).collect();
    assert!(downloading.is_sorted_by_key(|(_, bytes, _)| *bytes), "{seen:?}");
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(store.find(NAME).unwrap().fingerprint(), installed.fingerprint());
    assert!(hub.state.lock().unwrap().asked.iter().all(|(.., token)| token == "Bearer secret"));
    let asked = hub.state.lock().unwrap().asked.len();
    store.ensure(NAME, false, &mut quiet).unwrap();
    assert_eq!(hub.state.lock().unwrap().asked.len(), asked, "an installed model needs no network");
}

#[test]
fn weights_in_several_files_and_the_layout_of_open_clip_come_whole() {
    let part = weights();
    let etag = |digit: u8| format!("{:040}", digit);
    let (one, two, three, four) = (etag(1), etag(2), etag(3), etag(4));
    let hub = Hub::start(&[
        ("config.json", b"{}", &one),
        ("merges.txt", b"a b", &two),
        ("model.safetensors.index.json", b"{\"weight_map\":{}}", &three),
        ("model-00001-of-00002.safetensors", &part, &hash(&part)),
        ("model-00002-of-00002.safetensors", &part, &hash(&part)),
        ("pytorch_model.bin", b"not wanted", &four),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let installed = store(folder.path(), &hub.address).ensure(NAME, false, &mut quiet).unwrap();
    for name in
        ["merges.txt", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    {
        assert!(installed.file(name).exists(), "{name}");
    }
    assert!(!installed.file("pytorch_model.bin").exists());

    let hub = Hub::start(&[
        ("open_clip_config.json", b"{}", &one),
        ("open_clip_model.safetensors", &part, &hash(&part)),
        ("vocab.json", b"{}", &two),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let installed = store(folder.path(), &hub.address).ensure(NAME, false, &mut quiet).unwrap();
    for name in ["open_clip_config.json", "open_clip_model.safetensors", "vocab.json"] {
        assert!(installed.file(name).exists(), "{name}");
    }
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    let store = store(folder.path(), &hub.address);
    hub.state.lock().unwrap().files.remove("1_Pooling/config.json");
    hub.cut(&[usize::MAX, 150_000, 100_000]);
    let installed = store.ensure(NAME, false, &mut quiet).unwrap();
    installed.verify().unwrap();
    assert_eq!(std::fs::read(installed.weights().unwrap()).unwrap(), weights());
    assert_eq!(hub.ranges("model.safetensors"), ["bytes=0-", "bytes=150000-", "bytes=250000-"]);
}

#[test]
fn a_later_pull_resumes_an_earlier_one() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    let store = store(folder.path(), &hub.address);
    hub.state.lock().unwrap().files.remove("1_Pooling/config.json");
    hub.cut(&[usize::MAX, 150_000, 0, 0, 0]);
    let error = store.ensure(NAME, false, &mut quiet).unwrap_err();
    assert!(matches!(error, PullError::Hub { .. }), "{error}");
    assert!(error.hint().unwrap().contains("what was received is kept"), "{error}");
    assert!(store.find(NAME).is_none());
    store.ensure(NAME, false, &mut quiet).unwrap().verify().unwrap();
    assert_eq!(hub.ranges("model.safetensors").last().unwrap(), "bytes=150000-");
}

#[test]
fn what_does_not_exist_is_a_clear_error() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    let store = store(folder.path(), &hub.address);
    let error = store.ensure("hf:owner/other", false, &mut quiet).unwrap_err();
    assert!(error.to_string().contains("hf:owner/other@main"), "{error}");
    assert!(error.to_string().contains("404"), "{error}");
    assert!(error.hint().unwrap().contains("names of repository and revision"));
}

#[test]
fn a_repository_without_weights_says_what_it_has() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    hub.state.lock().unwrap().files.remove("model.safetensors");
    let error = store(folder.path(), &hub.address).ensure(NAME, false, &mut quiet).unwrap_err();
    assert!(error.to_string().contains("tf_model.h5"), "{error}");
    assert!(matches!(error, PullError::Repository { .. }));
}

#[test]
fn content_that_is_not_what_the_hub_announces_is_refused_and_removed() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    let store = store(folder.path(), &hub.address);
    let announced = hash(&weights());
    hub.serve("model.safetensors", &[7; 400_000], &announced);
    let error = store.ensure(NAME, false, &mut quiet).unwrap_err();
    assert!(
        matches!(&error, PullError::Checksum { expected, .. } if *expected == announced),
        "{error}"
    );
    hub.serve("model.safetensors", &weights(), &announced);
    store.ensure(NAME, false, &mut quiet).unwrap().verify().unwrap();
}

#[test]
fn a_commit_whose_content_changed_since_the_first_pull_is_refused() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    let store = store(folder.path(), &hub.address);
    store.ensure(NAME, false, &mut quiet).unwrap();
    hub.serve("config.json", b"[]", "0000000000000000000000000000000000000009");
    fs::remove_dir_all(folder.path().join("huggingface")).unwrap();
    let error = store.pull(&parse(), false, &mut quiet).unwrap_err();
    assert!(matches!(error, PullError::Checksum { .. }), "{error}");
    store.find(NAME).expect("the first pull is still installed").verify().unwrap();
}

#[test]
fn no_network_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing listens there.
    let store = store(folder.path(), "http://127.0.0.1:1");
    let error = store.ensure(NAME, false, &mut quiet).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert!(error.hint().unwrap().contains("is there a network?"));
}

#[test]
fn offline_uses_the_shared_cache_and_nothing_else() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    let store = store(folder.path(), &hub.address);
    let error = store.ensure(NAME, true, &mut quiet).unwrap_err();
    assert!(matches!(error, PullError::Offline { .. }), "{error}");
    assert!(error.hint().unwrap().contains("tombolo pull hf:owner/name"));
    let first = store.ensure(NAME, false, &mut quiet).unwrap();
    fs::remove_dir_all(&first.dir).unwrap();
    let asked = hub.state.lock().unwrap().asked.len();
    let second = store.ensure(NAME, true, &mut quiet).unwrap();
    assert_eq!(second.fingerprint(), first.fingerprint());
    assert_eq!(hub.state.lock().unwrap().asked.len(), asked);
}

#[test]
fn a_damaged_model_is_not_found_and_is_pulled_again() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    let store = store(folder.path(), &hub.address);
    let installed = store.ensure(NAME, false, &mut quiet).unwrap();
    // The file is replaced, not changed: the cache has the same bytes under another name.
    fs::remove_file(installed.file("model.safetensors")).unwrap();
    fs::write(installed.file("model.safetensors"), b"short").unwrap();
    assert!(store.find(NAME).is_none());
    let error = store.ensure(NAME, true, &mut quiet).unwrap_err();
    assert!(matches!(error, PullError::Damaged { .. }), "{error}");
    store.ensure(NAME, false, &mut quiet).unwrap().verify().unwrap();
}

#[test]
fn a_hub_cannot_name_a_place_to_write_to() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(&[
        ("config.json", b"{}", "../../../../../planted"),
        ("model.safetensors", b"x", "0000000000000000000000000000000000000001"),
    ]);
    let home = folder.path().join("a/b/c/d/e/f");
    let error = store(&home, &hub.address).ensure(NAME, false, &mut quiet).unwrap_err();
    assert!(error.to_string().contains("an etag of letters and digits"), "{error}");
    let planted = everything_below(folder.path()).into_iter().any(|path| path.ends_with("planted"));
    assert!(!planted, "nothing is written outside of the cache");
}

fn everything_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let below = entries.flat_map(|entry| {
        let path = entry.path();
        let inside = if path.is_dir() { everything_below(&path) } else { Vec::new() };
        inside.into_iter().chain([path])
    });
    below.collect()
}
