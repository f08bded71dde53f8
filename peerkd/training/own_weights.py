"""Reading weights that users have trained, and comparing them with a network.

Nothing in a file is executed: safetensors contains numbers, and torch's own format is read with ``weights_only``.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from peerkd.excerpt import plain, plain_path
from peerkd.system_errors import plain_error
from peerkd.training.finite import are_finite

_NUM_NAMED: Final = 5
"""The maximum number of tensors that an error message names if there is one kind of difference. The log names all."""

_NUM_NAMED_OF_SEVERAL: Final = 3
"""The maximum number of tensors for each of several kinds: a long message is cut, and its end is the advice."""

_MAX_SHARED_FRACTION: Final = 0.35
"""The fraction of names in common below which a file seems to be the checkpoint of another network."""

_MAX_COMPARISONS: Final = 40_000
"""The maximum number of pairs of names that are compared letter by letter, at about 50 microseconds for each pair."""

_EXACT: Final = (torch.float16, torch.bfloat16)
"""The types whose numbers can be converted to float32 without rounding."""

_NESTED_NAMES: Final = ("state_dict", "model_state_dict", "model", "net", "module")


class Mismatch(NamedTuple):
    """The differences between the tensors of a file and those of a network."""

    missing: tuple[str, ...]
    """The names of tensors that only the network has, each with a similar name from ``left_over`` if there is one."""

    left_over: tuple[str, ...]
    """The names of tensors that only the file has, each with a similar name from ``missing`` if there is one."""

    misshapen: tuple[str, ...]
    """The tensors whose shape or type differs, each with the shape and type in the file and in the network."""

    not_finite: tuple[str, ...]
    """The names of the file's tensors that contain NaN or infinite numbers."""

    negative: tuple[str, ...] = ()
    """The names of running variances of normalisations that contain negative numbers."""

    remedy: str = ""
    """What a user can do, in words, if all names differ by the same prefix."""

    is_of_another_network: bool = False
    """Whether nearly all names differ, and not by a prefix."""

    num_outputs: tuple[int, int] | None = None
    """The number of outputs in the file and that of the network, if the tensors differ in nothing else."""

    def lines(self) -> list[str]:
        """Return a line for each kind of difference, with the names of all tensors."""
        return [f"{len(names)} {kind}: {', '.join(names)}" for kind, names in self._by_kind()]

    def check(self, network: str, *, file: str, remedy: str = "") -> None:
        """Raise an error if the tensors of the file differ from those of the network.

        Args:
            network: The name of the network, for the message.
            file: The name of the file, for the message.
            remedy: What a user can do, in words, if ``self.remedy`` is empty.

        Raises:
            ValueError: If a difference exists. The message has the first names of each kind of difference.
        """
        by_kind = self._by_kind()
        if not by_kind:
            return
        shown = plain_path(file)
        if self.missing or self.left_over or self.misshapen:
            num_named = _NUM_NAMED if len(by_kind) == 1 else _NUM_NAMED_OF_SEVERAL
            parts = [f"{len(names)} {kind} ({_first(names, num_named)})" for kind, names in by_kind]
            origin = ", which looks like the checkpoint of another network," if self.is_of_another_network else ""
            advised = [*parts, *filter(None, [self.remedy or remedy])]
            raise ValueError(f"weights must fit the network {network}, got {shown}{origin} with {'; '.join(advised)}.")
        if self.not_finite:
            raise ValueError(
                f"weights must contain finite numbers, got NaN or infinite ones in {_first(self.not_finite)} of "
                f"{shown}; give the weights of a training that did not diverge."
            )
        raise ValueError(
            f"weights must contain no negative variances, got negative ones in {_first(self.negative)} of {shown}."
        )

    def _by_kind(self) -> list[tuple[str, tuple[str, ...]]]:
        kinds = (
            "missing",
            "left over",
            "of another shape or type",
            "with NaN or infinite numbers",
            "with negative variances",
        )
        found = (self.missing, self.left_over, self.misshapen, self.not_finite, self.negative)
        return [(kind, names) for kind, names in zip(kinds, found, strict=True) if names]


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, or of a ``state_dict`` in torch's own format, on the CPU.

    Raises:
        ValueError: If the file cannot be read, or contains anything other than tensors by name. The message is one
            sentence that begins with ``weights``.
    """
    if path.suffix == ".safetensors":
        try:
            return _tensors_of(load_file(path), path.name)
        except (SafetensorError, OSError) as error:
            failed = plain_error(error)
            if failed:
                raise failed from error
            raise ValueError(f"weights must be a safetensors file, got {plain_path(path.name)}: {error}.") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        # torch raises errors of many kinds for damaged files, and for files with other objects than tensors.
        raise ValueError(
            f"weights must be a state_dict that torch.load(weights_only=True) can read, and {plain_path(path.name)} "
            "is not: it is damaged or contains Python objects. Save network.state_dict() alone."
        ) from error
    return _tensors_of(content, path.name)


def _tensors_of(content: Any, name: str) -> dict[str, Tensor]:
    if isinstance(content, Mapping) and content and all(isinstance(each, Tensor) for each in content.values()):
        return {str(key): tensor for key, tensor in content.items()}
    nested = next((key for key in _NESTED_NAMES if isinstance(content, Mapping) and key in content), None)
    if isinstance(content, Mapping) and not content:
        raise ValueError(
            f"weights must map names to tensors, and {plain_path(name)} is empty; save network.state_dict()."
        )
    remedy = f"save checkpoint[{nested!r}] alone" if nested else "save network.state_dict() alone"
    wrong = next(((key, each) for key, each in _entries(content) if not isinstance(each, Tensor)), None)
    if wrong and not nested and any(isinstance(each, Tensor) for _, each in _entries(content)):
        raise ValueError(
            f"weights must map names to tensors, and in {plain_path(name)} {plain(wrong[0])} is a "
            f"{type(wrong[1]).__name__}; {remedy}."
        )
    found = (
        f"the keys {', '.join(plain(key) for key in list(content)[:5])}"
        if isinstance(content, Mapping)
        else (f"a value of type {type(content).__name__}")
    )
    raise ValueError(f"weights must map names to tensors, and {plain_path(name)} contains {found}; {remedy}.")


def _entries(content: Any) -> Iterable[tuple[Any, Any]]:
    return content.items() if isinstance(content, Mapping) else ()


def fit_to_network(tensors: Mapping[str, Tensor], network: nn.Module) -> tuple[dict[str, Tensor], Mismatch]:
    """Convert the tensors of a file to the types of a network's tensors, and find all remaining differences.

    Numbers of 16 bits are converted to float32 without rounding. Nothing else is converted, broadcast or omitted.

    Args:
        tensors: The tensors of a file, by name.
        network: The network; its own values do not matter.

    Returns:
        The converted tensors, by name, and the differences between them and the tensors of the network.
    """
    expected = network.state_dict()
    missing, left_over = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    num_shared = len(expected.keys() & tensors.keys())
    fitted: dict[str, Tensor] = {}
    variances = _variances(network)
    misshapen, misshapen_names, not_finite, negative = [], [], [], []
    for name in sorted(expected.keys() & tensors.keys()):
        tensor, like = tensors[name], expected[name]
        is_exact = tensor.dtype == like.dtype or (like.dtype == torch.float32 and tensor.dtype in _EXACT)
        if tensor.shape != like.shape or not is_exact or not _is_dense(tensor):
            misshapen.append(f"{name} is {_kind(tensor)} and must be {_kind(like)}")
            misshapen_names.append(name)
        elif not are_finite([tensor]):
            not_finite.append(name)
        elif name in variances and bool((tensor < 0).any()):
            negative.append(name)
        else:
            # A copy, because tensors of a file may share memory, which those of the network do not.
            fitted[name] = tensor.to(like.dtype, copy=True)
    return fitted, Mismatch(
        missing=tuple(_with_nearest(missing, left_over)),
        left_over=tuple(_with_nearest(left_over, missing)),
        misshapen=tuple(misshapen),
        not_finite=tuple(not_finite),
        negative=tuple(negative),
        remedy=_remedy(missing, left_over),
        is_of_another_network=_is_of_another_network(missing, left_over, num_shared=num_shared),
        num_outputs=_num_outputs(tensors, expected, misshapen_names),
    )


def load_own_weights(path: Path, network: nn.Module, *, name: str) -> dict[str, Tensor]:
    """Read the weights of a network that a user has trained.

    Args:
        path: The file.
        network: The network; its own values do not matter.
        name: The name of the network, for messages.

    Raises:
        ValueError: If the file cannot be read or differs from the network.
    """
    tensors, mismatch = fit_to_network(read_weights(path), network)
    mismatch.check(name, file=path.name)
    return tensors


def _with_nearest(names: list[str], others: list[str]) -> Iterable[str]:
    """Yield each name, followed by the most similar of ``others`` in parentheses if one is similar enough."""
    is_short = len(names) * len(others) <= _MAX_COMPARISONS
    for name in names:
        # A name that another one ends with is nearest: wrappers of networks put a prefix before all names.
        near = [other for other in others if _differ_by_prefix(name, other)]
        if not near and is_short:
            near = difflib.get_close_matches(name, others, n=1, cutoff=0.75)
        yield f"{name} (near {near[0]})" if near else name


def _remedy(missing: list[str], left_over: list[str]) -> str:
    """Return what to do with a file whose names have one prefix too many or too few; an empty text for other files."""
    for shorter, longer, words in (
        (missing, left_over, "remove {} from the beginning of its names"),
        (left_over, missing, "put {} before its names"),
    ):
        for other in longer:
            prefix = other.removesuffix(shorter[0]) if shorter and other.endswith(f".{shorter[0]}") else ""
            if prefix and {f"{prefix}{name}" for name in shorter} <= {*longer}:
                return words.format(prefix)
    return ""


def _is_of_another_network(missing: list[str], left_over: list[str], *, num_shared: int) -> bool:
    """Return whether nearly all tensors of a file have other names than those of the network.

    The answer is no if a name in the file differs from a name of the network only by a prefix, because the file then
    comes from a wrapper around the same network. ``num_shared`` is the number of names that both have.
    """
    fewest = min(len(missing), len(left_over))
    if not fewest or num_shared > _MAX_SHARED_FRACTION * (fewest + num_shared):
        return False
    return not any(_differ_by_prefix(name, other) for name in missing for other in left_over)


def _differ_by_prefix(name: str, other: str) -> bool:
    return other.endswith(f".{name}") or name.endswith(f".{other}")


def _variances(network: nn.Module) -> set[str]:
    """Return the names of the running variances of all batch and instance normalisations of torch."""
    return {
        f"{name}.running_var".lstrip(".") for name, module in network.named_modules() if isinstance(module, _NormBase)
    }


def _num_outputs(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], names: list[str]
) -> tuple[int, int] | None:
    """Return the numbers of outputs in a file and of a network if the tensors seem to differ only in it, else None.

    Args:
        tensors: The tensors of the file, by name.
        expected: The tensors of the network, by name.
        names: The names of the tensors whose shapes or types differ.
    """
    if tensors.keys() != expected.keys():
        return None
    pairs = [(tuple(tensors[name].shape), tuple(expected[name].shape)) for name in names]
    if not pairs or not all(len(found) == len(own) > 0 and found[1:] == own[1:] for found, own in pairs):
        return None
    ((num_found, num_own), *others) = {(found[0], own[0]) for found, own in pairs}
    return None if others or num_found == num_own else (num_found, num_own)


def _is_dense(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta


def _kind(tensor: Tensor) -> str:
    layout = "" if _is_dense(tensor) else "without values " if tensor.is_meta else "sparse "
    return f"{layout}{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _first(names: tuple[str, ...], num_named: int = _NUM_NAMED) -> str:
    more = len(names) - num_named
    return ", ".join(names[:num_named]) + (f" and {more} more" if more > 0 else "")
