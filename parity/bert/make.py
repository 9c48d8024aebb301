"""Golden files for the BERT and RoBERTa backbones.

Reference: transformers 5.23.0, torch 2.15.0, tokenizers as transformers brings it; float32 on the CPU; seed 1.
Tolerance: relative error 1e-4 (norm of the difference over norm of the expected).

    python parity/bert/make.py [FOLDER_OF_all-MiniLM-L6-v2] [--real FOLDER]

writes
    tiny/config.json, tiny/model.safetensors   a seeded random BertModel (without pooler)
    tiny/inputs.json                           {"sequences": [[token id]], "input_ids": [[..]], "attention_mask": [[..]]}, padded with 0
    tiny/expected.safetensors                  last_hidden_state [batch, length, 32]; rows behind a sequence's end are zeroed
    roberta/                                   the same of a seeded random XLMRobertaModel, padded with 1
with --real, in FOLDER, the same at the size of BERT base and of XLM-RoBERTa base, and nothing else; and, given the folder with the real weights,
    minilm.json                                a list of {"text", "ids" (truncated to 256), "head" (first 8 values of the pooled
                                               vector), "norm", "pooled" (all 384, first two texts only)}; pooled is the mean of
                                               last_hidden_state over all tokens, [CLS] and [SEP] included, before normalisation
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

HERE = Path(__file__).parent
TEXTS = [
    "A dog runs through the snow.",
    "Zwei Männer fahren naïve Fahrräder über die Brücke — façade, Ångström, 東京タワー и кошка",
    " ",
    "🐶🐱 two pets 👩🏽‍🚀 in space!!! :-)",
    "The quick brown fox, unbelievably, antidisestablishmentarianism's #1 @fan; $3.50 100% e-mail\tTAB\nNEWLINE\u200bzero",
    "a man in a red shirt climbs a rock face while others watch from the valley below , " * 25,
    "x" * 150 + " word",
]


SIZES = dict(
    vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, hidden_act="gelu",
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)


REAL = SIZES | dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072)


def bert(folder, sizes, spread):
    config = BertConfig(max_position_embeddings=40, type_vocab_size=2, layer_norm_eps=1e-12, pad_token_id=0, **sizes)
    write(folder, BertModel(config, add_pooling_layer=False), 0, spread)


def roberta(folder, sizes, spread):
    config = XLMRobertaConfig(max_position_embeddings=42, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, **sizes)
    write(folder, XLMRobertaModel(config, add_pooling_layer=False), 1, spread)


def write(folder, model, padding, spread):
    model.eval()
    with torch.no_grad():
        for name_of, value in model.named_parameters():
            # The default initialisation leaves biases at 0 and norms at 1, which would hide a forgotten one.
            value.copy_(torch.randn_like(value) * spread + (1.0 if name_of.endswith("LayerNorm.weight") else 0.0))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(model.config.to_json_string())
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors", {"format": "pt"})
    generator = torch.Generator().manual_seed(2)
    lengths = [12, 1, 7, 3]
    sequences = [torch.randint(padding + 1, 100, (n,), generator=generator).tolist() for n in lengths]
    width = max(lengths)
    ids = [s + [padding] * (width - len(s)) for s in sequences]
    mask = [[1] * len(s) + [0] * (width - len(s)) for s in sequences]
    with torch.no_grad():
        hidden = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).last_hidden_state
    hidden = hidden * torch.tensor(mask).unsqueeze(-1)
    (folder / "inputs.json").write_text(json.dumps({"sequences": sequences, "input_ids": ids, "attention_mask": mask}))
    save_file({"last_hidden_state": hidden.contiguous()}, folder / "expected.safetensors")


def minilm(folder):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=256)
    model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    records = []
    for n, text in enumerate(TEXTS):
        ids = tokenizer.encode(text).ids
        with torch.no_grad():
            pooled = model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)
        record = {"text": text, "ids": ids, "head": pooled[:8].tolist(), "norm": pooled.norm().item()}
        if n < 2:
            record["pooled"] = pooled.tolist()
        records.append(record)
    lines = ",\n".join(json.dumps(r, ensure_ascii=False) for r in records)
    (HERE / "minilm.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    names = {"tiny": bert, "roberta": roberta}
    real = "--real" in sys.argv
    folder, sizes, spread = (Path(sys.argv[-1]), REAL, 0.03) if real else (HERE, SIZES, 0.15)
    for name, make in names.items():
        torch.manual_seed(1)
        make(folder / name, sizes, spread)
    if len(sys.argv) > 1 and not real:
        minilm(Path(sys.argv[1]))
