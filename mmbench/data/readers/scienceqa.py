"""The official layout of ScienceQA: problems by number, the splits' numbers, a folder a problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.data.readers.columns import answer_of
from mmbench.data.table import Kind, Reader, Table
from mmbench.data.text_files import layout, read_json


class ScienceQA(Reader):
    """Questions with several choices; those that have an image.

    Attributes:
        split: its name in `pid_splits.json`.
        problems, numbers: the files, below the dataset's folder.
        images: the pattern of an image's file.
    """

    kinds = ("questions",)

    split: str
    problems: str = "problems.json"
    numbers: str = "pid_splits.json"
    images: str = "images/{split}/{id}/{image}"

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        """Questions with choices.

        A row's target is the text of the right choice, its `choices` all of them, its category
        the subject.
        """
        path = folder / self.numbers
        with layout(path, "a file of ScienceQA's splits, {train: [number, ...], ...}"):
            numbers = [str(number) for number in read_json(path)[self.split]]
        path = folder / self.problems
        rows: list[dict[str, Any]] = []
        images = {}
        with layout(path, "a file of ScienceQA's problems, {number: {question, choices, ...}}"):
            problems = read_json(path)
            for number in numbers:
                problem = problems[number]
                if not problem["image"]:
                    continue
                target, choices = answer_of(problem["answer"], list(problem["choices"]))
                rows.append(
                    {
                        "id": number,
                        "text": problem["question"],
                        "choices": choices,
                        "target": target,
                        "category": problem["subject"],
                        "image": number,
                    }
                )
                images[number] = folder / self.images.format(
                    split=problem["split"], id=number, image=problem["image"]
                )
        return Table(rows, {"image": images})
