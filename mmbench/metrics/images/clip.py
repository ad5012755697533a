"""Unit embeddings of images and captions by a CLIP checkpoint of transformers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbench.computing import computing_device, exact_float32, usual_batching
from mmbench.errors import ToolError, in_one_line
from mmbench.metrics.base import FloatArray
from mmbench.metrics.images.features import as_pixels

if TYPE_CHECKING:
    import torch


class Clip:
    """A CLIP model with its image processor and tokenizer.

    Args:
        checkpoint: a folder that holds all three, or a name on the hub.
    Raises: ToolError where they cannot be loaded.
    """

    def __init__(self, checkpoint: str):
        from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

        try:
            model = CLIPModel.from_pretrained(checkpoint, use_safetensors=True)
            # PIL's resize, as the original; the one on tensors rounds otherwise.
            self._processor = AutoImageProcessor.from_pretrained(checkpoint, backend="pil")
            self._tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        except (OSError, ValueError) as error:
            raise ToolError(
                f"the CLIP checkpoint '{checkpoint}' cannot be loaded: "
                f"{in_one_line(error)} Name a folder with the model, its image processor "
                "and its tokenizer, saved by transformers, in MMBENCH_CLIP"
            ) from None
        self._model: Any = model.eval().requires_grad_(False)

    def images(
        self, images: Sequence[Any], batch: int | None = None, threads: int | None = None
    ) -> FloatArray:
        """Embeddings (N, D) of length 1, of uint8 arrays (H, W, 3) or PIL images.

        Args:
            images: to be embedded.
            batch, threads: images at a time and threads that resize them; None for what suits the
                device, as in `extract_features`. Threads change no byte.
        """
        import torch
        from PIL import Image

        device = self._moved()
        usual = usual_batching(device)
        batch, threads = batch or usual[0], threads or usual[1]
        rows = []

        def prepared(row: int) -> torch.Tensor:
            image = Image.fromarray(as_pixels(images[row], row))
            values: torch.Tensor = self._processor(images=[image], return_tensors="pt")[
                "pixel_values"
            ]
            return values

        with torch.inference_mode(), exact_float32(), ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(images), batch):
                chunk = range(len(images))[start : start + batch]
                inputs = pool.map(prepared, chunk) if threads > 1 else map(prepared, chunk)
                hidden = self._model.vision_model(torch.cat(list(inputs)).to(device))
                rows.append(self._model.visual_projection(hidden.pooler_output).cpu())
        return _unit(torch.cat(rows).double().numpy())

    def captions(self, captions: Sequence[str]) -> FloatArray:
        """Embeddings (N, D) of length 1; captions are cut at the model's longest text."""
        import torch

        longest = self._model.config.text_config.max_position_embeddings
        device = self._moved()
        batch, _ = usual_batching(device)
        rows = []
        for start in range(0, len(captions), batch):
            inputs = self._tokenizer(
                list(captions[start : start + batch]),
                truncation=True,
                max_length=longest,
                padding=True,
                return_tensors="pt",
            ).to(device)
            with torch.inference_mode(), exact_float32():
                hidden = self._model.text_model(
                    input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
                )
                rows.append(self._model.text_projection(hidden.pooler_output).cpu())
        return _unit(torch.cat(rows).double().numpy())

    def _moved(self) -> torch.device:
        """The device that metrics compute on, with the model on it."""
        device = computing_device()
        self._model.to(device)
        return device


@lru_cache(maxsize=1)
def clip(checkpoint: str) -> Clip:
    """The checkpoint, loaded once."""
    return Clip(checkpoint)


@lru_cache
def checkpoint_identity(checkpoint: str) -> str:
    """A hub name as it is; of a folder, the first 8 hex digits of its weights' SHA-256."""
    folder = Path(checkpoint)
    if not folder.is_dir():
        return checkpoint
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return f"sha256-{digest.hexdigest()[:8]}"


def _unit(rows: FloatArray) -> FloatArray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
