"""Export of a student's network to a file for other programs. The file is read again, and the logits are compared.

The file contains the network without the adapter of the peer. Its input is normalised as the model card describes.

Shape suffixes: N = images, B = batch, C = image channels, H W = image size, K = classes of the network.
"""

import io
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from peerkd.data.augment import normalize
from peerkd.data.dataset import ImageDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.errors import ExportDiffersError
from peerkd.excerpt import plain_path
from peerkd.models.adapter import Normalization, convert_images
from peerkd.own_code import describe_error
from peerkd.system_errors import add_path_to_errors, plain_error
from peerkd.training.checkpoints import load_state_of
from peerkd.training.export_formats import CARD_FILE_NAME, CARD_NAME, FORMATS
from peerkd.training.inputs import ExportInputs
from peerkd.training.peers import build_own, own_normalization
from peerkd.training.process_pool import TaskFunction

_BATCH_SIZE: Final = 50
_MAX_IMAGES: Final = 500
"""The maximum number of validation images on which logits are compared."""

_INPUT, _OUTPUT = "images", "logits"

_Logits = Callable[[Tensor], Tensor]
"""A function that returns the logits of a network for given images, on the CPU."""


class Comparison(NamedTuple):
    """The difference between the logits of a file and those of the network that was written."""

    num_images: int
    largest_difference: float
    """The largest absolute difference of two logits, as a fraction of the largest absolute logit."""

    num_same_class: int
    """The number of images for which the file and the network predict the same class."""


def start(inputs: ExportInputs, *, process_index: int) -> TaskFunction:
    """Return a function that receives a model card as JSON, writes the network with it, and yields the comparison."""

    def perform(card: str) -> Iterator[Comparison]:
        yield write_network(inputs, card)

    return perform


def write_network(inputs: ExportInputs, card: str) -> Comparison:
    """Write a network to a file. The file appears only if its logits agree with those of the network.

    Raises:
        ValueError: If the format cannot represent the network.
        ExportDiffersError: If the file gives other logits than the network.
    """
    export_format = FORMATS[inputs.format_name]
    dataset = open_dataset(inputs.dataset_folder)
    network = _build(inputs, dataset)
    network.load_state_dict(load_state_of(network, inputs.weights))
    network.eval()
    images_NCHW = _validation_images(inputs, dataset)
    with _unfinished(inputs.file) as path, add_path_to_errors(inputs.file.parent):
        with warnings.catch_warnings():
            # The exporters warn of their own deprecations.
            warnings.simplefilter("ignore")
            read = _WRITERS[inputs.format_name](network, path, card, images_NCHW, lambda: _build(inputs, dataset))
            with torch.inference_mode():
                expected_NK, found_NK = (_in_batches(logits, images_NCHW) for logits in (network, read))
        comparison = _compare(expected_NK, found_NK)
        # NaN, as from a file that gives infinite logits, is not within the tolerance either.
        if not comparison.largest_difference <= export_format.tolerance:
            raise ExportDiffersError(
                f"The file for {plain_path(inputs.file)} must give the logits of the network to within "
                f"{export_format.tolerance:g} of the largest one, got a difference of "
                f"{comparison.largest_difference:.2g}; it was not written."
            )
        path.replace(inputs.file)
    return comparison


@contextmanager
def _unfinished(file: Path) -> Iterator[Path]:
    """Yield a path of the same name in a hidden folder beside ``file``, which is deleted after the ``with`` block.

    The name of the folder depends only on that of the file. So what a killed process has left is replaced by the next
    attempt, and does not accumulate.
    """
    folder = file.with_name(f".{file.name}.peerkd")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder / file.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _build(inputs: ExportInputs, dataset: ImageDataset) -> nn.Module:
    return build_own(inputs.network, dataset.image_shape, num_classes=dataset.num_classes, seed=0)


def _validation_images(inputs: ExportInputs, dataset: ImageDataset) -> Tensor:
    """Return images of the global validation set, normalised as the network expects."""
    indices = Assignment.load(inputs.partition_folder).validation[:_MAX_IMAGES]
    mean_C, std_C = (torch.tensor(values) for values in (dataset.channel_mean, dataset.channel_std))
    images_NCHW = normalize(torch.from_numpy(dataset.read_images(indices)), mean_C=mean_C, std_C=std_C)
    return convert_images(
        images_NCHW,
        study=Normalization(dataset.channel_mean, dataset.channel_std),
        own=own_normalization(inputs.network),
        image_size_pixels=inputs.network.image_size_pixels,
    ).contiguous()


def _in_batches(logits: _Logits, images_NCHW: Tensor) -> Tensor:
    """Return the logits of all images, computed in batches of several sizes, because a file must accept any size."""
    batches = (images_NCHW[:1], *images_NCHW[1:].split(_BATCH_SIZE))
    return torch.cat([logits(images_BCHW) for images_BCHW in batches if len(images_BCHW)])


def _compare(expected_NK: Tensor, found_NK: Tensor) -> Comparison:
    if found_NK.shape != expected_NK.shape:
        raise ExportDiffersError(
            f"The file must give logits of shape {tuple(expected_NK.shape)}, got {tuple(found_NK.shape)}."
        )
    largest = float((found_NK - expected_NK).abs().max())
    return Comparison(
        num_images=len(expected_NK),
        largest_difference=largest / float(expected_NK.abs().max()) if largest else 0.0,
        num_same_class=int((found_NK.argmax(dim=1) == expected_NK.argmax(dim=1)).sum()),
    )


def _write_safetensors(network: nn.Module, path: Path, card: str, _: Tensor, build: Callable[[], nn.Module]) -> _Logits:
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    path.write_bytes(save(tensors, metadata={"format": "pt", CARD_NAME: card}))
    again = build()
    again.load_state_dict(load_file(path))
    return again.eval()


def _write_torch(network: nn.Module, path: Path, card: str, images_NCHW: Tensor, _: Callable[[], nn.Module]) -> _Logits:
    with _refusing("torch.export"):
        program = torch.export.export(network, (_example(images_NCHW),), dynamic_shapes=_any_batch())
        # On a full disk, torch would raise an error that does not say so.
        content = io.BytesIO()
        torch.export.save(program, content, extra_files={CARD_FILE_NAME: card})
        path.write_bytes(content.getvalue())
        read: _Logits = torch.export.load(path).module()
    return read


def _write_onnx(network: nn.Module, path: Path, card: str, images_NCHW: Tensor, _: Callable[[], nn.Module]) -> _Logits:
    onnxruntime = import_module("onnxruntime")
    with _refusing("torch.onnx.export"):
        program = torch.onnx.export(
            network,
            (_example(images_NCHW),),
            dynamo=True,
            dynamic_shapes=_any_batch(),
            input_names=[_INPUT],
            output_names=[_OUTPUT],
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props[CARD_NAME] = card
        program.save(path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images_BCHW: torch.from_numpy(session.run([_OUTPUT], {_INPUT: images_BCHW.numpy()})[0])


def _example(images_NCHW: Tensor) -> Tensor:
    """Return a batch for tracing. It has several images, because an exporter would treat a size of 1 as a constant."""
    return images_NCHW[:1].expand(2, *images_NCHW.shape[1:]).contiguous()


def _any_batch() -> tuple[dict[int, Any]]:
    """Return the description of an input whose first dimension may have any size."""
    return ({0: torch.export.Dim("batch")},)


@contextmanager
def _refusing(exporter: str) -> Iterator[None]:
    """Replace any exception that an exporter raises in a ``with`` block by an error with one sentence."""
    try:
        yield
    except Exception as error:
        failed = plain_error(error)
        if failed:
            raise failed from error
        raise ValueError(
            f"format must be safetensors for this network, because {exporter} raised {describe_error(error)}."
        ) from error


_WRITERS: Final[Mapping[str, Callable[[nn.Module, Path, str, Tensor, Callable[[], nn.Module]], _Logits]]] = {
    "safetensors": _write_safetensors,
    "torch": _write_torch,
    "onnx": _write_onnx,
}
"""The writers by format. A writer writes a network to a file, and returns a function that gives the file's logits."""
