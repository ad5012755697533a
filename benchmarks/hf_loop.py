"""How much of a bare loop of transformers is reached when mmbench asks the same checkpoint.

    python benchmarks/hf_loop.py [FOLDER] [--queries 512] [--batch 16] [--tries 3]

FOLDER holds an image-text-to-text model as transformers saves it, by default the one of the tests,
trained on easy-VQA, whose questions it is asked. The bare loop is what one writes by hand: for each
batch the chat template, `generate`, `batch_decode`, and the text compared with the right answer. Of
both the loading is left out; mmbench's rate includes its cache of answers, which is emptied before.
Both are asked by turns, and the median of their ratios counts. Both must write the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "tests" / "fixtures" / "llava_easy_vqa"


def bare_loop(model, processor, queries, prompt, batch: int, longest: int) -> list[str]:
    """Answers to all queries, batch by batch."""
    import torch

    written = []
    for start in range(0, len(queries), batch):
        asked = []
        for query in queries[start : start + batch]:
            image = {"type": "image", "image": query.inputs["image"].pil()}
            text = {"type": "text", "text": prompt.asks(query.inputs)}
            asked.append([{"role": "user", "content": [image, text]}])
        inputs = processor.apply_chat_template(
            asked,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        ).to(model.device, model.dtype)
        with torch.inference_mode():
            tokens = model.generate(**inputs, max_new_tokens=longest, do_sample=False)
        new = tokens[:, inputs["input_ids"].shape[1] :]
        written += processor.batch_decode(new, skip_special_tokens=True)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--queries", type=int, default=512)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--longest", type=int, default=32)
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    os.environ["MMBENCH_CACHE"] = tempfile.mkdtemp()
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from mmbench import registry
    from mmbench.predictors.huggingface import HuggingFace

    task = registry.load("tasks", "vqa")()
    spec = task.dataset("easy_vqa")
    samples = task.load(spec, spec.evaluate_on).limited(options.queries)
    queries, prompt = samples.queries, spec.prompt or task.prompt
    model = AutoModelForImageTextToText.from_pretrained(options.folder, dtype="auto")
    model = model.eval().to(options.device)
    processor = AutoProcessor.from_pretrained(options.folder)
    processor.tokenizer.padding_side = "left"
    own = HuggingFace(
        str(options.folder),
        "text",
        options.device,
        anew=True,
        prompt=prompt.text,
        reads=prompt.reads,
        batch=options.batch,
        max_new_tokens=options.longest,
    )

    def bare() -> list[str]:
        return bare_loop(model, processor, queries, prompt, options.batch, options.longest)

    def measured() -> list[str]:
        return [answer.written for answer in own.predict(queries)]

    def timed(answer) -> tuple[float, list[str]]:
        began = time.perf_counter()
        written = answer()
        return len(queries) / (time.perf_counter() - began), written

    bare(), measured()  # what is done once, such as choosing kernels
    ratios = []
    for _ in range(options.tries):
        (one, by_hand), (other, by_mmbench) = timed(bare), timed(measured)
        ratios.append(other / one)
        same = sum(a == b for a, b in zip(by_hand, by_mmbench, strict=True))
        print(f"bare loop {one:.1f}/s  hf: {other:.1f}/s  ratio {other / one:.2f}  alike {same}")
    right = sum(
        prompt.read(text, sample.inputs) == sample.target
        for text, sample in zip(by_mmbench, samples, strict=True)
    )
    print(f"ratio {statistics.median(ratios):.2f}; accuracy {right / len(samples):.4f}")


if __name__ == "__main__":
    main()
