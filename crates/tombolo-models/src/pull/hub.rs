//! Fetches a repository from the Hugging Face hub, through its cache on this machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use super::error::status;
use super::installed::{Collected, FileRecord, sha256};
use super::{OnProgress, PullError, Step, Store, create, report};
use crate::catalogue::{Entry, Source};
use crate::checkpoint::write_atomically;

/// Files that a model needs besides its weights, where the repository has them.
const WANTED: [&str; 13] = [
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "LICENSE",
    "README.md",
];

/// Settings and weights that go together, best first.
const LAYOUTS: [(&str, &[&str]); 2] = [
    ("config.json", &["model.safetensors", INDEX, "model.pth", "pytorch_model.bin"]),
    ("open_clip_config.json", &["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]),
];

/// The list of the files that large weights are cut into.
const INDEX: &str = "model.safetensors.index.json";

/// How often a broken connection is taken up again; an attempt that brought bytes is not counted.
const ATTEMPTS: usize = 3;

/// How the hub is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// The hub's address.
    pub endpoint: Option<String>,
    /// The folder of downloads that Hugging Face's tools share.
    pub cache: PathBuf,
    /// The user's token.
    pub token: Option<String>,
}

impl HubOptions {
    /// As `HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` have it; without a token in the environment, the one that logging in has stored.
    #[must_use]
    pub fn from_env() -> Self {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        // hf-hub would panic where there is no home folder at all.
        let home = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let cache = match (home("HF_HOME"), home("HOME").or_else(|| home("USERPROFILE"))) {
            (Some(folder), _) => PathBuf::from(folder).join("hub"),
            (None, Some(home)) => PathBuf::from(home).join(".cache/huggingface/hub"),
            (None, None) => PathBuf::from("huggingface/hub"),
        };
        let token = text("HF_TOKEN").or_else(|| Cache::new(cache.clone()).token());
        Self { endpoint: text("HF_ENDPOINT"), cache, token }
    }
}

/// Puts a repository's files into a folder.
pub(super) fn collect(
    store: &Store,
    entry: &Entry,
    to: &Path,
    offline: bool,
    progress: OnProgress<'_>,
) -> Result<Collected, PullError> {
    let Source::Hub { repo, revision } = &entry.source else {
        unreachable!("only repositories come from the hub")
    };
    let source = Hub { options: &store.hub, repo, revision };
    let (commit, files) =
        if offline { source.cached(store, entry)? } else { source.download(entry, progress)? };
    report(entry, Step::Checking, 0, None, progress);
    let mut known = Known::open(store)?;
    let files = files.iter().map(|(name, path)| {
        let record = place(name, path, to)?;
        known.check(&format!("hf:{repo}@{commit}/{name}"), path, &record.sha256)?;
        Ok(record)
    });
    let files = files.collect::<Result<_, PullError>>()?;
    known.save()?;
    Ok(Collected { version: commit, files })
}

/// Names in the repository and where they lie in the cache.
type Files = Vec<(String, PathBuf)>;

struct Hub<'a> {
    options: &'a HubOptions,
    repo: &'a str,
    revision: &'a str,
}

impl Hub<'_> {
    /// What an earlier download, ours or another tool's, has left in the cache.
    fn cached(&self, store: &Store, entry: &Entry) -> Result<(String, Files), PullError> {
        let folder = self.options.cache.join(self.at(self.revision).folder_name());
        let commit = fs::read_to_string(folder.join("refs").join(self.revision));
        let commit =
            commit.map_or_else(|_| self.revision.to_owned(), |commit| commit.trim().to_owned());
        let snapshot = folder.join("snapshots").join(&commit);
        let inside =
            WANTED.iter().filter(|name| name.contains('/') && snapshot.join(name).exists());
        let mut present: Vec<String> = inside.map(|name| (*name).to_owned()).collect();
        for file in fs::read_dir(&snapshot).into_iter().flatten().flatten() {
            // What is listed may be a link to nothing.
            if file.path().exists() {
                present.extend(file.file_name().into_string());
            }
        }
        let chosen = choose(self.repo, present).map_err(|_| PullError::Offline {
            name: entry.name.to_string(),
            path: store.folder(entry),
        })?;
        let files = chosen.into_iter().map(|name| (name.clone(), snapshot.join(name))).collect();
        Ok((commit, files))
    }

    fn download(
        &self,
        entry: &Entry,
        progress: OnProgress<'_>,
    ) -> Result<(String, Files), PullError> {
        let api = self.api()?;
        let info =
            api.repo(self.at(self.revision)).info().map_err(self.failed("its list of files"))?;
        let present = info.siblings.into_iter().map(|file| file.rfilename).collect();
        let chosen = choose(self.repo, present)?;
        self.require_plain("a commit of hexadecimal digits", &info.sha)?;
        // All files from one commit, whatever is pushed meanwhile.
        let repo = api.repo(self.at(&info.sha));
        let mut wanted = Vec::new();
        for name in chosen {
            let metadata = api.metadata(&repo.url(&name)).map_err(self.failed(&name))?;
            let (etag, bytes) = (metadata.etag().to_owned(), metadata.size() as u64);
            self.require_plain("an etag of letters and digits", &etag)?;
            wanted.push(Wanted { name, etag, bytes });
        }
        let total: u64 = wanted.iter().map(|file| file.bytes).sum();
        let (mut before, mut files) = (0, Vec::new());
        for file in wanted {
            let mut so_far =
                |bytes| report(entry, Step::Downloading, before + bytes, Some(total), progress);
            let path = self.fetch(&repo, &info.sha, &file, &mut so_far)?;
            before += file.bytes;
            files.push((file.name, path));
        }
        // So that the revision is found without a network, by other tools too.
        let cache = Cache::new(self.options.cache.clone()).repo(self.at(self.revision));
        cache.create_ref(&info.sha).map_err(PullError::io(&self.options.cache, "write to"))?;
        Ok((info.sha, files))
    }

    fn fetch(
        &self,
        repo: &ApiRepo,
        commit: &str,
        file: &Wanted,
        so_far: &mut dyn FnMut(u64),
    ) -> Result<PathBuf, PullError> {
        let cache = Cache::new(self.options.cache.clone()).repo(self.at(commit));
        let pointer = cache.pointer_path(commit).join(&file.name);
        if !fs::metadata(&pointer).is_ok_and(|found| found.len() == file.bytes) {
            forget(&pointer);
            self.attempt(repo, file, so_far)?;
        }
        file.check(&pointer).inspect_err(|_| forget(&pointer))?;
        so_far(file.bytes);
        Ok(pointer)
    }

    /// Each attempt goes on where the last one stopped: the client keeps what it received in a `.part` file. Its own retries are
    /// not used, since after a resumed connection that brings nothing they would append the file's start to its end.
    fn attempt(
        &self,
        repo: &ApiRepo,
        file: &Wanted,
        so_far: &mut dyn FnMut(u64),
    ) -> Result<(), PullError> {
        let (mut left, mut farthest) = (ATTEMPTS, 0);
        loop {
            let mut reached = 0;
            let meter = Meter { so_far: &mut *so_far, reached: &mut reached };
            match repo.download_with_progress(&file.name, meter) {
                Ok(_) => return Ok(()),
                Err(error) if is_broken_connection(&error) && reached > farthest => {
                    farthest = reached
                }
                Err(error) if is_broken_connection(&error) && left > 1 => left -= 1,
                Err(error) => return Err(self.failed(&file.name)(error)),
            }
        }
    }

    /// Refuses what the hub says and files are named by, if it could be a path: it may be anybody's mirror.
    fn require_plain(&self, expected: &str, found: &str) -> Result<(), PullError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !found.is_empty() && found.bytes().all(plain) {
            return Ok(());
        }
        let (repo, found) = (format!("hf:{}", self.repo), found.to_owned());
        Err(PullError::Unsound { repo, expected: expected.to_owned(), found })
    }

    fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repo.to_owned(), RepoType::Model, revision.to_owned())
    }

    fn api(&self) -> Result<Api, PullError> {
        let builder = ApiBuilder::from_cache(Cache::new(self.options.cache.clone()));
        let builder = builder.with_token(self.options.token.clone()).with_progress(false);
        let builder = builder.with_user_agent("tombolo", env!("CARGO_PKG_VERSION"));
        match &self.options.endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint.trim_end_matches('/').to_owned()),
            None => builder,
        }
        .build()
        .map_err(self.failed("anything"))
    }

    fn failed(&self, file: &str) -> impl FnOnce(ApiError) -> PullError {
        let endpoint = self.options.endpoint.clone().unwrap_or_else(|| "the hub".into());
        let (repo, file) = (format!("hf:{}@{}", self.repo, self.revision), file.to_owned());
        move |source| PullError::Hub { repo, file, endpoint, source: Box::new(source) }
    }
}

/// The files to fetch of those there are: the best weights, and what goes with them.
fn choose(repo: &str, present: Vec<String>) -> Result<Vec<String>, PullError> {
    let has = |name: &str| present.iter().any(|other| other == name);
    let layouts = LAYOUTS.iter().filter(|(settings, _)| has(settings));
    let weights = layouts.flat_map(|(_, weights)| *weights).find(|name| has(name));
    let Some(weights) = weights else {
        let expected = LAYOUTS
            .iter()
            .map(|(settings, weights)| format!("{settings} and one of {}", weights.join(", ")));
        return Err(PullError::Repository {
            repo: format!("hf:{repo}"),
            expected: expected.collect::<Vec<_>>().join(", or "),
            found: if present.is_empty() { "nothing".into() } else { present.join(", ") },
        });
    };
    let others = WANTED.iter().filter(|name| has(name)).map(|name| (*name).to_owned());
    let shards = present.iter().filter(|name| *weights == INDEX && is_shard(name)).cloned();
    Ok(others.chain([(*weights).to_owned()]).chain(shards).collect())
}

/// Whether a name is that of one of the files that weights are cut into: `model-00001-of-00002.safetensors`.
fn is_shard(name: &str) -> bool {
    let numbers = name.strip_prefix("model-").and_then(|rest| rest.strip_suffix(".safetensors"));
    let numbers = numbers.and_then(|numbers| numbers.split_once("-of-"));
    numbers.is_some_and(|(part, of)| part.parse::<u32>().is_ok() && of.parse::<u32>().is_ok())
}

struct Wanted {
    name: String,
    etag: String,
    bytes: u64,
}

impl Wanted {
    /// The length must be the announced one; large files also have their SHA-256 for etag.
    fn check(&self, path: &Path) -> Result<(), PullError> {
        let (found, hash) = sha256(path)?;
        let path = path.to_path_buf();
        if found != self.bytes {
            return Err(PullError::Truncated { path, expected: self.bytes, found });
        }
        if self.etag.len() == 64 && hash != self.etag {
            return Err(PullError::Checksum { path, expected: self.etag.clone(), found: hash });
        }
        Ok(())
    }
}

/// Removes a file and the blob that it may be a link to, so that it is downloaded again.
fn forget(pointer: &Path) {
    // Neither need be there.
    if let Ok(blob) = pointer.canonicalize() {
        let _ = fs::remove_file(blob);
    }
    let _ = fs::remove_file(pointer);
}

fn is_broken_connection(error: &ApiError) -> bool {
    match error {
        ApiError::IoError(error) => error.kind() != std::io::ErrorKind::StorageFull,
        ApiError::RequestError(_) => status(error).is_none_or(|status| status >= 500),
        _ => false,
    }
}

struct Meter<'a> {
    so_far: &'a mut dyn FnMut(u64),
    reached: &'a mut u64,
}

impl hf_hub::api::Progress for Meter<'_> {
    fn init(&mut self, _size: usize, _filename: &str) {
        *self.reached = 0;
    }

    fn update(&mut self, size: usize) {
        *self.reached += size as u64;
        (self.so_far)(*self.reached);
    }

    fn finish(&mut self) {}
}

/// Puts a file of the cache into the model's folder: as a second name of the same bytes where the file system allows.
fn place(name: &str, from: &Path, to: &Path) -> Result<FileRecord, PullError> {
    let path = to.join(name);
    if let Some(parent) = path.parent() {
        create(parent)?;
    }
    let real = from.canonicalize().map_err(PullError::io(from, "find"))?;
    if fs::hard_link(&real, &path).is_err() {
        fs::copy(&real, &path).map_err(PullError::io(&path, "copy to"))?;
    }
    // Windows flushes only what was opened for writing.
    let file = File::options().read(true).append(true).open(&path).or_else(|_| File::open(&path));
    let synced = file.and_then(|file| file.sync_all());
    synced.map_err(PullError::io(&path, "flush"))?;
    let (bytes, sha256) = sha256(&path)?;
    Ok(FileRecord { name: name.to_owned(), bytes, sha256 })
}

/// The checksums of everything ever pulled from the hub, so that a commit cannot change behind our back.
struct Known {
    path: PathBuf,
    hashes: BTreeMap<String, String>,
}

impl Known {
    fn open(store: &Store) -> Result<Self, PullError> {
        let path = store.home().join("hub-checksums.json");
        let hashes = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| PullError::Damaged {
                path: path.clone(),
                expected: "checksums by name".into(),
                found: error.to_string(),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(PullError::io(&path, "read")(error)),
        };
        Ok(Self { path, hashes })
    }

    fn check(&mut self, name: &str, cached: &Path, found: &str) -> Result<(), PullError> {
        let expected = self.hashes.entry(name.to_owned()).or_insert_with(|| found.to_owned());
        if expected == found {
            return Ok(());
        }
        forget(cached);
        Err(PullError::Checksum {
            path: cached.to_path_buf(),
            expected: expected.clone(),
            found: found.to_owned(),
        })
    }

    fn save(&self) -> Result<(), PullError> {
        write_atomically(&self.path, |file| Ok(serde_json::to_writer_pretty(file, &self.hashes)?))
            .map_err(PullError::io(&self.path, "write"))
    }
}
