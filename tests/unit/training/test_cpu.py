"""Memory of separate processes, because a process cannot undo how it requests memory."""

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, resource, sys
import torch
from peerkd.training.cpu import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
torch.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(hasattr(ctypes.CDLL(None), "mallopt"))
"""


def num_page_faults(mode: str) -> tuple[int, bool]:
    ended = subprocess.run([sys.executable, "-c", SCRIPT, mode], check=True, capture_output=True, text=True)
    num, has_glibc = ended.stdout.split()
    return int(num), has_glibc == "True"


def test_memory_of_a_freed_tensor_serves_the_next_one() -> None:
    kept, has_glibc = num_page_faults("kept")
    if not has_glibc:
        pytest.skip("this system's allocator is not glibc's")
    given_back, _ = num_page_faults("given back")
    # Some systems reclaim idle pages by themselves.
    assert kept < given_back / 2
