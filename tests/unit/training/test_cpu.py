"""Threads that read images, and memory. The memory is that of a separate process, because a process cannot undo how it
requests memory.
"""

import ctypes
import subprocess
import sys

import pytest

from peerkd.training.cpu import num_reading_threads

SCRIPT = """
import resource
import torch
from peerkd.training.cpu import keep_freed_memory

def num_page_faults():
    torch.ones(2**23)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = num_page_faults()
keep_freed_memory()
print(num_page_faults(), given_back)
"""


def test_memory_of_a_freed_tensor_serves_the_next_one() -> None:
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("this system's allocator is not glibc's")
    ended = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True)
    kept, given_back = map(int, ended.stdout.split())
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
