"""Checkpoints of transformers, and options of them, that cannot be used: one line each."""

import json
import shutil

import pytest
import torch

from mmbench.errors import MMBenchError
from mmbench.zoo.part import build_part
from tests.tiny_checkpoints import TYPES
from tests.zoo.checkpoint_inputs import D

BAD = [
    ("vit", "bert", {}, "of a network of type bert.*vit.*The encoder bert reads it"),
    ("bert", "gpt2", {}, "of a network of type gpt2"),
    ("vit", "vit", {"unfreeze": "lots"}, "unfreeze must be none, all, or last_.*got 'lots'"),
    ("vit", "vit", {"unfreeze": "last_0"}, "unfreeze must be none"),
    ("vit", "vit", {"unfreeze": "last_4"}, "unfreeze must be at most last_3"),
    ("vit", "vit", {"layers": 2}, "layers is of a network from nothing"),
    ("vit", "vit", {"revision": "main"}, "is a folder, which has no revision"),
    (
        "vit",
        "vit",
        {"lora": {"rank": 0}},
        r"vit\.lora\.rank must .*greater than or equal to 1, got 0",
    ),
    ("vit", "vit", {"lora": {"rank": 2}, "unfreeze": "all"}, "leave `unfreeze: all` out"),
]


@pytest.mark.parametrize(("name", "kind", "options", "says"), BAD)
def test_what_cannot_be_is_one_line(name, kind, options, says, built, folders):
    with pytest.raises(MMBenchError, match=says) as raised:
        built(name, pretrained=folders[kind], **options)
    assert "\n" not in str(raised.value)


def without(*names):
    def change(folder):
        for name in names:
            (folder / name).unlink()

    return change


def code_in(file):
    def change(folder):
        path = folder / file
        value = json.loads(path.read_text()) | {"auto_map": {"AutoModel": "evil.Model"}}
        path.write_text(json.dumps(value))

    return change


class _Harmful:
    def __reduce__(self):
        return print, ("this would have run",)


def pickled(folder):
    (folder / "model.safetensors").unlink()
    torch.save(_Harmful(), folder / "pytorch_model.bin")


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def lacking(folder):
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    state = {k: v for k, v in state.items() if "layer.1" not in k and "layers.1" not in k}
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def other_size(folder):
    path = folder / "preprocessor_config.json"
    path.write_text(path.read_text().replace('"height": 32', '"height": 40'))


DAMAGED = [
    ("vit", pickled, "weights as pytorch_model.bin alone.*never a pickle"),
    ("vit", without("model.safetensors"), "has no model.safetensors"),
    ("vit", without("config.json"), "lacks config.json"),
    ("vit", without("preprocessor_config.json"), "without its image processor"),
    ("ast", without("preprocessor_config.json"), "without its feature extractor"),
    ("bert", without("vocab.txt"), "without its tokenizer"),
    ("gpt2", without("vocab.json", "merges.txt"), "without its tokenizer"),
    ("vit", code_in("config.json"), "code of its own .auto_map in config.json"),
    ("bert", code_in("tokenizer_config.json"), "code of its own .auto_map in tokenizer_config"),
    ("vit", cut, "network cannot be loaded"),
    ("vit", lacking, "lacks .* of the network's weights"),
    ("vit", other_size, "gives images of .40, 32. pixels, and its network reads .32, 32."),
    ("vit", lambda folder: (folder / "config.json").write_text("{"), "is not JSON"),
    ("vit", lambda folder: (folder / "adapter_config.json").write_text("{}"), "an adapter"),
]


@pytest.mark.parametrize(("name", "change", "says"), DAMAGED)
def test_a_checkpoint_that_cannot_be_used_is_one_line(
    name, change, says, built, folders, tmp_path, capfd
):
    folder = shutil.copytree(folders[TYPES[name]], tmp_path / "copy")
    change(folder)
    with pytest.raises(MMBenchError, match=says) as raised:
        built(name, pretrained=str(folder))
    assert "\n" not in str(raised.value)
    assert "this would have run" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"unfreeze": "all"}, "unfreeze is for a network that begins from a checkpoint"),
        ({"lora": {"rank": 2}}, "lora is for a network that begins from a checkpoint"),
        ({"revision": "main"}, "revision is for a network that begins from a checkpoint"),
        ({"heads": 3}, "heads must divide the hidden width 8, got 3"),
        ({"patch": 7}, "patch must divide the size 64 of an image, got 7"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"pretrained": "./no/such"}, "no folder of a checkpoint at ./no/such"),
        ({"pretrained": "/no/such"}, "no folder of a checkpoint at /no/such"),
        ({"pretrained": ""}, "`pretrained` is empty"),
        ({"pretrained": __file__}, "is a file: give the folder"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(options, says):
    with pytest.raises(MMBenchError, match=says):
        build_part("encoders", "vit", options, dim=D)
