"""The hub's network: what to do where there is none."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies


@contextmanager
def offline_without_network() -> Iterator[bool]:
    """Where the hub's name leads nowhere, only the local cache is looked at, without retries.

    Gives whether that is so, or was asked for (HF_HUB_OFFLINE).
    """
    from huggingface_hub import constants

    settings: list[Any] = [constants]
    if "datasets" in sys.modules:
        settings.append(sys.modules["datasets"].config)
    before = [setting.HF_HUB_OFFLINE for setting in settings]
    try:
        if not getproxies():
            host = urlsplit(constants.ENDPOINT)
            socket.getaddrinfo(host.hostname, host.port or 443)
    except OSError:
        for setting in settings:
            setting.HF_HUB_OFFLINE = True
    try:
        yield bool(constants.HF_HUB_OFFLINE)
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.HF_HUB_OFFLINE = value
