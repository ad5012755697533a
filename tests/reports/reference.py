"""The reference records as reports see them, read once."""

import dataclasses
from functools import cache

from mmbench.experiments.result import RunResult
from mmbench.records.store import find_records, read_record
from mmbench.reports.table import make_tables
from tests.conftest import ROOT

REFERENCE = ROOT / "results" / "reference"


@cache
def reference_runs(*parts):
    folders = find_records([REFERENCE.joinpath(*parts)])
    return tuple(RunResult(read_record(folder), folder, reused=True) for folder in folders)


@cache
def reference_tables(*parts):
    return make_tables(reference_runs(*parts))


def altered(run, **changes):
    """A run with another record, of another identity."""
    identity = run.record.identity.model_copy(update={"data": {"another": str(changes)}})
    record = run.record.model_copy(update={"identity": identity, **changes})
    return dataclasses.replace(run, record=record)


def changed(run, **overrides):
    """A run as if `--set` had changed its recipe."""
    return altered(run, overrides=overrides, recipe=run.record.recipe | {"changed": overrides})
