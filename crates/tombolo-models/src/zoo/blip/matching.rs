//! BLIP's matching head: one encoder that reads a text while it looks at a picture, and says whether they match.

use candle_core::Device;
use tombolo_kernels::Activation;

use super::image::Sight;
use crate::encoder::{CrossEncoder, CrossNames, FrozenLinear, Memory};
use crate::error::Result;
use crate::text::{BERT_NAMES, BertEmbeddings};
use crate::zoo::Files;
use crate::zoo::words::bert_config;

const NAMES: CrossNames = CrossNames {
    layer: BERT_NAMES,
    query: "crossattention.self.query",
    memory: ["crossattention.self.key", "crossattention.self.value"],
    output: "crossattention.output.dense",
    norm: "crossattention.output.LayerNorm",
};

/// The single-stream half of BLIP, a re-ranker: it must see each pair together.
///
/// It reads texts on the CPU; the pictures' states may come from another device.
pub(crate) struct BlipMatching {
    sight: Sight,
    embeddings: BertEmbeddings,
    encoder: CrossEncoder,
    /// Of no match and of a match.
    head: FrozenLinear,
}

/// A picture as the matching head looks at it, to be matched with any number of texts: the keys and values of all
/// layers, in BLIP's base size 42 MB for a picture of 384 pixels a side.
pub(crate) struct Seen(Memory);

impl BlipMatching {
    /// Side of the pictures that it reads.
    pub(crate) fn size(&self) -> usize {
        self.sight.size()
    }

    /// # Errors
    /// If a tensor is missing, left over or of another shape, or the settings make no network.
    pub fn load(files: &Files, device: &Device) -> Result<Self> {
        let (tensors, bert) = (&files.tensors, bert_config(files)?);
        let sight = Sight::load(files, device)?;
        let embeddings = BertEmbeddings::read(tensors, "text_encoder.embeddings", &bert, 0)?;
        let layers = (bert.encoder(), bert.num_hidden_layers);
        let name = "text_encoder.encoder.layer";
        let encoder = CrossEncoder::read(tensors, name, &NAMES, layers, sight.width())?;
        let head = FrozenLinear::read(tensors, &["itm_head".to_owned()], bert.hidden_size, 2)?;
        files.expect_no_others(&["text_encoder.", "itm_head"])?;
        Ok(Self { sight, embeddings, encoder, head })
    }

    /// Looks at pictures, each `[size, size, 3]`, normalised.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn see(&self, pictures: &[&[f32]]) -> Result<Vec<Seen>> {
        let states = self.sight.states(pictures)?;
        let pictures = states.chunks_exact(self.sight.grid().rows() * self.sight.width());
        Ok(pictures.map(|states| Seen(self.encoder.remember(states))).collect())
    }

    /// The probability that each text describes the picture it stands with.
    ///
    /// p = softmax(head(state of the first token))₁, Li et al. 2022, §3.2. As transformers has it, the text keeps
    /// its `[CLS]` token.
    ///
    /// # Shapes
    /// `pairs`: pictures as [`BlipMatching::see`] saw them, and texts as token ids, none empty. Returns one
    /// probability a pair.
    /// # Errors
    /// If a text is too long or has a token that is none of the vocabulary's.
    pub fn score(&self, pairs: &[(&Seen, &[u32])]) -> Result<Vec<f32>> {
        let logits = self.logits(pairs)?;
        Ok(logits.iter().map(|[no, yes]| 1.0 / (1.0 + (no - yes).exp())).collect())
    }

    /// What the head says of no match and of a match.
    pub(super) fn logits(&self, pairs: &[(&Seen, &[u32])]) -> Result<Vec<[f32; 2]>> {
        let ids: Vec<&[u32]> = pairs.iter().map(|(_, ids)| *ids).collect();
        let lengths: Vec<usize> = ids.iter().map(|ids| ids.len()).collect();
        let memories: Vec<&Memory> = pairs.iter().map(|(seen, _)| &seen.0).collect();
        let mut x = self.embeddings.forward(&ids)?;
        self.encoder.forward(&mut x, &lengths, &memories);
        let width = self.head.inputs();
        let mut start = 0;
        let logits = lengths.iter().map(|length| {
            let mut logits = [0.0; 2];
            let first = &x[start..start + width];
            self.head.forward(first, Activation::Identity, false, &mut logits);
            start += length * width;
            logits
        });
        Ok(logits.collect())
    }
}
