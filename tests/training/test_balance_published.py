"""Balancing methods against numbers that their authors' own code gives.

Each was run unchanged, on these inputs: `main.py` of GeWu-Lab/OGM-GE_CVPR2022 at 343dc1d,
`MMPareto.py` with its `min_norm_solvers.py` of GeWu-Lab/MMPareto_ICML2024 at a339db3, and
`main_Prototype_grad.py` of fanyunfeng-bit/Modal-Imbalance-PMR at 3615e48.
"""

import pytest
import torch
from torch.nn import functional

from mmbench.model import Decision
from mmbench.training.balance.base import right_scores
from mmbench.training.balance.mmpareto import integrate
from mmbench.training.balance.ogm_ge import modulation
from mmbench.training.balance.pmr import PMR
from mmbench.training.objectives.base import Epoch
from mmbench.zoo.stream import Stream
from tests.training.test_balance_equations import Tiny


def table(rows, columns, step):
    """sin(step), sin(2 step), ... as a table."""
    return torch.sin(torch.arange(1, rows * columns + 1) * step).view(rows, columns)


def decision(target, **features):
    """A decision of which nothing counts but the streams, and the logits that are asked about."""
    streams = {m: Stream.whole(x[:, None]) for m, x in features.items()}
    present = {m: stream.present for m, stream in streams.items()}
    zeros = torch.zeros(len(target), 2)
    return Decision(
        zeros, target, {"answer": torch.zeros(())}, "answer", streams, present, lambda z: z
    )


def test_ogm_ge_has_the_coefficients_of_its_authors_code():
    target = torch.tensor([0, 1, 2, 0, 1])
    logits = {"a": 2 * table(5, 3, 1.0), "v": 3 * table(5, 3, 2.0)}
    scores = right_scores(logits, decision(target, **logits))
    assert (scores[1] / scores[0]).item() == pytest.approx(1.2314021587, abs=1e-6)
    torch.testing.assert_close(modulation(scores, 0.8), torch.tensor([1.0, 0.2447254658]))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (1.3, [2.707544, 2.137198, -0.819969, -2.460386, -1.115706, 1.078692]),
        (2.9, [1.638292, 0.705735, 1.191713, -2.368041, -0.089211, -1.888452]),  # in conflict
    ],
)
def test_mmpareto_integrates_gradients_as_its_authors_code_does(step, expected):
    found = integrate(table(1, 6, 1.0)[0], table(1, 6, step)[0], gamma=1.5)
    torch.testing.assert_close(found, torch.tensor(expected), atol=2e-6, rtol=0)


def test_pmr_has_the_prototypes_and_distances_of_its_authors_code():
    model = Tiny()
    model.classes = 6
    for encoder in model.encoders.values():
        encoder.dim = 4
    method = PMR(model, alpha=1.0, mu=0.0, momentum=0.2)
    classes = torch.arange(12) % 6
    epochs = [
        decision(classes, a=table(12, 4, 0.7), b=table(12, 4, 1.9)),
        decision(classes, a=table(12, 4, 0.4), b=table(12, 4, 1.1)),
    ]
    for number, seen in enumerate(epochs):
        method.before_epoch(model, Epoch(number, 8, [0] * 12, [], 4, None), lambda *_, s=seen: [s])
    first = [-0.09498193860, -0.00612668693, 0.07180429250, 0.10985354334]
    last = [-0.6170771718, -0.3253617287, 0.5322698951, 0.7004230618]
    torch.testing.assert_close(method.get_buffer("prototypes_a")[0], torch.tensor(first))
    torch.testing.assert_close(method.get_buffer("prototypes_b")[5], torch.tensor(last))

    target = torch.arange(5)
    asked = decision(target, a=table(5, 4, 1.0), b=table(5, 4, 2.0))
    logits = {m: method.scores(m, asked) for m in "ab"}
    expected = torch.tensor([0.8184050918, 0.9542365074])
    torch.testing.assert_close(right_scores(logits, asked), expected)
    assert functional.cross_entropy(logits["a"], target).item() == pytest.approx(1.815958, abs=1e-6)
    assert functional.cross_entropy(logits["b"], target).item() == pytest.approx(1.697330, abs=1e-6)
    losses = method.losses(model, asked)
    beta = 0.9542365074 / 0.8184050918 - 1
    assert losses["pmr.a"].item() == pytest.approx(beta * 1.815958, abs=1e-6)
    assert losses["pmr.b"].item() == 0
