"""mmbench: controlled comparison of multimodal models.

    import mmbench

    result = mmbench.run(task="vqa", model="gated_fusion")
    result.value, result.to_frame(), result.predictions()

Names are imported when first used, so that `import mmbench` is quick.

Import it before torch: OpenMP's idle threads then wait without spinning, so that two runs at once
share a machine instead of standing still. `GOMP_SPINCOUNT` or `OMP_WAIT_POLICY` overrule it.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmbench.errors import MMBenchError
    from mmbench.experiments.compare import Comparison, compare
    from mmbench.experiments.compare_files import compare_predictions
    from mmbench.experiments.load_runs import load_runs
    from mmbench.experiments.probe import ProbeResult, probe
    from mmbench.experiments.profiling import Profile, profile
    from mmbench.experiments.result import RunResult, load_run
    from mmbench.experiments.robustness import RobustnessComparison, robustness
    from mmbench.experiments.run import run
    from mmbench.experiments.score_files import score
    from mmbench.experiments.study import StudyResult, run_study
    from mmbench.experiments.together import run_together
    from mmbench.experiments.zero_shot import ZeroShotResult, zero_shot
    from mmbench.reports.report import report
    from mmbench.study import Study, make_study, read_study

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # read once, when torch loads libgomp

_HOME = {
    "MMBenchError": "mmbench.errors",
    "Comparison": "mmbench.experiments.compare",
    "compare": "mmbench.experiments.compare",
    "compare_predictions": "mmbench.experiments.compare_files",
    "Profile": "mmbench.experiments.profiling",
    "profile": "mmbench.experiments.profiling",
    "score": "mmbench.experiments.score_files",
    "ProbeResult": "mmbench.experiments.probe",
    "probe": "mmbench.experiments.probe",
    "RobustnessComparison": "mmbench.experiments.robustness",
    "robustness": "mmbench.experiments.robustness",
    "RunResult": "mmbench.experiments.result",
    "load_run": "mmbench.experiments.result",
    "load_runs": "mmbench.experiments.load_runs",
    "run": "mmbench.experiments.run",
    "run_together": "mmbench.experiments.together",
    "report": "mmbench.reports.report",
    "Study": "mmbench.study",
    "StudyResult": "mmbench.experiments.study",
    "make_study": "mmbench.study",
    "read_study": "mmbench.study",
    "run_study": "mmbench.experiments.study",
    "ZeroShotResult": "mmbench.experiments.zero_shot",
    "zero_shot": "mmbench.experiments.zero_shot",
}

__all__ = [
    "Comparison",
    "MMBenchError",
    "ProbeResult",
    "Profile",
    "RobustnessComparison",
    "RunResult",
    "Study",
    "StudyResult",
    "ZeroShotResult",
    "compare",
    "compare_predictions",
    "load_run",
    "load_runs",
    "make_study",
    "probe",
    "profile",
    "read_study",
    "report",
    "robustness",
    "run",
    "run_study",
    "run_together",
    "score",
    "zero_shot",
]


def __dir__() -> list[str]:
    """The public names, whether they were imported before or not."""
    return sorted({*__all__, "__version__", "__doc__", "__name__", "__file__", "__path__"})


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mmbench")
    if name not in _HOME:
        raise AttributeError(f"module 'mmbench' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
