"""Recipes: the parts of a model, their sizes, and how it is trained. YAML in, typed and hashed out.

A recipe leaves out what the task can supply: `resolve` fills in the task's default encoders and
decoder, so that one recipe runs on every task.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mmbench import registry
from mmbench.elsewhere import overrides_of, recipe_of
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.json_values import not_finite
from mmbench.optimizers import optimizer_options
from mmbench.prompts import Prompt
from mmbench.published_checkpoint import identified
from mmbench.stages import Stage
from mmbench.versions import part_defaults, undeciding
from mmbench.yaml_file import Settings, parse_yaml, read_yaml, setting, validate


class Part(Settings):
    """One member of the zoo and its options. In YAML: `gru`, or `{name: gru, layers: 2}`.

    Without a name, as in `{layers: 2}`, it is the task's default with other options.
    """

    name: str = ""
    options: dict[str, Any] = {}

    @field_validator("options")
    @classmethod
    def _finite(cls, options: dict[str, Any]) -> dict[str, Any]:
        for key, number in not_finite(options):
            raise ValueError(f"{key} must be a finite number, got {number}")
        return options

    def over(self, default: Part) -> Part:
        """This part; the default with this one's options where it has no name."""
        return (
            self if self.name else Part(name=default.name, options=default.options | self.options)
        )


_ABSENT = object()  # equal to no value

PartLike = str | Mapping[str, Any]  # as YAML has it


def read_part(value: PartLike | Part) -> Part:
    """A part as YAML has it: `gru`, `{name: gru, layers: 2}`, or options alone."""
    return value if isinstance(value, Part) else Part.model_validate(_read_part(value))


def _read_part(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "options" not in value:
        options = {k: v for k, v in value.items() if k != "name"}
        return {"name": value.get("name", ""), "options": options}
    return value


PartField = Annotated[Part, BeforeValidator(_read_part)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
MODALITIES = ("text", "image", "video", "audio")
FUSION_KINDS = ("fusions", "late_fusions")  # what a recipe's `fusion` may name
TRAINING_KINDS = ("objectives", "balance")  # parts that decide how a model is trained, and no more


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
        lr: highest learning rate. What suits `adamw` suits `muon`, and is mostly too low for `sgd`.
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
        several devices: a training runs on one; `compare --jobs` runs several side by side.
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


class Recipe(Settings):
    """What a model is made of. See `baselines/*.yaml` for examples.

    Attributes:
        title: what a paper's table calls the model; made of the file's name if empty.
        summary: the idea, in a line.
        source: where it was published.
        fusion: how the streams are joined; null for a model of one modality.
        width: D, the width of every stream.
        encoders: by modality; null drops the modality, if the dataset has it; what is not named is
            the task's default.
        decoder: the task's default if not named.
        losses: weights of the losses that the fusion gives, by name, and of the task's own
            (`task`); 1 for what is not named.
        balance: what keeps its modalities in balance while it is trained; nothing of it is left
            afterwards.
        train: how it is trained.
        stages: in which it is trained, one after the other; the task's own loss alone if none.
        search: what `compare --tune` tries of this model besides what it tries of all: by dotted
            key, a list of values or a range (`mmbench.experiments.search_space`). Decides nothing.
        predictor: instead of all these, a registered predictor (`majority`), with its options.
    """

    title: str = ""
    summary: str = ""
    source: str = ""
    fusion: PartField | None = None
    width: int = setting(128, added_with=128, ge=1, le=1_000_000)
    encoders: dict[str, PartField | None] = {}
    decoder: PartField | None = None
    losses: dict[str, Weight] = setting({}, added_with={})
    balance: PartField | None = None
    train: Train = Train()
    stages: list[Stage] = []
    search: dict[str, Any] = {}
    predictor: PartField | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Recipe:
        parts = self.fusion or self.encoders or self.decoder or self.losses or self.stages
        if self.predictor and (parts or self.balance):
            raise ValueError(
                "predictor stands alone: drop fusion, encoders, decoder, losses, balance and stages"
            )
        if self.predictor and not self.predictor.name:
            raise ValueError("predictor needs a name, such as majority")
        if self.balance and not self.balance.name:
            raise ValueError("balance needs a name, such as ogm_ge")
        return self

    @model_validator(mode="after")
    def _stages_are_told_apart(self) -> Recipe:
        names = [stage.name for stage in self.stages]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"stages has two called {twice}: give each a name of its own")
        if several := [stage.name for stage in self.stages if stage.tasks][1:]:
            raise ValueError(
                f"stages trains tasks together a second time, in {several[0]}: one stage has all"
            )
        for stage in self.stages:
            try:
                validate(Train, stage.train, f"the stage {stage.name}: train")
            except MMBenchError as error:
                raise ValueError(str(error)) from None
        return self

    def resolve(
        self,
        encoders: Mapping[str, PartLike | Part],
        decoder: PartLike,
        train: Mapping[str, Any] | None = None,
    ) -> Recipe:
        """With the task's default encoders and decoder filled in.

        Args:
            encoders, decoder: the task's.
            train: the dataset's settings of training; the recipe's own come before them.
        Raises: MMBenchError if the recipe names a modality that the task does not have. To drop one
            is no mistake, so that one recipe (the question alone) serves datasets of other media.
        """
        if self.predictor:
            return self
        for modality, asked in self.encoders.items():
            if modality not in encoders and (asked is not None or modality not in MODALITIES):
                raise MMBenchError(
                    f"the recipe names an encoder for '{modality}', which this task does not have: "
                    f"it has {', '.join(encoders)}.{did_you_mean(modality, encoders)}"
                )
        filled: dict[str, Part | None] = {}
        for modality, part in encoders.items():
            default = read_part(part)
            chosen = self.encoders.get(modality, default)
            filled[modality] = chosen.over(default) if chosen else None
        writer = read_part(decoder)
        own = self.train.model_dump(exclude_unset=True)
        return self.model_copy(
            update={
                "encoders": filled,
                "decoder": self.decoder.over(writer) if self.decoder else writer,
                "train": validate(Train, {**(train or {}), **own}, "train"),
            }
        )

    def asking(self, prompt: Prompt | None) -> Recipe:
        """With the prompt that its predictor asks by filled in, if it asks by one and has none."""
        part = self.predictor
        if part is None or "prompt" not in part_defaults("predictors", part.name)[0]:
            return self
        filled = {"prompt": prompt.text, "reads": prompt.reads} if prompt else {}
        own = part.model_copy(update={"options": filled | part.options})
        return self.model_copy(update={"predictor": own})

    @property
    def joint(self) -> Stage | None:
        """The stage that trains several tasks together, if there is one."""
        return next((stage for stage in self.stages if stage.tasks), None)

    def settings(self) -> dict[str, Any]:
        """All that decides what the model computes: the recipe less its words, as plain JSON."""
        return self.model_dump(mode="json", exclude={"title", "summary", "source", "search"})

    def parts(self) -> dict[str, tuple[str, Part]]:
        """By key (`encoders.image`, `fusion`), the registry's kind of each part, and the part."""
        found = {f"encoders.{m}": ("encoders", part) for m, part in self.encoders.items() if part}
        if self.fusion:
            found["fusion"] = registry.kind_of(self.fusion.name, FUSION_KINDS), self.fusion
        if self.decoder:
            found["decoder"] = "decoders", self.decoder
        if self.balance:
            registry.check("balance", self.balance.name)
            found["balance"] = "balance", self.balance
        if self.predictor:
            found["predictor"] = "predictors", self.predictor
        for stage in self.stages:
            for name, asked in () if stage.tasks else stage.objective.items():
                part = Part(name=name, options=asked.options)
                found[f"stages.{stage.name}.{name}"] = "objectives", part
        return found

    def deciding(self, trained: bool) -> dict[str, Any]:
        """By dotted key, the settings that differ from what they were when they were added.

        Of a checkpoint that a part begins from, the hash, whatever it is called.

        Args:
            trained: whether training's own decide anything.
        """
        found: dict[str, Any] = {
            f"encoders.{m}": "dropped" for m, part in self.encoders.items() if part is None
        }
        for key, (kind, part) in self.parts().items():
            if kind in TRAINING_KINDS and not trained:
                continue
            found[key] = part.name
            now, added = part_defaults(kind, part.name)
            left_out = undeciding(kind, part.name)
            for option, value in (now | identified(kind, part)).items():
                if option not in left_out and value != added.get(option, _ABSENT):
                    found[f"{key}.{option}"] = value
        if not self.predictor:
            found |= {key: v for key, v in self.changed().items() if key == "width"}
        if trained:
            found |= {f"losses.{name}": w for name, w in self.losses.items() if w != 1}
            found |= {f"train.{key}": value for key, value in self.train.changed().items()}
            for place, stage in enumerate(self.stages):
                found[f"stages.{stage.name}"] = {"at": place, **stage.changed()}
        return found


def load_recipe(name: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe by registered name or path, with `overrides` (`{"train.epochs": 3}`) put in.

    A model from elsewhere (`hf:NAME`) is one too, and overrides are its predictor's options.
    """
    value, origin = recipe_of(name), name
    if value is None:
        path = registry.path("recipes", name)
        value, origin = read_yaml(path), _short(path)
    recipe = validate(Recipe, value, origin)
    if not overrides:
        return recipe
    value = copy.deepcopy(value)
    for key, new in overrides_of(name, overrides).items():
        _put(value, key, new)
        recipe = validate(Recipe, value, f"--set {key}")
    return recipe


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """`["train.epochs=3"]` as `{"train.epochs": 3}`; values are read as YAML."""
    overrides: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise MMBenchError(f"--set takes KEY=VALUE, for example train.epochs=3; got '{pair}'")
        if key.strip() in overrides:
            raise MMBenchError(f"--set {key.strip()} is given twice: it takes one value")
        overrides[key.strip()] = parse_yaml(text, f"--set {key}")
    return overrides


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, as hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _put(value: dict[str, Any], key: str, new: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        inner = value.setdefault(parent, {})
        if isinstance(inner, str):  # `text: gru`, given an option: `{name: gru, layers: 2}`
            inner = value[parent] = {"name": inner}
        if not isinstance(inner, dict):
            raise MMBenchError(f"--set {key}: '{parent}' holds no keys")
        value = inner
    value[last] = copy.deepcopy(new)  # which a later key may change


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
