"""Fusions against the code of their papers, on the same weights.

What repositories gave that the tests cannot run is in `reference_fusions.json`, with its source;
`reference_fusions.py` made it. What torch and transformers have is run here.
"""

import json

import pytest
import torch
from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel, LxmertConfig
from transformers.models.lxmert.modeling_lxmert import LxmertXLayer

from tests.zoo.reference_fusions import FILE, SOURCES, alike, inputs, ours, same, weighted
from tests.zoo.test_fusion_contract import close

RECORDED = json.loads(FILE.read_text())
D, HEADS = 8, 4


def without_norms(module):
    for part in list(module.modules()):
        for key, child in list(part.named_children()):
            if isinstance(child, nn.LayerNorm):
                setattr(part, key, nn.Identity())
    return module.eval()


def same_attention(layer, own):
    """Of a reference whose projections are called query, key and value."""
    same(layer.query, own.query)
    same(layer.key, own.key)
    same(layer.value, own.value)


def hidden(mask):
    """An additive mask (B, 1, 1, N)."""
    return torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)[:, None, None]


@pytest.mark.parametrize("name", SOURCES)
def test_a_fusion_gives_what_the_code_of_its_paper_gives(name):
    module, (query, *contexts) = ours(name)
    recorded = RECORDED[name]
    assert (recorded["repository"], recorded["commit"], recorded["licence"]) == SOURCES[name]
    found = module(query, contexts).stream.tokens
    close(found, torch.tensor(recorded["tokens"]).view_as(found))


def test_co_attention_is_two_cross_modality_layers_of_lxmert():
    """Whose language half is the query's; both directions across share weights there."""
    module, (query, image) = alike(weighted("co_attention"), norms=False), inputs(masked=True)
    module.of_contexts[0].across.load_state_dict(module.of_query[0].across.state_dict())
    x = query.tokens
    y, mask = module.joined([image], x)
    config = LxmertConfig(hidden_size=D, num_attention_heads=HEADS, intermediate_size=4 * D)
    for number, own in enumerate(module.of_query):
        layer = without_norms(LxmertXLayer(config))
        same_attention(layer.visual_attention.att, own.across.attention)
        same(layer.visual_attention.output.dense, own.across.attention.mix)
        halves = [(layer.lang_self_att, layer.lang_inter, layer.lang_output, own.within)]
        if number == 0:
            other = module.of_contexts[0].within
            halves.append((layer.visn_self_att, layer.visn_inter, layer.visn_output, other))
        for attention, inner, outer, within in halves:
            same_attention(attention.self, within.attention)
            same(attention.output.dense, within.attention.mix)
            same(inner.dense, within.feed_forward[1])
            same(outer.dense, within.feed_forward[3])
        x, y = layer(x, hidden(query.mask), y, hidden(mask))
    close(module(query, [image]).stream.tokens, x)


def test_the_q_former_is_that_of_transformers():
    """Its text's positions, with the two-way mask."""
    module, (query, image) = alike(weighted("q_former"), norms=False), inputs()
    config = Blip2QFormerConfig(
        hidden_size=D,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        intermediate_size=4 * D,
        cross_attention_frequency=2,
        encoder_hidden_size=D,
        use_qformer_text_input=True,
        attn_implementation="eager",
    )
    reference = without_norms(Blip2QFormerModel(config))
    reference.layernorm.weight = torch.ones(1)  # whose type it asks for
    for number, (layer, own) in enumerate(zip(reference.encoder.layer, module.layers, strict=True)):
        same_attention(layer.attention.attention, own.attention)
        same(layer.attention.output.dense, own.attention.mix)
        same(layer.intermediate.dense, own.feed_forward[1])
        same(layer.output.dense, own.feed_forward[3])
        if number == 0:
            same_attention(layer.crossattention.attention, module.across[0].attention)
            same(layer.crossattention.output.dense, module.across[0].attention.mix)
            same(layer.intermediate_query.dense, module.of_queries[0][1])
            same(layer.output_query.dense, module.of_queries[0][3])
    tokens, _ = module.joined([image], query.tokens)
    learnt = module.queries.expand(2, -1, -1)
    found = reference(
        query_embeds=torch.cat([learnt, query.tokens], 1),
        query_length=len(module.queries),
        encoder_hidden_states=tokens,
    ).last_hidden_state[:, len(module.queries) :]
    close(module(query, [image]).stream.tokens, found)


def test_the_late_transformer_is_torchs_encoder_read_at_the_class_token():
    """SimBaMM's code stacks torch's layers; with norms before the sublayers they are ours."""
    module, (query, image) = weighted("late_transformer"), inputs(lengths=(1, 5), masked=True)
    mask = image.mask.clone()
    mask[1] = False  # sample 1 lacks the image
    image = type(image)(image.tokens, mask)
    layers = []
    for own in module.layers:
        layer = nn.TransformerEncoderLayer(
            D, HEADS, 4 * D, 0.0, nn.GELU(), batch_first=True, norm_first=True
        )
        a = own.attention
        with torch.no_grad():
            layer.self_attn.in_proj_weight.copy_(
                torch.cat([a.query.weight, a.key.weight, a.value.weight])
            )
            zero = torch.zeros_like(a.query.bias)
            layer.self_attn.in_proj_bias.copy_(torch.cat([a.query.bias, zero, a.value.bias]))
        same(layer.self_attn.out_proj, a.mix)
        same(layer.norm1, own.norm)
        same(layer.norm2, own.feed_forward[0])
        same(layer.linear1, own.feed_forward[1])
        same(layer.linear2, own.feed_forward[3])
        layers.append(layer)
    kinds = module.joined.kinds
    z = torch.cat(
        [
            module.class_token.expand(2, 1, -1),
            query.tokens + kinds["query"],
            image.pool()[:, None] + kinds["image"],
        ],
        1,
    )
    missing = torch.tensor([[False, False, False], [False, False, True]])
    for layer in layers:
        z = layer(z, src_key_padding_mask=missing)
    close(module(query, [image]).stream.tokens[:, 0], module.norm(z[:, 0]))
