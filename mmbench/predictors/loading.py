"""Networks of transformers as they are, with what prepares their inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from mmbench.errors import MMBenchError, in_one_line
from mmbench.published_checkpoint import PublishedCheckpoint
from mmbench.zoo.transformers_network import quiet


@dataclass(frozen=True)
class Loading:
    """How a published checkpoint is loaded.

    Attributes:
        checkpoint: which.
        device: that it goes to.
        dtype: of its weights; "auto" for the checkpoint's own.
        attention: as of transformers; None for its choice.
        device_map: how it is spread over devices, in place of `device`; None for not.
    """

    checkpoint: PublishedCheckpoint
    device: str
    dtype: str = "auto"
    attention: str | None = None
    device_map: str | None = None

    def network(self, auto: Any, does: str, by: str = "forward") -> Any:
        """The network, in evaluation mode.

        Args:
            auto: a class such as `AutoModel`.
            does: what is asked of it, for an error.
            by: the method that does it.
        Raises: MMBenchError if it is of a kind that `auto` does not have, or cannot be loaded.
        """
        from transformers import AutoConfig

        if self.checkpoint.pipeline:
            raise self._other_kind(does)
        folder = str(self.checkpoint.folder)
        options = {"device_map": self.device_map, "attn_implementation": self.attention}
        with quiet():
            try:
                config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            except Exception as error:  # whatever files from elsewhere make transformers raise
                raise self.unusable("its configuration cannot be read", error) from None
            try:
                known = hasattr(auto._model_mapping.get(type(config), None), by)
            except ImportError as error:  # of a library that this kind of network needs
                raise self.unusable("its network cannot be loaded", error) from None
            if not known:
                raise self._other_kind(does)
            try:
                network, report = auto.from_pretrained(
                    folder,
                    config=config,
                    dtype=self.dtype,
                    use_safetensors=True,
                    trust_remote_code=False,
                    local_files_only=True,
                    output_loading_info=True,
                    **{name: value for name, value in options.items() if value is not None},
                )
            except Exception as error:
                raise self.unusable("its network cannot be loaded", error) from None
        if missing := sorted(report["missing_keys"]):
            raise MMBenchError(
                f"the checkpoint {self.checkpoint.name} lacks {len(missing)} of the network's "
                f"weights, such as {missing[0]}: it is of another network"
            )
        network = network.eval().requires_grad_(False)
        return network if self.device_map is not None else network.to(self.device)

    def processor(self) -> Any:
        """What makes its inputs of texts and media.

        Raises: MMBenchError if it has none that can be read.
        """
        from transformers import AutoProcessor

        with quiet():
            try:
                return AutoProcessor.from_pretrained(
                    str(self.checkpoint.folder), trust_remote_code=False, local_files_only=True
                )
            except Exception as error:
                raise self.unusable("its processor cannot be read", error) from None

    def _other_kind(self, does: str) -> MMBenchError:
        return MMBenchError(
            f"the checkpoint {self.checkpoint.name} is of type {self.checkpoint.architecture}, "
            f"which transformers does not load as a model that {does}: name another one"
        )

    def unusable(self, what: str, error: Exception) -> MMBenchError:
        """The error of a checkpoint that transformers cannot use."""
        return MMBenchError(f"the checkpoint {self.checkpoint.name}: {what}: {in_one_line(error)}")


def on(network: Any, inputs: Any) -> dict[str, torch.Tensor]:
    """A processor's tensors where the network is; numbers that are no places in its precision."""
    return {
        name: value.to(network.device, network.dtype if value.is_floating_point() else None)
        for name, value in inputs.items()
    }
