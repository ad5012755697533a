"""Tables and their readers: the files of a split, in whatever layout, as plain rows and media.

A reader is a class registered under `mmbench.readers`. A dataset's YAML names it in `layout`; the
reader's fields are what the YAML may set there and in each split.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from mmbench.data.media import MediaSet
from mmbench.data.stored import Stored
from mmbench.yaml_file import Settings

Kind = Literal["questions", "captions"]
MediaFiles = Mapping[Any, Path | Stored]


@dataclass(frozen=True)
class Table:
    """A split as its reader found it.

    Attributes:
        rows: plain JSON values. Of "questions": `text` and `target`, with `category` where there
            is one; of "captions": `captions`, a list of strings, or one string, where several rows
            make a sample: those of one medium. Both may have `id`, unique in the split, and
            `group`; without, the row's place is its id, and its first medium its group. A row's
            `image`, `video` or `audio` is a key into `media`; a list of keys where a sample has
            several, of a reader that gives the media themselves.
        media: by modality, the file of each key; or the media themselves, by row, as arrays.
    """

    rows: list[dict[str, Any]]
    media: Mapping[str, MediaFiles | MediaSet] = field(default_factory=dict)


class Reader(Settings):
    """How the files of a split are laid out. Its fields are the options of `layout` in the YAML.

    Attributes:
        kinds: of tables that it reads.
        needs_folder: whether it reads files at all, or makes its samples.
    """

    kinds: ClassVar[tuple[Kind, ...]]
    needs_folder: ClassVar[bool] = True

    @abstractmethod
    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        """The split's table.

        Args:
            folder: of the dataset; of no meaning to a reader that needs none.
            split: its name in the YAML.
            kind: of table.
        Raises: MMBenchError naming a file that is missing, or not in this layout.
        """
