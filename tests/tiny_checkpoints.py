"""Small networks with random weights, in transformers' own files: a checkpoint of each kind."""

import json
from pathlib import Path

import torch

SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "man", "rides", "horse", "dog", "##s", "!", ","]
TYPES = {  # by encoder, the type of checkpoint that is saved for it
    "vit": "vit",
    "resnet": "resnet",
    "clip_vision": "clip",
    "siglip_vision": "siglip",
    "bert": "bert",
    "gpt2": "gpt2",
    "clip_text": "clip",
    "video_transformer": "videomae",
    "ast": "audio-spectrogram-transformer",
}


def save_checkpoint(kind: str, folder: Path, seed: int = 0) -> str:
    """A checkpoint of a type of network, with what prepares its inputs; returns its folder."""
    torch.manual_seed(seed)
    with_head(kind).save_pretrained(folder)
    if kind in ("vit", "resnet", "siglip", "clip", "videomae"):
        save_image_processor(kind, folder)
    if kind == "audio-spectrogram-transformer":
        settings = {"feature_extractor_type": "ASTFeatureExtractor", "sampling_rate": 8000}
        settings |= {"num_mel_bins": 16, "max_length": 24, "mean": -3.0, "std": 4.0}
        (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    if kind == "bert":
        (folder / "vocab.txt").write_text("\n".join(WORDS))
        settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if kind in ("gpt2", "clip"):
        save_bytes(kind, folder)
    return str(folder)


def with_head(kind: str):
    """The network, as its authors publish it: with what it was trained to say."""
    import transformers as t

    small = {**SIZES, "image_size": 32, "patch_size": 8}
    text = {**SIZES, "vocab_size": 514, "max_position_embeddings": 40}
    text |= {"bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
    if kind == "vit":
        return t.ViTForImageClassification(t.ViTConfig(**small))
    if kind == "resnet":
        config = t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1])
        return t.ResNetForImageClassification(config)
    if kind == "clip":
        return t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=small, projection_dim=8))
    if kind == "siglip":
        return t.SiglipModel(
            t.SiglipConfig(text_config={**SIZES, "vocab_size": 30}, vision_config=small)
        )
    if kind == "videomae":
        config = t.VideoMAEConfig(**small, num_frames=4, tubelet_size=2, use_mean_pooling=False)
        return t.VideoMAEForPreTraining(config)
    if kind == "audio-spectrogram-transformer":
        config = t.ASTConfig(
            **SIZES,
            patch_size=8,
            frequency_stride=8,
            time_stride=8,
            num_mel_bins=16,
            max_length=24,
        )
        return t.ASTForAudioClassification(config)
    if kind == "bert":
        config = t.BertConfig(**SIZES, vocab_size=len(WORDS), max_position_embeddings=12)
        return t.BertForMaskedLM(config)
    config = t.GPT2Config(vocab_size=260, n_positions=100, n_embd=16, n_layer=3, n_head=2)
    config.bos_token_id = config.eos_token_id = 256
    return t.GPT2LMHeadModel(config)


def save_image_processor(kind: str, folder: Path) -> None:
    """Of another mean and deviation than any default's."""
    name = {"vit": "ViT", "resnet": "ViT", "siglip": "Siglip", "clip": "CLIP"}.get(kind, "VideoMAE")
    settings = {"image_processor_type": f"{name}ImageProcessor", "resample": 3}
    settings |= {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    square = {"height": 32, "width": 32}
    crops = name in ("CLIP", "VideoMAE")
    settings |= {"size": {"shortest_edge": 32}, "crop_size": square} if crops else {"size": square}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def save_bytes(kind: str, folder: Path) -> None:
    """A tokenizer of single bytes."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    end = "<|endoftext|>"
    tokens = [*letters, end]
    if kind == "clip":
        tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", end]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    name = "CLIPTokenizer" if kind == "clip" else "GPT2Tokenizer"
    start = "<|startoftext|>" if kind == "clip" else end
    settings = {"tokenizer_class": name, "bos_token": start, "eos_token": end, "unk_token": end}
    settings |= {"pad_token": end} if kind == "clip" else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
