"""Checkpoints of transformers, saved here, and encoders that begin from them."""

import pytest
import torch

from mmbench.data.words import Vocabulary
from mmbench.zoo.part import build_part
from tests.tiny_checkpoints import TYPES, save_checkpoint
from tests.zoo.checkpoint_inputs import D


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """By type of network, the folder of a checkpoint."""
    root = tmp_path_factory.mktemp("checkpoints")
    return {kind: save_checkpoint(kind, root / kind) for kind in sorted({*TYPES.values()})}


@pytest.fixture
def built(folders):
    """`built(name, **options)`: an encoder that begins from its checkpoint."""

    def build(name, **options):
        torch.manual_seed(0)
        options = {"pretrained": folders[TYPES[name]]} | options
        vocabulary = Vocabulary(["word"])
        return build_part("encoders", name, options, dim=D, vocabulary=vocabulary)

    return build
