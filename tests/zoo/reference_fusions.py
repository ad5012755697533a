"""Makes `reference_fusions.json`: what the papers' own code gives on weights of ours.

    python -m tests.zoo.reference_fusions FOLDER

FOLDER holds the repositories below at the commits named, each under its name; flamingo-pytorch
needs einops and einops-exts. Their code runs here and is no part of this project.

Where the reference differs by a choice that its fusion's docstring states, both are brought to the
same: `alike` takes the norms out of ours where those of the reference stand after the sublayers
(without norms there is no difference), or makes the activation ReLU.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from mmbench import registry
from mmbench.zoo.stream import Stream

FILE = Path(__file__).with_suffix(".json")
SOURCES = {
    "ban": ("jnhwkim/ban-vqa", "ef4cc36d63f6b31344301ac1bd91afd807d132e5", "MIT"),
    "mcan": ("MILVLG/mcan-vqa", "6b165e9a88800e2a09ece4645a3c8261938897c6", "Apache-2.0"),
    "mult": (
        "yaohungt/Multimodal-Transformer",
        "a670936824ee722c8494fd98d204977a1d663c7a",
        "MIT",
    ),
    "gated_cross_attention": (
        "lucidrains/flamingo-pytorch",
        "10913abbc8b2ceabb2320560d7d9b85fcb85eee3",
        "MIT",
    ),
    "perceiver": (
        "lucidrains/flamingo-pytorch",
        "10913abbc8b2ceabb2320560d7d9b85fcb85eee3",
        "MIT",
    ),
}
MULT = {"dim": 60, "contexts": ("audio", "video"), "heads": 5}  # the reference's own width, 30


def numbers(seed: int, *shape: int) -> torch.Tensor:
    """Normal numbers that are the same whatever the version of torch or numpy."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def weighted(name: str, dim: int = 8, contexts=("image",), **options) -> nn.Module:
    """A fusion with weights that are the same everywhere; norms are near to 1."""
    module = registry.load("fusions", name)(dim, contexts, **options).eval()
    with torch.no_grad():
        for seed, (key, parameter) in enumerate(sorted(module.named_parameters())):
            spread = parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.3
            mean = 1.0 if key.endswith(("norm.weight", "feed_forward.0.weight")) else 0.0
            parameter.copy_(mean + spread * numbers(seed, *parameter.shape))
    return module


def alike(module: nn.Module, norms: bool = True, relu: bool = False) -> nn.Module:
    """The fusion without norms, or with ReLU for GELU."""
    for part in list(module.modules()):
        for key, child in part.named_children():
            if not norms and isinstance(child, nn.LayerNorm):
                setattr(part, key, nn.Identity())
            if relu and isinstance(child, nn.GELU):
                setattr(part, key, nn.ReLU())
    return module


def inputs(dim: int = 8, lengths=(3, 5), masked: bool = False) -> list[Stream]:
    """A query and contexts; if `masked`, the contexts lack their last two tokens in sample 1."""
    streams = []
    for place, length in enumerate(lengths):
        mask = torch.ones(2, length, dtype=torch.bool)
        mask[1, length - 2 :] = not (masked and place)
        streams.append(Stream(numbers(100 + place, 2, length, dim), mask))
    return streams


def ours(name: str) -> tuple[nn.Module, list[Stream]]:
    """The fusion as it is compared, and what it is given."""
    if name == "ban":
        return weighted(name, glimpses=4), inputs(masked=True)
    if name == "mcan":
        return alike(weighted(name), norms=False, relu=True), inputs(masked=True)
    if name == "mult":
        return alike(weighted(name, **MULT), relu=True), inputs(MULT["dim"], (3, 4, 5))
    module = weighted(name)
    with torch.no_grad():
        for key, parameter in module.named_parameters():  # the reference has no biases
            if key.endswith("bias") and not key.endswith(("norm.bias", "feed_forward.0.bias")):
                parameter.zero_()
    return module, inputs()


def copied(layer, weight, bias=None) -> None:
    """Gives a reference layer our weights; those of weight normalisation as length and vector."""
    with torch.no_grad():
        if hasattr(layer, "weight_g"):
            layer.weight_v.copy_(weight)
            layer.weight_g.copy_(weight.norm())
        else:
            layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.zero_() if bias is None else layer.bias.copy_(bias)


def same(layer, own) -> None:
    copied(layer, own.weight, own.bias)


def ban(module, query, image):
    bc, attention, fc = (importlib.import_module(n) for n in ("bc", "attention", "fc"))
    dim, glimpses = module.dim, len(module.maps)
    y, _ = module.joined([image], query.tokens)
    maps = attention.BiAttention(dim, dim, dim, glimpses).eval()
    same(maps.logits.v_net.main[1], module.map_contexts[0])
    same(maps.logits.q_net.main[1], module.map_query[0])
    with torch.no_grad():
        maps.logits.h_mat_v.copy_(module.maps[None, :, None])
        maps.logits.h_mat_g.copy_(module.maps.norm())
    weights, _ = maps.forward_all(y, query.tokens)
    x = query.tokens
    for place, glimpse in enumerate(module.glimpses):
        pool = bc.BCNet(dim, dim, dim, None, k=1).eval()
        same(pool.v_net.main[1], glimpse.of_contexts[0])
        same(pool.q_net.main[1], glimpse.of_query[0])
        project = fc.FCNet([dim, dim], "", 0.2).eval()
        same(project.main[1], glimpse.project)
        x = x + project(pool.forward_with_weights(y, x, weights[:, place]).unsqueeze(1))
    return x


def mcan(module, query, image):
    mca, net = importlib.import_module("core.model.mca"), importlib.import_module("core.model.net")
    dim = module.dim
    sizes = SimpleNamespace(
        HIDDEN_SIZE=dim, HIDDEN_SIZE_HEAD=dim // 4, MULTI_HEAD=4, FF_SIZE=4 * dim, DROPOUT_R=0.0,
        LAYER=2, FLAT_MLP_SIZE=dim, FLAT_GLIMPSES=1, FLAT_OUT_SIZE=dim,
    )  # fmt: skip
    backbone, flat = mca.MCA_ED(sizes), net.AttFlat(sizes)
    for part in list(backbone.modules()):
        for key, _ in [c for c in part.named_children() if c[0].startswith("norm")]:
            setattr(part, key, nn.Identity())

    def attention(layer, own):
        same(layer.linear_q, own.query)
        same(layer.linear_k, own.key)
        same(layer.linear_v, own.value)
        same(layer.linear_merge, own.mix)

    def feed(layer, own):
        same(layer.mlp.fc.linear, own[1])
        same(layer.mlp.linear, own[3])

    for layer, own in zip(backbone.enc_list, module.encoder, strict=True):
        attention(layer.mhatt, own.attention)
        feed(layer.ffn, own.feed_forward)
    for layer, own in zip(backbone.dec_list, module.decoder, strict=True):
        attention(layer.mhatt1, own.within.attention)
        attention(layer.mhatt2, own.guided.attention)
        feed(layer.ffn, own.guided.feed_forward)
    same(flat.mlp.fc.linear, module.score[0])
    same(flat.mlp.linear, module.score[2])
    same(flat.linear_merge, module.of_contexts)
    y, mask = module.joined([image], query.tokens)
    masks = [~m[:, None, None] for m in (query.mask, mask)]
    x, y = backbone(query.tokens, y, *masks)
    return module.of_query(x) + flat(y, masks[1])[:, None]


def mult(module, *streams):
    models = importlib.import_module("src.models")
    given = dict.fromkeys(("orig_d_l", "orig_d_a", "orig_d_v"), 30) | dict.fromkeys(
        ("attn_dropout", "attn_dropout_a", "attn_dropout_v", "relu_dropout", "res_dropout",
         "out_dropout", "embed_dropout"), 0.0)  # fmt: skip
    network = models.MULTModel(
        SimpleNamespace(
            vonly=True, aonly=True, lonly=True, num_heads=5, layers=3, attn_mask=False,
            output_dim=module.dim, **given,
        )
    ).eval()  # fmt: skip
    for part in network.modules():
        if hasattr(part, "embed_positions"):
            part.embed_positions, part.embed_scale = None, 1.0

    def transformer(reference, own):
        same(reference.layer_norm, own.norm)
        for layer, mine in zip(reference.layers, own.layers, strict=True):
            a = mine.attention
            with torch.no_grad():
                layer.self_attn.in_proj_weight.copy_(
                    torch.cat([a.query.weight, a.key.weight, a.value.weight])
                )
                zero = torch.zeros_like(a.query.bias)
                layer.self_attn.in_proj_bias.copy_(torch.cat([a.query.bias, zero, a.value.bias]))
            same(layer.self_attn.out_proj, a.mix)
            same(layer.layer_norms[0], mine.norm)
            same(layer.layer_norms[1], mine.feed_forward[0])
            same(layer.fc1, mine.feed_forward[1])
            same(layer.fc2, mine.feed_forward[3])
        return reference

    letters = "lav"
    x = [
        project(s.tokens).transpose(0, 1)  # time first, as there
        for project, s in zip(module.project, streams, strict=True)
    ]
    found = []
    for i, target in enumerate(letters):
        pairs = []
        for place, j in enumerate([j for j in range(3) if j != i]):
            pair = getattr(network, f"trans_{target}_with_{letters[j]}")
            pairs.append(transformer(pair, module.across[i][place])(x[i], x[j], x[j]))
        memory = transformer(getattr(network, f"trans_{target}_mem"), module.within[i])
        found.append(memory(torch.cat(pairs, 2)).transpose(0, 1))
    # The means of the contexts for their last positions, and each position of the query.
    length = found[0].shape[1]
    s = torch.cat([found[0], *(z.mean(1, True).expand(-1, length, -1) for z in found[1:])], 2)
    same(network.proj1, module.mix[0])
    same(network.proj2, module.mix[2])
    same(network.out_layer, module.out)
    return network.out_layer(network.proj2(torch.relu(network.proj1(s))) + s)


def _flamingo_attention(layer, own):
    copied(layer.to_q, own.attention.query.weight)
    copied(layer.to_kv, torch.cat([own.attention.key.weight, own.attention.value.weight]))
    copied(layer.to_out, own.attention.mix.weight)


def _flamingo_feed(layer, own):
    for place in (0, 1, 3):
        same(layer[place], own[place])


def gated_cross_attention(module, query, image):
    flamingo = importlib.import_module("flamingo_pytorch.flamingo_pytorch")
    x = query.tokens
    media = module.context_norm(module.joined([image], x)[0])[:, None]
    for own in module.layers:
        block = flamingo.GatedCrossAttentionBlock(dim=8, dim_head=2, heads=4)
        same(block.attn.norm, own.norm)
        _flamingo_attention(block.attn, own)
        _flamingo_feed(block.ff, own.feed_forward)
        with torch.no_grad():
            block.attn_gate.fill_(own.attention_gate.item())
            block.ff_gate.fill_(own.feed_forward_gate.item())
        x = block(x, media)
    return x


def perceiver(module, query, image):
    flamingo = importlib.import_module("flamingo_pytorch.flamingo_pytorch")
    resampler = flamingo.PerceiverResampler(
        dim=8, depth=2, dim_head=2, heads=4, num_latents=16, num_media_embeds=1
    )
    with torch.no_grad():
        resampler.latents.copy_(module.latents)
        resampler.media_pos_emb.copy_(module.joined.kinds["image"][None, None])
    for (attention, feed), own in zip(resampler.layers, module.resampler, strict=True):
        same(attention.norm_media, module.context_norm)
        same(attention.norm_latents, own.norm)
        _flamingo_attention(attention, own)
        _flamingo_feed(feed, own.feed_forward)
    same(resampler.norm, module.latent_norm)
    z = resampler(image.tokens)[:, 0]
    keys_values = module.across.keys_values(z, norm=False)
    everything = torch.ones(2, 1, 16, dtype=torch.bool)
    return module.norm(module.across(query.tokens, *keys_values, everything))


def main(folder: Path) -> None:
    """Runs each reference and writes the file."""
    found = {}
    for name, (repository, commit, licence) in SOURCES.items():
        sys.path.insert(0, str(folder / repository.split("/")[1]))
        module, streams = ours(name)
        with torch.no_grad():
            tokens = globals()[name](module, *streams)
        found[name] = {
            "repository": repository,
            "commit": commit,
            "licence": licence,
            "tokens": [float(f"{x:.8g}") for x in tokens.flatten().tolist()],
        }
        sys.path.pop(0)
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
