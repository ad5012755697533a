"""How much of a bare loop of transformers is reached when mmbench asks the same checkpoint.

    python benchmarks/hf_loop.py [FOLDER] [--queries 512] [--batch 16] [--tries 3]

FOLDER holds an image-text-to-text model as transformers saves it, by default the one of the tests,
trained on easy-VQA, whose questions it is asked. The bare loop is what one writes by hand: for each
batch the chat template, `generate`, `batch_decode`. Of both the loading is left out; mmbench's rate
includes keeping its answers. All are asked by turns, and the median of the ratios counts. Answers
should be alike, but for ties that last bits decide.

Where lmms-eval (0.7) can be imported its wrapper of LLaVA is asked too. It takes one query at a
time alone, so that mmbench is asked with a batch of 1 beside it as well.
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


def lmms_wrapper(folder: str, queries, prompt, longest: int, device: str):
    """Asks all queries by lmms-eval's wrapper; None where it is not installed."""
    try:
        from lmms_eval.api.instance import Instance
        from lmms_eval.models.simple.llava_hf import LlavaHf
    except ImportError as error:
        print(f"lmms-eval is not asked: {error}")
        return None
    model = LlavaHf(pretrained=folder, device=device, device_map=device, batch_size=1)
    pictures = [query.inputs["image"].pil() for query in queries]
    model.task_dict = {"task": {"test": pictures}}

    def answers() -> list[str]:
        given = [
            Instance(
                request_type="generate_until",
                arguments=(
                    prompt.asks(query.inputs),
                    {"max_new_tokens": longest},
                    lambda picture: [picture],
                    place,
                    "task",
                    "test",
                ),
                idx=0,
                metadata={"task": "task", "doc_id": place, "repeats": 1},
            )
            for place, query in enumerate(queries)
        ]
        return model.generate_until(given)

    return answers


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
    folder, device = str(options.folder), options.device

    def by_mmbench(batch: int):
        own = HuggingFace(
            folder,
            "text",
            device,
            anew=True,
            prompt=prompt.text,
            reads=prompt.reads,
            batch=batch,
            max_new_tokens=options.longest,
        )
        return lambda: [answer.written for answer in own.predict(queries)]

    asked = {
        "hf:": by_mmbench(options.batch),
        "bare loop": lambda: bare_loop(
            model, processor, queries, prompt, options.batch, options.longest
        ),
    }
    pairs = {("hf:", "bare loop"): []}
    wrapper = lmms_wrapper(folder, queries, prompt, options.longest, device)
    if wrapper is not None:
        asked |= {"hf: one by one": by_mmbench(1), "lmms-eval": wrapper}
        pairs |= {("hf: one by one", "lmms-eval"): [], ("hf:", "lmms-eval"): []}
    for answers in asked.values():
        answers()  # what is done once, such as choosing kernels
    for _ in range(options.tries):
        rates, written = {}, {}
        for name, answers in asked.items():
            began = time.perf_counter()
            written[name] = answers()
            rates[name] = len(queries) / (time.perf_counter() - began)
        print("  ".join(f"{name} {rate:.1f}/s" for name, rate in rates.items()))
        for (one, other), ratios in pairs.items():
            ratios.append(rates[one] / rates[other])
    for (one, other), ratios in pairs.items():
        alike = sum(a == b for a, b in zip(written[one], written[other], strict=True))
        print(
            f"{one} against {other}: {statistics.median(ratios):.2f}; "
            f"{alike} of {len(queries)} answers alike"
        )
    for name, texts in written.items():
        read = [
            prompt.read(text, sample.inputs) for text, sample in zip(texts, samples, strict=True)
        ]
        right = sum(answer == sample.target for answer, sample in zip(read, samples, strict=True))
        print(f"{name}: accuracy {right / len(samples):.4f}")


if __name__ == "__main__":
    main()
