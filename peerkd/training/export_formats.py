"""The formats in which the network of a student can be written. This module needs no torch."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import PurePath
from typing import Final, NamedTuple

from peerkd.excerpt import plain_path

CARD_NAME: Final = "card"
"""The name of the model card in the metadata of a safetensors or ONNX file."""

CARD_FILE_NAME: Final = "card.json"
"""The name of the model card among the files in an archive of ``torch.export``."""


class ExportFormat(NamedTuple):
    """A file format for networks."""

    suffix: str
    """The ending of the names of files in this format."""

    tolerance: float
    """The largest permitted difference between the logits of the file and those of the network, as a fraction of the
    largest absolute logit. If it is 0, all logits must be equal."""

    reader: str
    """The library that reads the file again, so that its logits can be compared with those of the network."""

    packages: tuple[str, ...] = ()
    """The Python modules that the format needs. All of them are installed with the extra ``onnx``."""


FORMATS: Final[Mapping[str, ExportFormat]] = {
    "safetensors": ExportFormat(".safetensors", 0.0, "torch"),
    "torch": ExportFormat(".pt2", 1e-4, "torch.export"),
    "onnx": ExportFormat(".onnx", 1e-4, "onnxruntime", ("onnx", "onnxscript", "onnxruntime")),
}
"""The formats by name: the tensors of the ``state_dict``, a program of ``torch.export``, and ONNX."""


def format_of(file: PurePath) -> str:
    """Return the name of the format that belongs to the ending of a file name.

    Raises:
        ValueError: If no format has this ending.
    """
    found = [name for name, each in FORMATS.items() if each.suffix == file.suffix]
    if not found:
        suffixes = ", ".join(each.suffix for each in FORMATS.values())
        raise ValueError(f"to must end in one of {suffixes}, got {plain_path(file)}.")
    return found[0]


def find_format(name: str) -> ExportFormat:
    """Return the format with a name, after checking that its packages are installed.

    Raises:
        ValueError: If no format has the name, or a package is missing.
    """
    if name not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {name}.")
    found = FORMATS[name]
    missing = [package for package in ("torch", *found.packages) if find_spec(package) is None]
    if missing:
        extra = "train" if "torch" in missing else "onnx"
        raise ValueError(
            f"format {name} needs {' and '.join(missing)}, which this environment lacks; install the extra with pip "
            f"install 'peerkd[{extra}]', or in a clone with make setup."
        )
    return found
