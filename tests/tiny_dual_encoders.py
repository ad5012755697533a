"""Small dual encoders of sounds and of videos with random weights, in transformers' own files."""

import json
from pathlib import Path

import torch

from tests.tiny_checkpoints import save_bytes

SMALL = {"hidden_size": 32, "intermediate_size": 37}
SMALL |= {"num_hidden_layers": 2, "num_attention_heads": 4, "projection_dim": 16}
TEXT = {"vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}


def save_clap(folder: Path, truncation: str = "fusion") -> str:
    """A CLAP that reads sounds of a second at 16 kHz; returns its folder."""
    import transformers as t

    torch.manual_seed(0)
    audio = {"patch_embeds_hidden_size": 8, "hidden_size": 64, "depths": [1, 1, 1, 1]}
    audio |= {"num_attention_heads": [1, 1, 2, 2], "num_hidden_layers": 4, "window_size": 2}
    audio |= {"spec_size": 256, "num_mel_bins": 64, "projection_dim": 16, "aff_block_r": 1}
    audio |= {"enable_fusion": truncation == "fusion", "fusion_type": "aff_2d"}
    text = {**TEXT, "pad_token_id": 1, "max_position_embeddings": 60}
    config = t.ClapConfig(text_config={**SMALL, **text}, audio_config=audio, projection_dim=16)
    t.ClapModel(config).save_pretrained(folder)
    save_bytes("clip", folder)
    settings = {
        "feature_extractor_type": "ClapFeatureExtractor",
        "processor_class": "ClapProcessor",
    }
    settings |= {"feature_size": 64, "sampling_rate": 16_000, "hop_length": 320}
    settings |= {"max_length_s": 1, "fft_window_size": 512, "frequency_max": 8000}
    settings |= {"truncation": truncation, "padding": "repeatpad"}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return str(folder)


def save_xclip(folder: Path, frames: int = 4) -> str:
    """An X-CLIP of videos of so many frames; returns its folder."""
    import transformers as t

    torch.manual_seed(0)
    video = {**SMALL, "image_size": 32, "patch_size": 16, "num_frames": frames}
    video |= {"mit_hidden_size": 16, "mit_intermediate_size": 37, "mit_num_hidden_layers": 1}
    config = t.XCLIPConfig(
        text_config={**SMALL, **TEXT, "max_position_embeddings": 60},
        vision_config=video | {"mit_num_attention_heads": 4},
        projection_dim=16,
        prompt_num_attention_heads=2,
    )
    t.XCLIPModel(config).save_pretrained(folder)
    save_bytes("clip", folder)
    square = {"height": 32, "width": 32}
    settings = {"image_processor_type": "VideoMAEImageProcessor", "crop_size": square}
    settings |= {"size": {"shortest_edge": 32}, "processor_class": "XCLIPProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return str(folder)
