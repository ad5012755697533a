"""The families of mmbench's own metrics."""

from __future__ import annotations

from mmbench.families import Family

_DIRECTIONS = tuple(
    direction
    for medium in ("image", "video", "audio")
    for direction in (f"text_to_{medium}", f"{medium}_to_text")
)
_AT = {"direction": _DIRECTIONS, "k": (1, 5, 10)}
_OF = {"direction": _DIRECTIONS}

_FEATURES = ("inception_v3", "efficientnet_lite0")

CAPTIONS = (Family("bleu_{order}", "mmbench.metrics.captions.bleu:BLEU", {"order": (1, 2, 3, 4)}),)

IMAGES = (
    Family(
        "image_{kind}_{features}",
        "mmbench.metrics.images.prdc:ManifoldMetric",
        {"kind": ("precision", "recall", "density", "coverage"), "features": _FEATURES},
    ),
    Family("kid_{features}", "mmbench.metrics.images.kid:KID", {"features": _FEATURES}),
    Family(
        "fd_{features}",
        "mmbench.metrics.images.frechet:FrechetDistance",
        {"features": ("efficientnet_lite0",)},  # on inception_v3 it is called `fid`
    ),
)

RETRIEVAL = (
    Family("{direction}_recall_at_{k}", "mmbench.metrics.retrieval:RecallAtK", _AT, ("k",)),
    Family(
        "{direction}_true_recall_at_{k}", "mmbench.metrics.retrieval:TrueRecallAtK", _AT, ("k",)
    ),
    Family("{direction}_median_rank", "mmbench.metrics.retrieval:MedianRank", _OF),
    Family("{direction}_mean_rank", "mmbench.metrics.retrieval:MeanRank", _OF),
    Family("{direction}_mrr", "mmbench.metrics.retrieval:MeanReciprocalRank", _OF),
    Family("{direction}_r_precision", "mmbench.metrics.retrieval:RPrecision", _OF),
    Family("{direction}_map_at_r", "mmbench.metrics.retrieval:MAPAtR", _OF),
)
