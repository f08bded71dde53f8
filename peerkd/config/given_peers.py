"""The config of peers that exist already: the user's networks and weights. This module needs no torch."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, NamedTuple, Self

from pydantic import Field, model_validator

from peerkd.config.architectures import ARCHITECTURE_FACTS
from peerkd.config.strict import StrictConfig, refuse_repeats
from peerkd.excerpt import plain, plain_path
from peerkd.suggestions import did_you_mean, near

WEIGHTS_SUFFIXES: Final = (".safetensors", ".pt", ".pth")
"""The suffixes of files that contain weights: safetensors, and the ``state_dict`` files of torch."""

STORE_SCHEME: Final = "store:"
"""The prefix of an address in the run's own store, as in ``store:KEY/FILE`` for weights."""

S3_SCHEME: Final = "s3://"

_NUM_NAMED_CLASSES: Final = 10
"""The maximum number of classes that a message about an unknown class lists."""

_LIBRARIES: Final = ("torchvision", "timm")
_LIBRARY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-/]*")
_FACTORY: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_STORE_ADDRESS: Final = re.compile(r"store:[a-z_]+/[0-9a-f]{16}(/[^/\s][^\s]*)?")
_STORED_DATA: Final = re.compile(r"store:(dataset/[0-9a-f]{16}|partition_data/[0-9a-f]{16}/[0-9]{1,5})")

_NAME_RULE: Final = (
    "be 1 to 63 letters A-Z or a-z, digits, spaces, dots, hyphens and underscores, with a letter or digit first and "
    "last"
)
_KEY_RULE: Final = (
    "be pretrain_peers/, improve_peers/ or collaborate_peers/ and 16 hexadecimal digits, as 'peerkd show RUN' prints it"
)

PeerName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9 ._-]{0,61}[A-Za-z0-9])?$", json_schema_extra={"rule": _NAME_RULE})
]
"""The name of a peer in messages and reports."""


PublishedKey = Annotated[
    str,
    Field(
        pattern=r"^(pretrain_peers|improve_peers|collaborate_peers)/[0-9a-f]{16}$",
        json_schema_extra={"rule": _KEY_RULE},
    ),
]
"""The key of an artifact with the weights of peers."""


class PeerNetwork(NamedTuple):
    """The network of one peer, without its weights. Peers with equal values can share one PyTorch module."""

    name: str
    """The name of an architecture of peerkd, or an address such as ``torchvision:NAME`` or ``module:factory``."""

    image_size_pixels: int | None = None
    """The side of the square images that the network takes. None: it takes images of the study's size."""

    mean: tuple[float, ...] | None = None
    """The mean of each channel with which the network's images are normalised. None: the mean of the study."""

    std: tuple[float, ...] | None = None
    """The standard deviation of each channel with which the network's images are normalised. None: the deviation of the
    study. ``mean`` and ``std`` are either both None or both set."""

    classes: tuple[str, ...] | None = None
    """The class of each of the network's outputs. None: the classes of the study, in their order."""

    @property
    def is_built_in(self) -> bool:
        """Whether the network is an architecture of peerkd.

        The network may have an adapter, which resizes and normalises its images and orders its classes.
        """
        return self.name in ARCHITECTURE_FACTS

    @property
    def is_plain(self) -> bool:
        """Whether the network is an architecture of peerkd that takes the study's images and classes as they are.

        The fast engines can train only such networks, which need no adapter for images or classes.
        """
        return self.is_built_in and self == PeerNetwork(self.name)

    def describe(self) -> dict[str, Any]:
        """Return the name of the network and its fields as JSON values. Fields that are None are omitted."""
        described = {"network": self.name, **self._asdict()}
        del described["name"]
        # JSON has no tuples: a description that was read from a file must equal the one from the config.
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in described.items()
            if value is not None
        }

    def __str__(self) -> str:
        """Return the name of the network for messages."""
        return self.name


class GivenPeerConfig(StrictConfig):
    """A peer that the user brings."""

    name: PeerName
    """The name of the peer, such as that of a hospital: up to 63 letters, digits, spaces, dots, hyphens and
    underscores."""

    network: str = Field(min_length=1, max_length=300)
    """The network: an architecture as in ``peers.architectures``, ``torchvision:NAME``, ``timm:NAME``, or
    ``module:factory``, a function of an installed package such that ``factory(num_classes=K)`` returns the network."""

    weights: str | None = Field(default=None, min_length=1, max_length=4_096)
    """The trained weights: a safetensors file, a folder that contains one, a ``state_dict`` that ``torch.save`` wrote
    (.pt or .pth), the s3:// address of such a file, or ``store:KEY/FILE`` for a file of an artifact. Null: the peer is
    pre-trained on its own data."""

    data: str | None = Field(default=None, min_length=1, max_length=4_096)
    """The peer's own data set: a folder of images, an npz file, a folder of npy files, or the s3:// address of such a
    file or folder, as for ``data.path``. ``store:dataset/KEY`` is a data set that an earlier run has published, and
    ``store:partition_data/KEY/PEER`` names the samples of the peer with the number PEER in an earlier run. The
    training, validation and test splits of the data set are used where they exist. Null: all peers share the data set
    of ``data``, which ``partition`` divides."""

    image_size_pixels: int | None = Field(default=None, ge=4, le=4_096)
    """The side of the square images that the network takes. The study's images are resized to it. Null: they keep
    their size."""

    mean: tuple[Annotated[float, Field(ge=0, le=1)], ...] | None = Field(default=None, min_length=1, max_length=3)
    """The mean of each channel, for pixels in 0..1, by which the network's images are normalised: one number for grey
    images, three for red, green and blue. Null: images are normalised by the mean and deviation of the study."""

    std: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(default=None, min_length=1, max_length=3)
    """The standard deviation of each channel by which the network's images are normalised, as many numbers as in
    ``mean``."""

    classes: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(default=None, min_length=2)
    """The name of the class of each of the network's outputs, in their order. Classes of the study may be missing.
    Null: the classes of the study, sorted as in its data set."""

    @property
    def peer_network(self) -> PeerNetwork:
        """The network of the peer, with its image size, normalisation and classes."""
        return PeerNetwork(self.network, self.image_size_pixels, self.mean, self.std, self.classes)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.mean or ()) != len(self.std or ()):
            raise ValueError(
                f"std must have as many numbers as mean, got {len(self.std or ())} and {len(self.mean or ())}."
            )
        if len(self.mean or ()) == 2:
            raise ValueError("mean must have one number for grey images or three for colours, got 2.")
        if self.classes:
            refuse_repeats("classes", self.classes)
        _check_network(self.network)
        if self.weights is not None:
            _check_weights(self.weights)
        if self.data is not None:
            _check_data(self.data)
        return self


def check_given_peers(given: tuple[GivenPeerConfig, ...]) -> None:
    """Check that a list of peers forms a study: there are at least two, and each has its own name.

    Raises:
        ValueError: If there is only one peer, or two peers have the same name, or names that differ only in case.
    """
    if len(given) == 1:
        raise ValueError("given must have at least 2 peers, because a pair is a student and a teacher, got 1.")
    positions: dict[str, int] = {}
    for position, peer in enumerate(given):
        first = positions.setdefault(peer.name.casefold(), position)
        if first != position:
            other = given[first].name
            differs = "" if other == peer.name else f" {other} and"
            raise ValueError(
                f"given must have a different name for each peer{', not only in case,' if differs else ','} "
                f"got{differs} {peer.name} in given[{first}] and given[{position}]."
            )


def split_store_address(address: str) -> tuple[str, str]:
    """Return the two parts of an address in the run's own store: the key of an artifact, and the text after the key.

    The text is the name of a file, the number of a peer, or empty.
    """
    noun, fingerprint, *rest = address.removeprefix(STORE_SCHEME).split("/", 2)
    return f"{noun}/{fingerprint}", rest[0] if rest else ""


def class_indices(classes: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """Return the index of each class among the classes of a study.

    Raises:
        ValueError: If the study does not have one of the classes. The message is one sentence about the field
            ``classes``.
    """
    indices = {name: index for index, name in enumerate(class_names)}
    unknown = [name for name in classes if name not in indices]
    if unknown:
        meant = did_you_mean(near(unknown[0], class_names))
        existing = "" if meant else f"; its classes are {_first(class_names)}"
        raise ValueError(
            f"classes must be classes that the data set has{meant}, got {plain(', '.join(unknown))}, of which nobody "
            f"has a sample{existing}."
        )
    return [indices[name] for name in classes]


def _first(class_names: Sequence[str]) -> str:
    num_more = len(class_names) - _NUM_NAMED_CLASSES
    return ", ".join(map(plain, class_names[:_NUM_NAMED_CLASSES])) + (f" and {num_more:,} more" if num_more > 0 else "")


def _check_network(name: str) -> None:
    """Check that a network is named as an architecture, ``torchvision:NAME``, ``timm:NAME`` or ``module:factory``.

    Raises:
        ValueError: If the name has none of these forms. The message suggests a similar architecture.
    """
    library, separator, rest = name.partition(":")
    if not separator:
        if name not in ARCHITECTURE_FACTS:
            known = near(name, ARCHITECTURE_FACTS)
            meant = did_you_mean([*known, f"torchvision:{name}"] if known else [])
            raise ValueError(
                f"network must be torchvision:NAME, timm:NAME, module:factory or one of "
                f"{', '.join(ARCHITECTURE_FACTS)}{meant}, got {plain(name)}."
            )
    elif library in _LIBRARIES:
        if not _LIBRARY_NAME.fullmatch(rest):
            raise ValueError(f"network must name a network of {library}, as in {library}:resnet18, got {plain(name)}.")
    elif not _FACTORY.fullmatch(name):
        raise ValueError(
            "network must be module:factory, the dotted name of a module and the name of a function in it, got "
            f"{plain(name)}."
        )


def _check_weights(address: str) -> None:
    """Check the form of an address of weights.

    Raises:
        ValueError: If it names neither a file nor a folder nor an object.
    """
    if any(character < " " or character == "\x7f" for character in address):
        raise ValueError(f"weights must not contain a control character, got {plain_path(address)}.")
    if address.startswith(STORE_SCHEME):
        if not _STORE_ADDRESS.fullmatch(address):
            raise ValueError(
                "weights in the store must be store:KEY/FILE, as in "
                f"store:pretrain_peers/0123456789abcdef/peer-003.safetensors, got {plain_path(address)}."
            )
    elif address.startswith(S3_SCHEME):
        bucket, _, name = address.removeprefix(S3_SCHEME).partition("/")
        if not bucket or PurePosixPath(name).suffix not in WEIGHTS_SUFFIXES:
            raise ValueError(
                f"weights in a bucket must be s3://bucket/NAME with the ending {', '.join(WEIGHTS_SUFFIXES)}, got "
                f"{plain_path(address)}."
            )
    elif "://" in address:
        raise ValueError(f"weights must be a file, a folder, s3://... or store:..., got {plain_path(address)}.")


def _check_data(address: str) -> None:
    """Check the form of an address of a peer's data set.

    Raises:
        ValueError: If the address contains a control character, or names an artifact of a kind that has no images.
    """
    if any(character < " " for character in address):
        raise ValueError(f"data must not contain a control character, got {plain_path(address)}.")
    if address.startswith(STORE_SCHEME) and not _STORED_DATA.fullmatch(address):
        raise ValueError(
            "data in the store must be store:dataset/KEY or store:partition_data/KEY/PEER, as in "
            f"store:partition_data/0123456789abcdef/3, got {plain_path(address)}."
        )
