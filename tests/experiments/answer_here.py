"""Runs of models on a few samples, in this process, one of several where a launcher started some.

    python answer_here.py DATASET.yaml OUT [LLAVA CLIP]

Records lie in OUT; the first process prints what it found out about calls of Python objects.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import mmbench
from mmbench.experiments.watch import SILENT
from mmbench.processes import here, leave
from mmbench.task import Answer


class InBatches:
    """Answers in batches of three, and each by what else is in its batch."""

    asked = 0

    def starts(self, queries: Sequence) -> list[int]:
        return list(range(0, len(queries), 3))

    def predict(self, queries: Sequence):
        self.asked = len(queries)
        for start in range(0, len(queries), 3):
            batch = queries[start : start + 3]
            yield from (Answer("+".join(query.id for query in batch)) for _ in batch)


class OneAfterTheOther:
    """Answers by how many came before, so that it cannot be parted, and does not say how."""

    asked = 0

    def predict(self, queries: Sequence):
        for number, _ in enumerate(queries):
            self.asked += 1
            yield Answer(f"number {number}")


def main() -> None:
    dataset, out, *checkpoints = sys.argv[1:]
    settings = {"device": "cpu", "out": out, "watch": SILENT}
    mmbench.run("vqa", "gated_fusion", dataset="easy_vqa", limit=60, batch_size=2, **settings)
    if checkpoints:
        llava, clip = checkpoints
        asked = {"overrides": {"max_new_tokens": 4, "batch": 4}, "limit": 26}
        mmbench.run("vqa", f"hf:{llava}", dataset="easy_vqa", **asked, **settings)
        mmbench.run("retrieval", f"hf:{clip}", dataset=dataset, overrides={"batch": 4}, **settings)
    for predictor in (InBatches(), OneAfterTheOther()):
        found = mmbench.run("vqa", predictor, dataset="easy_vqa", limit=20, **settings)
        counts = here().of_each(predictor.asked)
        if here().first:
            print(found.record.model, found.record.environment.processes, counts)
    leave()


if __name__ == "__main__":
    main()
