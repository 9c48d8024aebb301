use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tombolo_data::dataset::ImageSource;
use tombolo_data::image::{ImageError, Limits, Loader, LoaderConfig};

use super::pillow;

fn config(threads: usize, ahead: usize) -> LoaderConfig {
    LoaderConfig { threads, ahead, limits: Limits::default() }
}

fn quadrants(copies: usize) -> Vec<ImageSource> {
    vec![ImageSource::File(pillow("quadrants.webp")); copies]
}

#[test]
fn results_come_in_order_whatever_the_threads() {
    for threads in [1, 2, 5] {
        for ahead in [0, 1, 16] {
            let sources = ["rgb.png", "grey.png", "alpha.png"].map(pillow).map(ImageSource::File);
            let sources: Vec<_> = sources.into_iter().cycle().take(40).collect();
            let loader = Loader::new(sources, config(threads, ahead), |image| image.pixels.width);
            assert_eq!(loader.len(), 40);
            let found: Vec<_> = loader.map(|(index, width)| (index, width.unwrap())).collect();
            let widths = [53, 29, 32];
            let expected: Vec<_> = (0..40).map(|index| (index, widths[index % 3])).collect();
            assert_eq!(found, expected, "{threads} threads, {ahead} ahead");
        }
    }
}

#[test]
fn no_more_images_are_in_memory_than_allowed() {
    let prepared = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&prepared);
    let mut loader = Loader::new(quadrants(60), config(3, 4), move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    for yielded in 1..=20 {
        assert!(loader.next().is_some());
        std::thread::sleep(Duration::from_millis(2));
        let under_way = prepared.load(Ordering::SeqCst) - yielded;
        assert!(under_way <= 5, "{under_way} images are waiting");
    }
    drop(loader);
    assert!(prepared.load(Ordering::SeqCst) < 30, "dropping stops the threads");
}

#[test]
fn a_bad_image_is_named_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("note.jpg");
    fs::write(&text, "not a photo").unwrap();
    let gone = folder.path().join("gone.jpg");
    let mut sources = quadrants(2);
    sources.insert(1, ImageSource::File(text.clone()));
    sources.insert(2, ImageSource::File(gone.clone()));
    let results: Vec<_> = Loader::new(sources, config(2, 2), drop).map(|(_, r)| r).collect();
    assert!(results[0].is_ok() && results[3].is_ok());
    let message = |index: usize| results[index].as_ref().unwrap_err().to_string();
    assert_eq!(message(1), format!("{}: expected a picture, found text", text.display()));
    assert!(message(2).starts_with(&format!("cannot read {}", gone.display())), "{}", message(2));
}

#[test]
fn a_panic_while_preparing_spoils_one_image_only() {
    let seen = AtomicUsize::new(0);
    let loader = Loader::new(quadrants(6), config(1, 2), move |_| {
        assert_ne!(seen.fetch_add(1, Ordering::SeqCst), 2, "expected in this test");
    });
    let results: Vec<_> = loader.map(|(_, result)| result).collect();
    let failed: Vec<_> = (0..6).filter(|index| results[*index].is_err()).collect();
    assert_eq!(failed, [2]);
    assert!(matches!(results[2], Err(ImageError::Panicked { .. })));
}
