"""GPT-2 as a text decoder, from a checkpoint; the contract is in `test_text_decoders.py`."""

import pytest
import torch

from mmbench.checkpoint import Checkpoint, read_checkpoint
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.experiments.operations import operations_of
from mmbench.model import parameter_counts
from mmbench.zoo.decoders.search import Search, write
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream
from tests.tiny_checkpoints import save_checkpoint

D = 8
TEXTS = ["A man rides.", "Dogs!"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_checkpoint("gpt2", tmp_path_factory.mktemp("gpt2"))


@pytest.fixture
def built(folder):
    def build(fusion=True, seed=0, **options):
        torch.manual_seed(seed)

        def make():
            return build_part("fusions", "gated", {}, dim=D, contexts=("image",))

        options = {"pretrained": folder} | options
        return build_part(
            "decoders",
            "gpt2",
            options,
            dim=D,
            vocabulary=Vocabulary([]),
            fusion=make if fusion else None,
            longest=20,
        )

    return build


def context(seed=0):
    return Stream.whole(torch.randn(2, 4, D, generator=torch.Generator().manual_seed(seed)))


def test_without_a_fusion_it_is_the_checkpoints_language_model(built, folder):
    from transformers import GPT2LMHeadModel

    decoder = built(fusion=False)
    words, _ = decoder.read(TEXTS, 40)
    with torch.no_grad():
        expected = GPT2LMHeadModel.from_pretrained(folder).eval()(words).logits
    torch.testing.assert_close(decoder(words, []).logits, expected, atol=1e-5, rtol=1e-4)


def test_the_prefix_stands_before_the_words(built, folder):
    from transformers import GPT2LMHeadModel

    decoder = built(prefix=3).eval()
    words, _ = decoder.read(TEXTS, 40)
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    with torch.no_grad():
        prefix, _ = decoder.fused(decoder.asks.expand(2, -1, -1), [context()])
        told = torch.cat([decoder.enter(prefix), model.transformer.wte(words)], 1)
        expected = model(inputs_embeds=told).logits[:, 3:]
        found = decoder(words, [context()]).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_it_reads_and_spells_by_the_checkpoints_own_tokenizer(built):
    decoder = built()
    numbers, mask = decoder.read(TEXTS, 8)
    assert mask.sum(1).tolist() == [8, 5]
    assert decoder.spell(numbers[1][mask[1]].tolist()) == "Dogs!"
    assert decoder.end == 256
    assert decoder.never == (257, 258, 259)  # which the tokenizer does not have
    assert decoder.pieces == 2


@pytest.mark.parametrize("kind", ["greedy", "beam", "nucleus"])
def test_it_writes_what_its_tokenizer_can_spell(built, kind):
    decoder = built().eval()
    with torch.inference_mode():
        texts = write(decoder, [context()], 2, longest=6, search=Search(kind=kind), seeds=[0, 1])
    assert all(number < 256 for text in texts for number in text)
    assert all(isinstance(decoder.spell(text), str) for text in texts)


def test_its_operations_are_counted_step_by_step(built):
    decoder = built().eval()
    words, _ = decoder.read(TEXTS, 5)

    def stepwise():
        state = decoder.begin(2, words.device, [context()])
        for place in range(5):
            _, state = decoder.step(words[:, place], state, [context()])

    layers = 2 * 3 * 12 * 16 * 16  # of a position
    assert operations_of(stepwise) > 2 * (8 + 5) * layers


def test_frozen_it_learns_by_its_prefix_alone(built, tmp_path):
    decoder = built().train()
    words, _ = decoder.read(TEXTS, 8)
    decoder(words, [context()]).logits.square().sum().backward()
    names = {key.partition(".")[0] for key, _ in decoder.named_parameters()}
    assert names == {"asks", "fused", "enter"}
    assert all(p.grad.abs().sum() > 0 for p in decoder.parameters())
    path = tmp_path / "weights.safetensors"
    path.write_bytes(Checkpoint(decoder.state_dict(), {}, {}, {}).to_bytes())
    other = built(seed=1)
    read_checkpoint(path).restore(other)
    assert torch.equal(other(words, [context()]).logits, decoder(words, [context()]).logits)
    model = torch.nn.Module()
    model.decoder = decoder
    assert parameter_counts(model)["decoder (frozen)"] == decoder.frozen_parameters > 0


def test_its_last_layers_or_all_are_trained_when_asked(built):
    counts = []
    for unfreeze in ("none", "last_1", "last_3", "all"):
        decoder = built(unfreeze=unfreeze).train()
        words, _ = decoder.read(TEXTS, 8)
        decoder(words, [context()]).logits.square().sum().backward()
        assert all(p.grad is not None for p in decoder.parameters())
        counts.append(sum(p.numel() for p in decoder.parameters()))
    assert counts == sorted(set(counts))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"prefix": 0}, "prefix must be at least 1"),
        ({"prefix": 90}, "may take 130 positions with its prefix, and the checkpoint reads 100"),
        ({"layers": 4}, "layers is of a network from nothing"),
        ({"unfreeze": "lots"}, "unfreeze must be none, all, or last_"),
    ],
)
def test_what_cannot_be_is_one_line(built, options, says):
    with pytest.raises(MMBenchError, match=says):
        built(**options)
