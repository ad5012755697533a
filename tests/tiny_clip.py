"""A small CLIP with random weights, in transformers' own files."""

import json
from pathlib import Path

import torch


def save_clip(folder: Path) -> str:
    """A CLIP of two layers, with a tokenizer of single bytes; returns its folder."""
    from transformers import CLIPConfig, CLIPModel
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 37}
    small |= {"num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
    config = CLIPConfig(
        text_config={**small, **text, "max_position_embeddings": 40},
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    model = CLIPModel(config)
    model.visual_projection.weight.data.neg_()  # else every cosine is below 0, every score 0
    model.save_pretrained(folder)
    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    end = "<|endoftext|>"
    settings = {"tokenizer_class": "CLIPTokenizer", "bos_token": "<|startoftext|>"}
    settings |= {"eos_token": end, "pad_token": end, "unk_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    processor = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}}
    processor |= {"crop_size": {"height": 32, "width": 32}, "resample": 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return str(folder)
