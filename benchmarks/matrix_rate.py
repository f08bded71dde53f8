"""The rate at which a device multiplies large random matrices, to which the rates of all programs are compared."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

# On a GPU products must be large, and many must be queued, or launches and synchronisations would take a visible part
# of the time. The values are random, because a GPU draws less power for constants and then keeps a higher clock. On a
# processor without instructions for bfloat16, one product of the size 2048 takes a minute, and in float32 the rate of
# the smaller size is the same.
_GPU_SIZE: Final = 8192
_GPU_PRODUCTS: Final = 20
_CPU_SIZE: Final = 512


class ProductKind(NamedTuple):
    """The arithmetic of a product."""

    dtype: str
    allows_tf32: bool


PRODUCT_KINDS: Final[Mapping[str, ProductKind]] = {
    "bfloat16": ProductKind("bfloat16", allows_tf32=False),
    "TF32": ProductKind("float32", allows_tf32=True),
    "float32": ProductKind("float32", allows_tf32=False),
}


def product_kind(precision: str, *, device: str) -> str:
    """Return the kind of product to which a training in a precision is compared.

    torch lets convolutions in float32 use TF32 on a GPU by default, so there a training may exceed the rate of float32.
    """
    return "TF32" if precision == "float32" and device == "cuda" else precision


def product_kinds(device: str) -> list[str]:
    """Return the kinds of products that a device has."""
    return [kind for kind in PRODUCT_KINDS if device == "cuda" or kind != "TF32"]


def matrix_rate(kind: str, *, device: str, seconds: float) -> float:
    """Return the FLOP/s of products of a kind; a multiplication and its addition count as two operations.

    Args:
        kind: A name in ``PRODUCT_KINDS``.
        device: ``cpu`` or ``cuda``.
        seconds: The time after which no further group of products begins.
    """
    import torch

    size, num_in_group = (_GPU_SIZE, _GPU_PRODUCTS) if device == "cuda" else (_CPU_SIZE, 1)
    dtype = getattr(torch, PRODUCT_KINDS[kind].dtype)
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(one)

    def multiply() -> None:
        for _ in range(num_in_group):
            torch.mm(one, other, out=product)
        if device == "cuda":
            torch.cuda.synchronize()

    with _tf32(allowed=PRODUCT_KINDS[kind].allows_tf32):
        multiply()  # The first products include work that is done only once.
        num_groups, started = 0, time.perf_counter()
        while not num_groups or time.perf_counter() - started < seconds:
            multiply()
            num_groups += 1
        return num_groups * num_in_group * 2 * size**3 / (time.perf_counter() - started)


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    import torch

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
