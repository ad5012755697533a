import torch

from mmbench.zoo.decoders.classifier import Classifier
from mmbench.zoo.stream import Stream


def test_a_classifier_gives_a_logit_per_class_and_reads_no_masked_position():
    torch.manual_seed(0)
    decoder = Classifier(dim=8, classes=5)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    tokens = torch.randn(2, 3, 8)
    logits = decoder(Stream(tokens, mask))
    assert logits.shape == (2, 5)
    tokens[~mask] = 1e6
    torch.testing.assert_close(logits, decoder(Stream(tokens, mask)))
