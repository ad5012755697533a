"""A small LLaVA with random weights, in transformers' own files: an image-text-to-text model."""

from pathlib import Path

import torch

TEMPLATE = (
    "{% for message in messages %}user : {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}assistant :{% endif %}"
)
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<image>"]
WORDS = ["user", "assistant", ":", "?", ".", "\n", "is", "there", "a", "what", "the", "in", "it"]
WORDS += ["yes", "no", "red", "blue", "circle", "shape", "color", "does", "image", "contain"]


def save_llava(folder: Path, template: str | None = TEMPLATE) -> str:
    """A LLaVA of two layers that knows a few words; returns its folder."""
    import transformers as t
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    words = [*SPECIAL, *WORDS]
    level = models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>")
    tokenizer = Tokenizer(level)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = t.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
    )
    small = {"hidden_size": 16, "intermediate_size": 32}
    small |= {"num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.5}
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**small, image_size=32, patch_size=16),
        text_config=t.LlamaConfig(
            **small, vocab_size=len(words), pad_token_id=0, bos_token_id=2, eos_token_id=3
        ),
        image_token_index=words.index("<image>"),
        vision_feature_layer=-1,
    )
    t.LlavaForConditionalGeneration(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size)
    t.LlavaProcessor(
        image_processor=images,
        tokenizer=fast,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)
    return str(folder)
