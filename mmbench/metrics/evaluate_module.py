"""mmbench's metrics as a Hugging Face `evaluate` module.

    module = evaluate.load("<mmbench>/metrics/evaluate_module.py", "cider")
    module.compute(predictions=["a dog"], references=[["a dog", "the dog"]])

The configuration's name is a metric of mmbench that compares texts: cider, bleu_4, vqa_accuracy.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from mmbench import registry


class MMBenchMetric(evaluate.Metric):
    """One of mmbench's metrics; `config_name` says which."""

    def _info(self) -> evaluate.MetricInfo:
        metric = registry.load("metrics", self.config_name)()
        return evaluate.MetricInfo(
            description=f"{metric.name} of mmbench: {metric.signature}",
            citation=metric.source,
            inputs_description="predictions: texts; references: lists of texts",
            features=datasets.Features(
                {
                    "predictions": datasets.Value("string"),
                    "references": datasets.Sequence(datasets.Value("string")),
                }
            ),
        )

    def _compute(self, predictions: list[str], references: list[list[str]]) -> dict[str, Any]:
        metric = registry.load("metrics", self.config_name)()
        value = metric.aggregate(metric.statistics(predictions, references))
        return {metric.name: value, "signature": metric.signature}
