"""The ruler of arithmetic: its products are queued, random and named by their arithmetic. No test depends on a time."""

import pytest
import torch

from benchmarks import matrix_rate
from benchmarks.matrix_rate import product_kind, product_kinds


def test_a_training_in_float32_is_compared_with_what_its_convolutions_may_use() -> None:
    assert product_kind("float32", device="cuda") == "TF32"
    assert product_kind("float32", device="cpu") == "float32"
    assert product_kind("bfloat16", device="cuda") == product_kind("bfloat16", device="cpu") == "bfloat16"
    assert product_kinds("cpu") == ["bfloat16", "float32"]
    assert product_kinds("cuda") == ["bfloat16", "TF32", "float32"]


@pytest.mark.parametrize(("kind", "allows_tf32"), [("float32", False), ("TF32", True), ("bfloat16", False)])
def test_on_a_gpu_twenty_random_products_are_queued_between_synchronisations(
    kind: str, allows_tf32: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[object] = []
    multiply, randn = torch.mm, torch.randn

    def mm(one: torch.Tensor, other: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        log.append((len(one), one.dtype, torch.backends.cuda.matmul.allow_tf32, len(one.unique()) > 4))
        return multiply(one, other, out=out)

    monkeypatch.setattr(matrix_rate, "_GPU_SIZE", 8)
    monkeypatch.setattr(torch, "randn", lambda *shape, device: randn(*shape))
    monkeypatch.setattr(torch, "mm", mm)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: log.append("synchronise"))
    before = torch.backends.cuda.matmul.allow_tf32
    assert matrix_rate.matrix_rate(kind, device="cuda", seconds=0) > 0
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    assert log == 2 * [*20 * [(8, dtype, allows_tf32, True)], "synchronise"]
    assert torch.backends.cuda.matmul.allow_tf32 == before


def test_on_a_gpu_the_products_are_large() -> None:
    assert matrix_rate._GPU_SIZE == 8192
