"""SPICE of captions, by the authors' Java program; its language models must be there already."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmbench.errors import ToolError
from mmbench.metrics.base import FloatArray, MeanMetric
from mmbench.metrics.captions.java import JavaProgram, pycocoevalcap_folder
from mmbench.metrics.captions.tokens import TOKENIZERS, tokenised

_MODELS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")


class SPICE(MeanMetric):
    """F-score of scene-graph tuples (objects, attributes, relations) parsed from the captions.

    Args:
        tokenizer: "ptb" as COCO does, or "whitespace".
    """

    tasks = ("captioning",)
    name = "spice"
    title = "SPICE"
    source = "Anderson et al., ECCV 2016; spice-1.0.jar of pycocoevalcap 1.2"
    own_process = True

    def __init__(self, tokenizer: str = "ptb") -> None:
        self.tokenizer = tokenizer

    def settings(self) -> dict[str, str]:
        """Tokenizer and version."""
        return {"tokenizer": TOKENIZERS[self.tokenizer], "jar": "1.0"}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """The F-score of each caption, zero where the program gives none; (N, 1).

        Raises: ToolError if the models are absent (what to put where), or the program fails.
        """
        folder = pycocoevalcap_folder("spice")
        absent = [name for name in _MODELS if not (folder / "lib" / name).is_file()]
        if absent:
            raise ToolError(
                f"SPICE needs {' and '.join(absent)} in {folder / 'lib'}: take them out of "
                "stanford-corenlp-full-2015-12-09.zip (nlp.stanford.edu/software), or run "
                "`python -m pycocoevalcap.spice.get_stanford_models`"
            )
        captions = tokenised(self.name, self.tokenizer, predictions, targets)
        items = [
            {"image_id": place, "test": candidate, "refs": list(references)}
            for place, (candidate, references) in enumerate(
                zip(captions.candidates, captions.references, strict=True)
            )
        ]
        with tempfile.TemporaryDirectory() as scratch:
            asked, answered = Path(scratch) / "captions.json", Path(scratch) / "scores.json"
            asked.write_text(json.dumps(items), encoding="utf-8")
            arguments = ["-Xmx8G", "-jar", "spice-1.0.jar", str(asked), "-out", str(answered)]
            with JavaProgram("SPICE", [*arguments, "-subset", "-silent"], folder) as program:
                program.answer([], seconds=600 + len(items))
            scores = {
                item["image_id"]: item["scores"]["All"]["f"]
                for item in json.loads(answered.read_text(encoding="utf-8"))
            }
        values = np.array([scores[place] for place in range(len(items))], np.float64)
        return np.nan_to_num(values)[:, None]
