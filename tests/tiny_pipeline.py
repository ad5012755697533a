"""A small Stable Diffusion with random weights, in diffusers' own files: what it draws is noise."""

from pathlib import Path

import torch

from tests.tiny_checkpoints import save_bytes


def save_pipeline(folder: Path) -> str:
    """A pipeline that draws 32 pixels a side in few steps; returns its folder."""
    import diffusers as d
    import transformers as t

    torch.manual_seed(0)
    text = t.CLIPTextConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=514,
        max_position_embeddings=40,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    words = folder / "words"
    words.mkdir(parents=True)
    save_bytes("clip", words)
    tokenizer = t.CLIPTokenizer.from_pretrained(words, model_max_length=40)
    for file in words.iterdir():
        file.unlink()
    words.rmdir()
    unet = d.UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
    )
    vae = d.AutoencoderKL(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        sample_size=32,
    )
    d.StableDiffusionPipeline(
        vae=vae,
        text_encoder=t.CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=d.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return str(folder)
