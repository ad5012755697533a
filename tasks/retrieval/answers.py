"""What a predictor of retrieval may answer: a query's embedding, or how well each item fits it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Embedded(NamedTuple):
    """A query's place; the nearer an item of the other side by cosine, the better it fits.

    Attributes:
        embedding: (D,), of any length but 0.
        candidates: (k,), places in the gallery, which are scored anew: those nearest to the query.
            The gallery is the queries of the other side, in the order in which they are asked.
        scores: (k,), how well the candidates fit; they order the candidates and no others.
    """

    embedding: npt.NDArray[np.float32]
    candidates: npt.NDArray[np.int64] | None = None
    scores: npt.NDArray[np.float32] | None = None


class Scored(NamedTuple):
    """How well every item of the gallery fits a query.

    Attributes:
        scores: (G,), the more the better, of the queries of the other side in their order.
    """

    scores: npt.NDArray[np.float32]
