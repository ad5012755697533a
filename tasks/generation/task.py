"""What generation is: an image drawn from a text, judged beside real images of such texts."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench import registry
from mmbench.data.dataset import DatasetSpec
from mmbench.data.sample import Sample, SampleSet, stable_number
from mmbench.data.splits import load_split
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.task import Task

if TYPE_CHECKING:
    from mmbench.recipe import Recipe
    from mmbench_tasks.generation.model import GenerationModel

DEFAULT_SIZE = 32  # pixels a side, unless the recipe's decoder says otherwise


class Generation(Task):
    """Generation: draw the image that a text describes.

    A sample is a prompt, one of an image's captions, drawn by a hash. Its target is a mapping:
    `image`, the real image (a `MediaRef`), `captions`, all of its captions, and, where the dataset
    knows it, `claims`: what the prompt says, as `mmbench.scenes.facts.Claims`. An answer is an
    image, (H, W, 3) uint8.
    """

    name = "generation"
    title = "Text-to-image generation"
    paper_metrics = ("faithfulness", "fid", "fd_*", "kid_*")
    answer_kind = "images"
    inputs = ("text",)
    default_dataset = "scenes"
    metrics = ("fd_efficientnet_lite0", "kid_efficientnet_lite0")
    encoders = {"text": "gru"}
    decoder = "image_tokens"
    unit = "prompts"
    shown_as = {"text": "prompt", "image": "real image"}
    chosen_by = "loss"

    def adapt(self, dataset: DatasetSpec, recipe: Recipe) -> DatasetSpec:
        """The dataset with images of the size that the recipe's decoder draws.

        For a predictor whose option `size` says how large it draws it is that, or else the
        dataset's own.
        """
        part = recipe.predictor
        if part and "size" in getattr(registry.load("predictors", part.name), "added_with", ()):
            asked = part.options.get("size")
            return dataset.at_size(asked) if isinstance(asked, int) and asked > 0 else dataset
        size = recipe.decoder.options.get("size", DEFAULT_SIZE) if recipe.decoder else DEFAULT_SIZE
        if not isinstance(size, int) or size < 1:
            raise MMBenchError(f"decoder.size must be a number of pixels, got {size!r}")
        return dataset.at_size(size)

    def references(self, dataset: DatasetSpec) -> Sequence[str]:
        """Images that are drawn without reading the text."""
        return ("prior_only",)

    def load(self, dataset: DatasetSpec, split: str) -> SampleSet:
        """A sample for each image."""
        data = load_split(dataset, split, "captions")
        samples = []
        for row in data.rows.to_list():
            name = str(row.get("id", f"{split}/{row['row']}"))
            captions = row["captions"]
            chosen = stable_number(name) % len(captions)
            target = {"image": data.inputs(row)["image"], "captions": captions}
            if row.get("claims"):
                target["claims"] = json.loads(row["claims"][chosen])
            samples.append(Sample(name, {"text": captions[chosen]}, target, row["group"]))
        return SampleSet(samples, dataset.name, split, data.fingerprint, skipped=data.skipped)

    def file_metrics(self, references: Path, targets: Sequence[Any] = ()) -> Sequence[str]:
        """Distances to real images; of prompts, how well the images fit them."""
        return ("clipscore",) if references.suffix == ".json" else self.metrics

    def assets(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """The words of the captions."""
        captions = (caption for sample in samples for caption in sample.target["captions"])
        return {"words": Vocabulary.of(captions).words}

    def build(self, recipe: Recipe, assets: Mapping[str, Any]) -> GenerationModel:
        from mmbench_tasks.generation.model import GenerationModel

        return GenerationModel(recipe, words=assets["words"])

    def targets(self, samples: Sequence[Sample]) -> list[Any]:
        """Of each sample, what its prompt claims, as JSON."""
        claims = [sample.target.get("claims") for sample in samples]
        return [None if found is None else json.dumps(found) for found in claims]

    def table(self, samples: Sequence[Sample], answers: Sequence[Any]) -> dict[str, list[Any]]:
        """The targets, and the images as PNG files' bytes."""
        return super().table(samples, [_png(answer) for answer in answers])

    def answers(self, column: Sequence[Any]) -> list[Any]:
        """The images, (H, W, 3) uint8, from PNG files' bytes."""
        import numpy as np
        from PIL import Image

        return [np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) for content in column]

    def pictures(self, samples: Sequence[Sample], answers: Sequence[Any]) -> dict[str, bytes]:
        """A page of samples beside the real images, `samples.png`."""
        from mmbench_tasks.generation.grid import sample_grid

        prompts = [str(sample.inputs["text"]) for sample in samples]
        real = [sample.target["image"].array() for sample in samples]
        return {"samples.png": sample_grid(prompts, answers, real)}


def _png(pixels: Any) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
