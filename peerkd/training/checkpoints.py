"""Weights on disk, as safetensors: reading a file never executes anything from it."""

import json
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from peerkd.errors import ArtifactCorruptError
from peerkd.system_errors import plain_error
from peerkd.training.finite import are_finite
from peerkd.training.seals import SEAL, UNSEALED, seal


def save_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    *,
    is_sealed: bool = False,
    partial_folder: Path | None = None,
) -> None:
    """Write tensors and metadata to a safetensors file. The file appears whole or not at all.

    Equal tensors and metadata give equal bytes.

    Args:
        path: The file.
        tensors: The tensors, by name.
        metadata: Text values, by name.
        is_sealed: Whether the file contains its own digest, so that ``peerkd.training.seals.is_intact`` can check it.
            This is True for checkpoints, because no manifest contains their digests.
        partial_folder: A folder on the same file system, for the file until it is complete. The file has a name there
            that no other writer uses, so two processes may write ``path`` at the same time. None: only one process
            writes ``path``, and the file lies beside it until it is complete.
    """
    partial = partial_folder / f"{path.stem}.{uuid4().hex}.writing" if partial_folder else path.with_suffix(".writing")
    words = dict(metadata or {}) | ({SEAL: UNSEALED} if is_sealed else {})
    # save_file would leave a temporary file of another name if the process were killed, and the artifact would have it.
    content = save({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, words)
    with partial.open("wb") as file:
        for piece in _in_order(content) if len(words) > 1 else (content,):
            file.write(piece)
    if is_sealed:
        seal(partial)
    partial.replace(path)


def _in_order(content: bytes) -> tuple[bytes, memoryview]:
    """Return a safetensors file in two pieces, with its metadata in the order of their names.

    The library writes several metadata in a random order. A file is the length of its header in eight bytes, the
    header in JSON, padded with spaces to a multiple of eight bytes, and the values of the tensors.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    entries = json.loads(content[8:end])
    words = dict(sorted(entries.pop("__metadata__").items()))
    text = json.dumps({"__metadata__": words, **entries}, ensure_ascii=False, separators=(",", ":")).encode()
    header = text + b" " * (-len(text) % 8)
    return len(header).to_bytes(8, "little") + header, memoryview(content)[end:]


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file that ``save_tensors`` wrote.

    Raises:
        ArtifactCorruptError: If the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
        return load_file(path), metadata
    except SafetensorError as error:
        failed = plain_error(error)
        if failed:
            raise failed from error
        raise ArtifactCorruptError(f"{path} is damaged: {error}.") from error


def check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, source: str) -> None:
    """Check that the tensors of a file have exactly the expected names, shapes and types, and only finite numbers.

    Args:
        tensors: The tensors that were read, by name.
        expected: Tensors with the required names, shapes and types; the values do not matter.
        source: Where the tensors were read, for the message.

    Raises:
        ArtifactCorruptError: If names, a shape or a type differ, or a number is NaN or infinite. The message names the
            tensor.
    """
    for problem, names in (("lacks", expected.keys() - tensors.keys()), ("must not have", tensors.keys() - expected)):
        if names:
            first, *others = sorted(names)
            also = f" and {len(others)} more" if others else ""
            raise ArtifactCorruptError(f"{source} {problem} the tensor {first}{also}.")
    for name, tensor in tensors.items():
        like = expected[name]
        if tensor.shape != like.shape or tensor.dtype != like.dtype:
            raise ArtifactCorruptError(f"The tensor {name} of {source} must be {_kind(like)}, got {_kind(tensor)}.")
        if not are_finite([tensor]):
            raise ArtifactCorruptError(f"The tensor {name} of {source} must be finite, got NaN or infinite numbers.")


def load_state_of(network: nn.Module, path: Path) -> dict[str, Tensor]:
    """Read the state of a network from a file. ``network`` determines the required names, shapes and types.

    Raises:
        ArtifactCorruptError: If the file is damaged, does not contain the required tensors, or contains numbers that
            are not finite.
    """
    tensors, _ = load_tensors(path)
    check_tensors(tensors, network.state_dict(), source=str(path))
    return tensors


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"


def copy_state(source: Mapping[str, Tensor], network: nn.Module) -> None:
    """Copy the values of a ``state_dict`` into the parameters and buffers of a network, in place."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            tensor.copy_(source[name])
