"""Threads that read images, and memory. The memory is that of separate processes, because a process cannot undo how it
requests memory.
"""

import subprocess
import sys

import pytest

from peerkd.training.cpu import num_reading_threads

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


@pytest.mark.parametrize(
    ("num_cores", "num_gpus", "expected"), [(16, 1, 16), (16, 4, 4), (64, 1, 16), (4, 8, 2), (16, 0, 2), (1, 0, 2)]
)
def test_threads_that_read_images_follow_the_cores_of_a_gpu(
    num_cores: int, num_gpus: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEERKD_NUM_CORES", str(num_cores))
    assert num_reading_threads(num_gpus=num_gpus) == expected
