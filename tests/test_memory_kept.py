"""What glibc does with freed memory (`mmbench.computing.keep_freed_memory`)."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys
import mmbench.computing

def resident():  # pages
    return int(open("/proc/self/statm").read().split()[1])

kept = mmbench.computing.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
before = resident()
for _ in range(2):
    block = libc.malloc(20 * 2**20)
    ctypes.memset(block, 1, 20 * 2**20)
    libc.free(block)
print(kept, resident() - before > 4000)
"""

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc alone")


def kept(**environment):
    chosen = ("MALLOC_", "GLIBC_TUNABLES")
    own = {name: x for name, x in os.environ.items() if not name.startswith(chosen)}
    command = [sys.executable, "-c", SCRIPT]
    found = subprocess.run(command, env=own | environment, capture_output=True, text=True)
    return found.stdout.split()


@linux
def test_what_is_freed_is_kept_for_what_is_made_next():
    assert kept() == ["True", "True"]


@linux
@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX"])
def test_whoever_chose_what_happens_to_memory_is_left_their_choice(name):
    assert kept(**{name: "131072"})[0] == "False"
