//! A process that indexes is killed at twenty moments; each time the library must open and hold all
//! that was committed, with the right vectors.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use tombolo_search::{IndexOptions, Library, LibraryWriter, Progress};

use crate::mean_colour::{MeanColour, paint, vector_of};

const DIR: &str = "TOMBOLO_TEST_KILLED_DIR";
const PHOTOS: usize = 120;
const KILLS: usize = 20;

fn colour(photo: usize) -> [u8; 3] {
    [(photo * 37 % 251) as u8, (photo * 101 % 241) as u8, (photo + 1) as u8]
}

fn index(dir: &Path, encoder: &MeanColour, report: &mut dyn FnMut(&Progress)) {
    let library = dir.join("library");
    let mut writer =
        LibraryWriter::open_or_create_with_segments(&library, encoder.fingerprint, 3, 16).unwrap();
    writer.index(&[dir.join("photos")], encoder, &IndexOptions::default(), report).unwrap();
}

/// The process that is killed: this same test program, run for this test alone. In an ordinary
/// run there is nothing to index and it does nothing.
#[test]
fn child_that_indexes() {
    if let Some(dir) = std::env::var_os(DIR) {
        let dir = PathBuf::from(dir);
        let encoder = MeanColour { pause: Duration::from_millis(2), ..Default::default() };
        index(&dir, &encoder, &mut |progress| {
            // On a line of its own: the harness prints the test's name without an end.
            writeln!(std::io::stdout(), "\ncommitted {}", progress.done).unwrap();
            std::io::stdout().flush().unwrap();
        });
    }
}

fn spawn(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_that_indexes", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// How much the child said was committed, time after time.
fn told(child: &mut Child) -> impl Iterator<Item = usize> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let count = |line: String| line.strip_prefix("committed ")?.parse().ok();
    lines.map_while(Result::ok).filter_map(count)
}

/// Photos in the library, each with its right vector.
fn check(dir: &Path) -> usize {
    // A kill before the manifest leaves no library yet; the next writer must make it all the same.
    drop(LibraryWriter::open_or_create(&dir.join("library"), "mean-colour", 3).unwrap());
    let library = Library::open(&dir.join("library")).unwrap();
    let items = library.items_after("", 2 * PHOTOS).unwrap();
    for item in &items {
        let photo = Path::new(&item.path).file_stem().unwrap().to_str().unwrap();
        let expected = vector_of(colour(photo.parse().unwrap()));
        assert_eq!(library.vector_of(item).unwrap(), expected, "{}", item.path);
    }
    assert_eq!(
        library.search(&[1.0, 0.0, 0.0], &Default::default()).unwrap().len(),
        items.len().min(10)
    );
    items.len()
}

#[test]
fn kills_at_any_moment_lose_nothing_committed() {
    let dir = tempfile::tempdir().unwrap();
    for photo in 0..PHOTOS {
        paint(&dir.path().join("photos").join(format!("{photo:03}.png")), colour(photo));
    }
    let mut whole_run = spawn(dir.path());
    assert_eq!(told(&mut whole_run).last(), Some(PHOTOS));
    assert!(whole_run.wait().unwrap().success());

    let mut partial = 0;
    for kill in 0..KILLS {
        std::fs::remove_dir_all(dir.path().join("library")).unwrap();
        let mut child = spawn(dir.path());
        let mut told = told(&mut child);
        // Spread over the run, in no order and with some jitter.
        let until = PHOTOS * (kill * 7 % KILLS) / KILLS;
        let reached = if until > 0 { told.find(|&committed| committed >= until) } else { None };
        std::thread::sleep(Duration::from_millis(kill as u64 * 13 % 10));
        child.kill().unwrap();
        child.wait().unwrap();
        let told = told.last().or(reached).unwrap_or(0);
        let held = check(dir.path());
        assert!(held >= told, "{told} were committed, {held} are there");
        partial += usize::from(held > 0 && held < PHOTOS);

        let encoder = MeanColour::default();
        index(dir.path(), &encoder, &mut |_| {});
        assert_eq!(encoder.encoded.load(Ordering::Relaxed), PHOTOS - held, "what was held is kept");
        assert_eq!(check(dir.path()), PHOTOS);
    }
    assert!(partial >= 5, "only {partial} of {KILLS} kills fell into the indexing");
}
