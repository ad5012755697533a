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
from typing import Annotated, Any

from pydantic import Field, model_validator

from mmbench import registry
from mmbench.elsewhere import overrides_of, recipe_of
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.named_part import Part, PartField, PartLike, read_part
from mmbench.prompts import Prompt
from mmbench.published_checkpoint import identified
from mmbench.stages import Stage
from mmbench.train_settings import Train
from mmbench.versions import part_defaults, undeciding
from mmbench.yaml_file import Settings, parse_yaml, read_yaml, setting, validate

_ABSENT = object()  # equal to no value

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
MODALITIES = ("text", "image", "video", "audio")
FUSION_KINDS = ("fusions", "late_fusions")  # what a recipe's `fusion` may name
TRAINING_KINDS = ("objectives", "balance")  # parts that decide how a model is trained, and no more


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
