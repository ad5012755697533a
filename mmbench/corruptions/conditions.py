"""Conditions that a model answers under: a corruption of one modality at a level, or a shuffle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbench import registry
from mmbench.corruptions.base import Corruption
from mmbench.data.media import Array, MediaRef, MediaSet, media_of
from mmbench.data.sample import Query, Sample, stable_number
from mmbench.errors import MMBenchError
from mmbench.versions import part_version

CLEAN = "clean"
SHUFFLED = "shuffled"


@dataclass(frozen=True)
class Condition:
    """What is done to the inputs.

    Attributes:
        corruption: its name; CLEAN or SHUFFLED for what is none.
        modality: that it is done to; "" of CLEAN.
        level: 1 is the least; 0 of CLEAN.
        of: how many levels the corruption has.
        amount: of damage, as the corruption counts it.
        version: of the corruption's code.
    """

    corruption: str
    modality: str
    level: int
    of: int
    amount: float
    version: int | str

    @property
    def key(self) -> str:
        """What it is called in files."""
        return f"{self.corruption}.{self.modality}.{self.level}" if self.modality else CLEAN


UNDAMAGED = Condition(CLEAN, "", 0, 0, 0.0, 1)


def shuffled(modality: str) -> Condition:
    """The condition in which a modality's inputs are those of other samples."""
    return Condition(SHUFFLED, modality, 1, 1, 1.0, 1)


def check_corruptions(names: Sequence[str], modalities: Sequence[str]) -> None:
    """Refuse a corruption that is not known, or that can be done to none of the modalities.

    Raises: MMBenchError naming it.
    """
    for name in names:
        registry.check("corruptions", name)
        known = registry.load("corruptions", name).modalities
        if not set(known) & set(modalities):
            raise MMBenchError(
                f"the corruption {name} is of {' or '.join(known)}; what is asked reads "
                f"{' and '.join(modalities) or 'nothing'}. `mmbench list corruptions` shows all"
            )


def conditions_of(
    modalities: Sequence[str], names: Sequence[str] | None = None
) -> tuple[list[Condition], list[str]]:
    """The conditions of a model that reads these modalities, and what is not run, in words.

    Args:
        modalities: that the model reads.
        names: of corruptions; all that are registered if None.
    """
    found: list[Condition] = []
    not_run: list[str] = []
    for name in dict.fromkeys(registry.names("corruptions") if names is None else names):
        corruption: type[Corruption] = registry.load("corruptions", name)
        fitting = [m for m in modalities if m in corruption.modalities]
        if not fitting:
            not_run.append(f"{name} is of {' or '.join(corruption.modalities)}")
        levels = len(corruption.amounts)
        version = part_version("corruptions", name)
        found += [
            Condition(name, modality, level, levels, amount, version)
            for modality in fitting
            for level, amount in enumerate(corruption.amounts, 1)
        ]
    return found, not_run


def damaged(
    queries: Sequence[Query], condition: Condition, seed: int
) -> tuple[list[Query], np.ndarray]:
    """The queries after the damage, and which of them (N,) lack the modality altogether.

    A query that nothing is done to is the very one that was given.

    Args:
        condition: of a corruption.
        seed: of the draws.
    """
    corruption: Corruption = registry.load("corruptions", condition.corruption)()
    made = _Damage(corruption, condition, seed)
    missing = np.zeros(len(queries), np.bool_)
    changed = list(queries)
    for place, query in enumerate(queries):
        value = query.inputs.get(condition.modality)
        if value is None:
            continue
        if made.missing(query):
            missing[place] = True
        elif (other := made.value(query, value)) is not value:
            changed[place] = Query(query.id, {**query.inputs, condition.modality: other})
    return changed, missing


class _Damage:
    """What a condition makes of values; a medium that many share is one medium afterwards."""

    def __init__(self, corruption: Corruption, condition: Condition, seed: int) -> None:
        self._corruption = corruption
        self._takes_away = type(corruption).missing is not Corruption.missing
        self._changes = type(corruption).damaged is not Corruption.damaged
        self._amount = condition.amount
        self._drawn = f"{seed}/{condition.corruption}/{condition.modality}"  # at every level
        self._made = f"{self._drawn}/{condition.amount!r}/{condition.version}"
        self._media: dict[MediaRef, MediaRef] = {}
        self._sets: dict[str, MediaSet] = {}

    def seed_of(self, name: str) -> int:
        """The number that what is done to this sample or medium is drawn from."""
        return stable_number(f"{self._drawn}/{name}")

    def missing(self, query: Query) -> bool:
        """Whether the query lacks the modality."""
        return self._takes_away and self._corruption.missing(self._amount, self.seed_of(query.id))

    def value(self, query: Query, value: Any) -> Any:
        """The damaged value; the same object where nothing is done to it."""
        if not self._changes:
            return value
        if isinstance(value, tuple) and media_of(value):
            return tuple(self.value(query, one) for one in value)
        if isinstance(value, MediaRef):
            found = self._media.get(value)
            if found is None:
                found = self._media[value] = self._medium(value)
            return found
        text = str(value)
        other = self._corruption.damaged(text, self._amount, self.seed_of(query.id))
        return value if other == text else other

    def _medium(self, value: MediaRef) -> MediaRef:
        made = self._sets.get(value.set_digest)
        if made is None:

            def seed(row: int) -> int:
                return self.seed_of(f"{value.set_digest}/{row}")

            media = DamagedMedia(value.media, self._corruption, self._amount, seed)
            made = MediaSet(media, f"{value.set_digest}/{self._made}", value.rate)
            self._sets[value.set_digest] = made
        return MediaRef(made, made.digest, value.row)


class DamagedMedia:
    """Media that are damaged whenever one is read: see `mmbench.data.media.OnTheFly`.

    Args:
        seed: gives that of each row, which all samples about it share.
    """

    def __init__(
        self, media: MediaSet, corruption: Corruption, amount: float, seed: Callable[[int], int]
    ) -> None:
        self._media = media
        self._corruption = corruption
        self._amount = amount
        self._seed = seed

    def __len__(self) -> int:
        return len(self._media)

    def __getitem__(self, row: int) -> Array:
        found: Array = self._corruption.damaged(
            self._media.values[row], self._amount, self._seed(row)
        )
        return found


def partners(samples: Sequence[Sample], seed: int) -> np.ndarray | None:
    """For each sample (N,) the place of another one, of another group and about other media.

    Each sample is the partner of one. The groups, in an order that is drawn, stand in a ring, and
    all samples move on by as many places as the largest group has. Groups that share a medium
    count as one. None where a group holds more than half of the samples: no such pairing exists.
    """
    from scipy.cluster.hierarchy import DisjointSet

    owners: dict[Any, str] = {}
    groups = DisjointSet(dict.fromkeys(sample.group for sample in samples))
    for sample in samples:
        for given in sample.inputs.values():
            for value in media_of(given):
                groups.merge(owners.setdefault(value, sample.group), sample.group)
    blocks: dict[str, list[int]] = {}
    ordered = sorted(range(len(samples)), key=lambda at: samples[at].id)
    for place in ordered:
        blocks.setdefault(groups[samples[place].group], []).append(place)
    largest = max(map(len, blocks.values()), default=0)
    if not largest or 2 * largest > len(samples):
        return None
    drawn = {
        name: stable_number(f"{seed}/{SHUFFLED}/{samples[block[0]].id}")
        for name, block in blocks.items()
    }
    ring = np.array([at for name in sorted(blocks, key=drawn.__getitem__) for at in blocks[name]])
    found = np.empty(len(samples), np.int64)
    found[ring] = np.roll(ring, -largest)
    return found


def with_inputs_of(samples: Sequence[Sample], modality: str, places: np.ndarray) -> list[Query]:
    """The samples' queries, each with the input of a modality that the sample at a place has."""
    return [
        Query(sample.id, {**sample.inputs, modality: samples[place].inputs[modality]})
        for sample, place in zip(samples, places.tolist(), strict=True)
    ]
