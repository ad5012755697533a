"""The official layout of VQA: a file of questions and one of annotations, joined by question."""

from __future__ import annotations

from pathlib import Path

from mmbench.data.readers.columns import files
from mmbench.data.table import Kind, Reader, Table
from mmbench.data.text_files import layout, read_json
from mmbench.errors import MMBenchError


class VQA(Reader):
    """Questions with the answers of ten annotators; see visualqa.org.

    Attributes:
        questions, annotations: the files, below the dataset's folder.
        images: the pattern of an image's file; `{image}` stands for its number.
    """

    kinds = ("questions",)

    questions: str
    annotations: str
    images: str

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        """A row's target is the list of the annotators' answers, its category the answer's type."""
        path = folder / self.annotations
        with layout(path, "a file of VQA annotations, {annotations: [{question_id, answers}]}"):
            annotations = {row["question_id"]: row for row in read_json(path)["annotations"]}
            answers = {
                key: [answer["answer"] for answer in row["answers"]]
                for key, row in annotations.items()
            }
        path = folder / self.questions
        with layout(path, "a file of VQA questions, {questions: [{question_id, image_id}]}"):
            questions = [
                {"id": row["question_id"], "text": row["question"], "image": row["image_id"]}
                for row in read_json(path)["questions"]
            ]
        asked = {row["id"] for row in questions}
        if asked != set(answers):
            only = len(asked - set(answers)), len(set(answers) - asked)
            raise MMBenchError(
                f"{path} and {self.annotations} do not belong together: {only[0]:,} questions "
                f"have no annotation, {only[1]:,} annotations no question. Are both of one version?"
            )
        rows = [
            row
            | {
                "id": str(row["id"]),
                "target": answers[row["id"]],
                "category": annotations[row["id"]].get("answer_type"),
            }
            for row in questions
        ]
        return Table(rows, {"image": files(rows, "image", folder, self.images)})
