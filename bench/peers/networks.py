"""The peers' networks with the weights that Tombolo uses, and their export to ONNX."""

from pathlib import Path

import torch


def efficientnet(weights):
    """EfficientNet-Lite0 up to its last feature map: [batch, 3, 224, 224] to [batch, 1280, 7, 7]."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights)).eval()

    class Features(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network.extract_features(x)

    return Features().eval()


def vit(folder):
    """timm's ViT-S/16 with the weights of `folder` (see prepare.py): [batch, 3, 224, 224] to [batch, 197, 384]."""
    import timm

    network = timm.create_model("vit_small_patch16_224", pretrained=False, num_classes=0)
    network.load_state_dict(torch.load(Path(folder) / "timm.pt"))

    class Features(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network.forward_features(x)

    return Features().eval()


def minilm(folder):
    """MiniLM: token ids and mask [batch, tokens] to [batch, tokens, 384]."""
    from transformers import AutoModel

    network = AutoModel.from_pretrained(folder, attn_implementation="eager")

    class Tokens(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, input_ids, attention_mask):
            return self.network(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    return Tokens().eval()


def export(network, inputs, names, path, dynamic=None):
    """Writes `network` to an ONNX file, with the axes of `dynamic` left open."""
    torch.onnx.export(
        network, inputs, str(path), input_names=names, output_names=["output"], dynamic_axes=dynamic, opset_version=17,
        dynamo=False,
    )
