import resource
from pathlib import Path

import pytest

from peerkd.data import memory
from peerkd.data.memory import available_memory_bytes, check_memory
from peerkd.errors import DataSourceError


def test_an_array_that_does_not_fit_is_refused_with_both_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 3 * 2**30)
    check_memory(3 * 2**30, what="data.path: pets.npz")
    with pytest.raises(
        DataSourceError, match=r"^data\.path: pets\.npz needs 4\.0 GiB .*, but only 3\.0 GiB are available"
    ):
        check_memory(4 * 2**30, what="data.path: pets.npz")


def test_the_smallest_limit_applies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 5000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert available_memory_bytes() == 5000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    (tmp_path / "memory.stat").write_text("anon 2000000\ninactive_file 500000\n")
    assert available_memory_bytes() == 5000 * 1024
    (tmp_path / "memory.max").write_text("4000000\n")
    assert available_memory_bytes() == 4_000_000 - 3_000_000 + 500_000
    (tmp_path / "statm").write_text("10 5 3\n")
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "statm")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20 * resource.getpagesize(), resource.RLIM_INFINITY))
    assert available_memory_bytes() == 10 * resource.getpagesize()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.getpagesize(), resource.RLIM_INFINITY))
    assert available_memory_bytes() == 0


def test_a_machine_without_readable_limits_has_no_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "none")
    monkeypatch.setattr(memory, "_CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "none")
    assert available_memory_bytes() == 2**63 - 1
