"""The config of the data: data set, augmentation and partition."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from peerkd.config.strict import StrictConfig
from peerkd.excerpt import plain_path

Fraction = Annotated[float, Field(gt=0, lt=1)]
"""A share strictly between 0 and 1."""


ColourLevel = Annotated[int, Field(ge=0, le=255)]
"""The intensity of one colour of a pixel."""

_SOURCES_OF_FIELDS = {
    "skip_damaged": ("image_folder",),
    "pixel_range": ("image_folder", "npz"),
    "background": ("image_folder",),
}
"""The sources that use a field, for each field that not all sources use."""


class DataConfig(StrictConfig):
    """The data set of the experiment."""

    source: Literal["digits", "cifar10", "cifar100", "image_folder", "npz"] = "digits"
    """digits needs no file; the others are read from ``path``."""

    path: str | None = Field(default=None, min_length=1)
    """Folder or file of the source. Required for every source but digits."""

    image_size_pixels: int | None = Field(default=None, ge=4, le=4_096)
    """Side to which an image_folder is resized and cropped. Null: all images must have one size."""

    storage: Literal["packed", "streamed"] = "packed"
    """packed: uint8 arrays that stages map into memory. streamed: decoded when read, for ImageNet-sized folders."""

    skip_damaged: bool = False
    """Leave out images of an image_folder that cannot be read, and list them. False: refuse them."""

    pixel_range: tuple[float, ...] | None = Field(default=None, min_length=2, max_length=2)
    """Values that become black and white in images of more than 8 bits a channel, such as [0, 4095] for 12 bits. Null:
    the full range of 12 or 16 bits in an image_folder; images of 32 bits, and arrays of an npz file that are not uint8,
    are refused. PGM and PPM files name their own range."""

    background: tuple[ColourLevel, ...] = Field(default=(255, 255, 255), min_length=3, max_length=3)
    """Red, green and blue of the colour behind transparent pixels of an image_folder."""

    max_train_samples: int | None = Field(default=None, ge=1)
    """Keep a class-stratified subset of the training split. Null: all. A validation split that the data set comes with
    is kept whole."""

    max_test_samples: int | None = Field(default=None, ge=1)
    """Keep a class-stratified subset of the test split. Null: all."""

    test_fraction: Fraction = 0.2
    """Share held out as the test split where the source has none; pixel statistics then come from all samples."""

    validation_fraction: Fraction = 0.1
    """Share of the training split held out for every choice; no peer trains on it. Not used if the data set comes with
    both a validation and a test split."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.source != "digits" and self.path is None:
            raise ValueError(f"path is required when source is {self.source}, got null.")
        if self.source == "digits" and self.path is not None:
            raise ValueError(
                f"path must be null when source is digits, got {plain_path(self.path)}; set source to the kind of data "
                "at that path, such as image_folder or npz."
            )
        if self.path is not None and "\0" in self.path:
            raise ValueError(f"path must not contain the character NUL, got {plain_path(self.path)}.")
        for field, sources in _SOURCES_OF_FIELDS.items():
            value = getattr(self, field)
            if self.source not in sources and value != type(self).model_fields[field].default:
                raise ValueError(f"{field} is for source {' or '.join(sources)} only, got {value} with {self.source}.")
        if self.pixel_range is not None and not self.pixel_range[0] < self.pixel_range[1]:
            raise ValueError(f"pixel_range must be two numbers, the lower one first, got {list(self.pixel_range)}.")
        if self.storage == "streamed" and self.source != "image_folder":
            raise ValueError(f"storage must be packed unless source is image_folder, got streamed with {self.source}.")
        if self.storage == "streamed" and self.image_size_pixels is None:
            raise ValueError("image_size_pixels is required when storage is streamed, got null.")
        for field, limit in (
            ("max_train_samples", self.max_train_samples),
            ("max_test_samples", self.max_test_samples),
        ):
            if self.storage == "streamed" and limit is not None:
                raise ValueError(f"{field} must be null when storage is streamed, got {limit}.")
        return self


class AugmentationConfig(StrictConfig):
    """How a training image is varied. A view is a function of seed, epoch and sample alone."""

    crop_padding_pixels: int = Field(default=0, ge=0, le=1_000)
    """Zero padding on each side before a random crop back to size. 0: no crop."""

    horizontal_flip: bool = False
    """Mirror half of the images."""

    resized_crop_min_area_fraction: float | None = Field(default=None, gt=0, le=1)
    """Random crop of at least this share of the image's area, resized to its size; null: none. For ImageNet 0.08."""

    @property
    def varies(self) -> bool:
        """Whether an image is another one in each epoch."""
        return self != AugmentationConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.resized_crop_min_area_fraction is not None and self.crop_padding_pixels > 0:
            raise ValueError(
                "crop_padding_pixels must be 0 when resized_crop_min_area_fraction is set, "
                f"got {self.crop_padding_pixels}."
            )
        return self


class IidLabels(StrictConfig):
    """Every peer draws from the same distribution."""

    kind: Literal["iid"] = "iid"


class DirichletLabels(StrictConfig):
    """Each peer's class shares are drawn from a Dirichlet distribution around the global ones."""

    kind: Literal["dirichlet"] = "dirichlet"
    concentration: float = Field(default=0.3, gt=0)
    """Small is skewed (0.1: mostly one class a peer), large is uniform."""


class ClassesPerPeer(StrictConfig):
    """Each peer holds exactly this many classes."""

    kind: Literal["classes"] = "classes"
    classes_per_peer: int = Field(ge=1)
    """Number of classes of a peer; at most that of the data set."""


class ShardsPerPeer(StrictConfig):
    """Samples sorted by class, cut into equal shards, dealt to peers (McMahan et al. 2017)."""

    kind: Literal["shards"] = "shards"
    shards_per_peer: int = Field(ge=1)
    """A shard is of one class or of few, so a peer has few classes where this is small."""


class NaturalIds(StrictConfig):
    """Samples go with an id that came with the data, such as a writer or a device."""

    kind: Literal["natural"] = "natural"
    column: str = Field(min_length=1)
    """Name of the column that holds the id."""


class EqualSizes(StrictConfig):
    """Peers have equally many samples."""

    kind: Literal["equal"] = "equal"


class DirichletSizes(StrictConfig):
    """The peers' shares of the samples are drawn from a Dirichlet distribution."""

    kind: Literal["dirichlet"] = "dirichlet"
    concentration: float = Field(default=1.0, gt=0)
    """Small is uneven, large is nearly equal."""


LabelSkew = Annotated[
    IidLabels | DirichletLabels | ClassesPerPeer | ShardsPerPeer | NaturalIds, Field(discriminator="kind")
]
QuantitySkew = Annotated[EqualSizes | DirichletSizes, Field(discriminator="kind")]


class PartitionConfig(StrictConfig):
    """How the training samples are divided among the peers."""

    num_peers: int = Field(default=10, ge=2, le=10_000)
    """Every ordered pair of them distils, so the work grows with the square."""

    label_skew: LabelSkew = DirichletLabels()
    """Distribution of the classes over the peers."""

    quantity_skew: QuantitySkew = EqualSizes()
    """Number of samples of each peer, apart from the label skew, so that one can vary without the other."""

    public_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training split held out, class-stratified, as a public transfer set."""

    min_samples_per_peer: int = Field(default=10, ge=2)
    """A partition that gives a peer fewer training samples is drawn again."""

    max_attempts: int = Field(default=100, ge=1, le=1_000_000)
    """Draws before giving up."""

    own_evaluation: Literal["matched", "held_out"] = "matched"
    """Source of a peer's own validation and test sets.

    matched: the largest subsets of the global validation and test sets with the peer's class shares; the peers'
    sets overlap and no training sample is spent. held_out: cut from the peer's own share, which natural ids need
    because their images differ in more than the class.
    """

    held_out_fraction: Fraction = 0.2
    """Share of a peer's samples for validation and test together, half each, with ``own_evaluation: held_out``."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.label_skew.kind in ("natural", "shards") and self.quantity_skew.kind != "equal":
            raise ValueError(
                f"quantity_skew must be equal when label_skew is {self.label_skew.kind}, which fixes the sizes itself, "
                f"got {self.quantity_skew.kind}."
            )
        if self.label_skew.kind == "natural" and self.own_evaluation != "held_out":
            raise ValueError(f"own_evaluation must be held_out when label_skew is natural, got {self.own_evaluation}.")
        return self
