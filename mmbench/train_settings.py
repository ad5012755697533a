"""The settings of training: those of a recipe, of one of its stages, or of a dataset's file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator

from mmbench.errors import MMBenchError
from mmbench.named_part import Part, PartField
from mmbench.optimizers import optimizer_options
from mmbench.yaml_file import Settings, setting


class Train(Settings):
    """How a model is trained.

    Attributes:
        epochs: passes over the training samples.
        batch: groups (an image with all its questions) a step.
        neighbours: how many groups of a batch are alike, so that each is told from the others: hard
            negatives of a contrastive loss; see `mmbench.training.mining`. It divides `batch`; 1
            draws all at random.
        neighbours_by: "model" takes those that the model itself finds alike, anew each epoch;
            "order" those that follow each other in the data, which must come in such runs.
        neighbours_from: share of the epochs in which all are drawn at random before.
        optimizer: `adamw`, `sgd`, `adafactor` or `muon`; with options `{name: sgd, momentum: 0.8}`.
        lr: highest learning rate. What suits `adamw` suits `muon`, which may take several times as
            much, and is mostly too low for `sgd`.
        weight_decay: biases, norms and embeddings are not decayed.
        schedule: of the learning rate after the warm-up. `one_cycle` also warms up from lr/25 and
            ends at lr/10,000 (Smith and Topin 2017); `cosine` ends at 0.
        warmup: share of all steps in which the learning rate rises linearly.
        clip: largest gradient norm.
        accumulate: batches whose gradients are averaged for one step of the optimizer; the last of
            an epoch takes those that are left. A contrastive loss still compares the samples of one
            batch alone. Not with a `balance`, which changes the gradients of each batch.
        ema: decay of an exponential moving average of the weights, such as 0.999, which is what is
            validated and kept; 0 for none. It begins lower: after update t at (1 + t) / (10 + t).
        patience: epochs in a row without gain on validation after which training ends; null for
            none. The schedule is made for all `epochs`, so that its rate is not low by then:
            `schedule: constant` suits it.
        choose_by: what is looked at on validation, for `keep` and `patience`: a metric of
            `mmbench list metrics` that suits the task, or `loss`; null for the task's choice.
            Stages that do not minimise the task's own loss alone look at their loss.
        keep: the weights of which epoch are the model's: "best" on validation, or "last", which a
            schedule that ends near 0 leaves settled, and which needs no validation that is large
            enough to choose by.
        label_smoothing: of the cross-entropy.
        dropout: probability that a feature of an encoded stream is zeroed while it is trained on.
        modality_dropout: probability that a sample is trained on without one of the modalities that
            the fusion joins to its query, drawn for each; the query is never dropped.
    Not supported:
        parts of a model on several devices: each has all of it; several processes share out the
            batches (`accelerate launch`), and `compare --jobs` runs trainings side by side.
        rates by part: stages train parts one after the other, each with a `train.lr` of its own.
        reduce on plateau: schedules know the steps alone; `patience` ends a training instead.
        other precision: bfloat16 under autocast on a GPU, float32 on a CPU.
        other optimizers: what torch has and is not named here; a plug-in may add an objective or a
            balancing method, and no optimizer.
    """

    epochs: int = setting(16, added_with=16, ge=1)
    batch: int = setting(64, added_with=64, ge=1)
    neighbours: int = setting(1, added_with=1, ge=1)
    neighbours_by: Literal["model", "order"] = setting("model", added_with="model")
    neighbours_from: float = setting(0.4, added_with=0.4, ge=0, lt=1)
    optimizer: PartField = setting(Part(name="adamw"), added_with={"name": "adamw", "options": {}})
    lr: float = setting(2e-3, added_with=2e-3, gt=0)
    weight_decay: float = setting(0.01, added_with=0.01, ge=0)
    schedule: Literal["one_cycle", "cosine", "constant"] = setting(
        "one_cycle", added_with="one_cycle"
    )
    warmup: float = setting(0.1, added_with=0.1, ge=0, lt=1)
    clip: float = setting(1.0, added_with=1.0, gt=0)
    accumulate: int = setting(1, added_with=1, ge=1)
    ema: float = setting(0.0, added_with=0.0, ge=0, lt=1)
    patience: int | None = setting(None, added_with=None, ge=1)
    choose_by: str | None = setting(None, added_with=None)
    keep: Literal["best", "last"] = setting("best", added_with="best")
    label_smoothing: float = setting(0.0, added_with=0.0, ge=0, lt=1)
    dropout: float = setting(0.0, added_with=0.0, ge=0, lt=1)
    modality_dropout: float = setting(0.0, added_with=0.0, ge=0, lt=1)

    @field_validator("optimizer")
    @classmethod
    def _optimizer_exists(cls, asked: Part) -> Part:
        asked = asked.over(Part(name="adamw"))
        try:
            optimizer_options(asked.name, asked.options)
        except MMBenchError as error:
            raise ValueError(str(error)) from None
        return asked

    @property
    def optimizer_options(self) -> Settings:
        """The options of its optimizer, defaults filled in: `mmbench.optimizers`."""
        return optimizer_options(self.optimizer.name, self.optimizer.options)

    def changed(self) -> dict[str, Any]:
        """As of all settings; not what chooses the epoch, which a run's identity names by itself.

        Of the optimizer its name, and by dotted key its options.
        """
        found = super().changed()
        found.pop("choose_by", None)
        found.pop("optimizer", None)
        if self.optimizer.name != "adamw":
            found["optimizer"] = self.optimizer.name
        options = self.optimizer_options.changed()
        return found | {f"optimizer.{option}": value for option, value in options.items()}
