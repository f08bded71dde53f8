"""The config of the data: the data set, its augmentation and its partition."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from peerkd.config.own_paths import own_function
from peerkd.config.strict import StrictConfig
from peerkd.excerpt import plain_path

Fraction = Annotated[float, Field(gt=0, lt=1)]
"""A fraction strictly between 0 and 1."""


ColourLevel = Annotated[int, Field(ge=0, le=255)]
"""The intensity of one colour channel of a pixel."""

_SOURCES_OF_FIELDS = {
    "columns_path": ("image_folder",),
    "skip_damaged": ("image_folder", "peers"),
    "pixel_range": ("image_folder", "npz", "peers"),
    "background": ("image_folder", "peers"),
}
"""The sources that use a field, keyed by the name of the field, for the fields that only some sources use."""


class DataConfig(StrictConfig):
    """The data set of the experiment."""

    source: Literal["digits", "cifar10", "cifar100", "image_folder", "npz", "peers"] = "digits"
    """The kind of data set. digits is part of scikit-learn and needs no file; peers uses only the data sets in
    ``peers.given``; the others are read from ``path``."""

    path: str | None = Field(default=None, min_length=1)
    """The folder or file of the data set, or its s3:// address. Every source except digits and peers requires it."""

    image_size_pixels: int | None = Field(default=None, ge=4, le=4_096)
    """The side of the square to which the images of an image_folder are resized and cropped. Null: images are not
    resized and must all have the same size."""

    storage: Literal["packed", "streamed"] = "packed"
    """The form in which stages read images. packed: images are decoded once into uint8 arrays, which stages map into
    memory. streamed: images of an image_folder are decoded whenever they are read, for data sets as large as
    ImageNet."""

    columns_path: str | None = Field(default=None, min_length=1)
    """A CSV file, or its s3:// address, with further values of each image of an image_folder, such as its hospital.
    The partition ``partition.label_skew.kind: natural`` can divide the images by these values. The column ``file_name``
    of the file contains the path of each image below ``path``. Null: the images have no further values."""

    skip_damaged: bool = False
    """Whether images of an image_folder that cannot be read are omitted and listed. False: such a data set is
    refused."""

    pixel_range: tuple[float, ...] | None = Field(default=None, min_length=2, max_length=2)
    """The values that become black and white in images of more than 8 bits per channel, such as [0, 4095] for 12 bits.
    Null: images of an image_folder with 12 or 16 bits use their full range, while images with 32 bits, and arrays of an
    npz file that are not uint8, are refused. PGM and PPM files specify their own range."""

    background: tuple[ColourLevel, ...] = Field(default=(255, 255, 255), min_length=3, max_length=3)
    """The colour, as red, green and blue, that is shown behind transparent pixels of an image_folder."""

    max_train_samples: int | None = Field(default=None, ge=1)
    """The largest number of samples of the training split that are used. The class proportions are kept. The number
    includes the samples that ``validation_fraction`` holds out. It does not include the samples that ``test_fraction``
    holds out, or the samples of a validation split that the data set has itself. Null: all samples."""

    max_test_samples: int | None = Field(default=None, ge=1)
    """The largest number of samples of the test split that are used. The class proportions are kept. The limit also
    applies to a test split that ``test_fraction`` holds out. Null: all samples."""

    test_fraction: Fraction = 0.2
    """The fraction of the samples that is held out as the test split, if the data set has no test split. In this case,
    the mean and deviation of the pixels are computed from all samples, unless ``max_train_samples`` or
    ``max_test_samples`` is set."""

    validation_fraction: Fraction = 0.1
    """The fraction of the training split that is held out as the validation split, on which all choices are made. No
    peer trains on it. It has no effect if the data set has both a validation and a test split of its own."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.source not in ("digits", "peers") and self.path is None:
            raise ValueError(f"path is required when source is {self.source}, got null.")
        if self.source in ("digits", "peers") and self.path is not None:
            raise ValueError(
                f"path must be null when source is {self.source}, got {plain_path(self.path)}; set source to the kind "
                "of data at that path, such as image_folder or npz."
            )
        if self.path is not None and "\0" in self.path:
            raise ValueError(f"path must not contain a NUL character, got {plain_path(self.path)}.")
        for field, sources in _SOURCES_OF_FIELDS.items():
            value = getattr(self, field)
            if self.source not in sources and value != type(self).model_fields[field].default:
                raise ValueError(
                    f"{field} applies only to source {' or '.join(sources)}, got {value} with {self.source}."
                )
        if self.pixel_range is not None and not self.pixel_range[0] < self.pixel_range[1]:
            raise ValueError(f"pixel_range must be two numbers, the lower one first, got {list(self.pixel_range)}.")
        if self.storage == "streamed" and self.source != "image_folder":
            raise ValueError(f"storage must be packed unless source is image_folder, got streamed with {self.source}.")
        if self.storage == "streamed" and self.path is not None and self.path.startswith("s3://"):
            raise ValueError(
                "storage must be packed when path is an address in a bucket, because streamed images stay where they "
                f"are, got streamed with {plain_path(self.path)}."
            )
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
    """The random augmentation of training images. It depends only on the seed, the epoch, the sample and the view."""

    crop_padding_pixels: int = Field(default=0, ge=0, le=1_000)
    """The zero padding on each side of an image, from which a random crop of the original size is taken. 0: no crop."""

    horizontal_flip: bool = False
    """Whether each image is mirrored with a probability of one half."""

    resized_crop_min_area_fraction: float | None = Field(default=None, gt=0, le=1)
    """The smallest fraction of an image's area that a random crop covers; the crop is resized to the size of the image.
    ImageNet is usually trained with 0.08. Null: no such crop."""

    @property
    def varies(self) -> bool:
        """Whether images differ from epoch to epoch."""
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
    """Every peer has the class distribution of the whole training set."""

    kind: Literal["iid"] = "iid"


class DirichletLabels(StrictConfig):
    """The class shares of each peer are drawn from a Dirichlet distribution around the global class shares."""

    kind: Literal["dirichlet"] = "dirichlet"
    concentration: float = Field(default=0.3, gt=0)
    """The concentration of the Dirichlet distribution. Small values give skewed shares: with 0.1, most peers have
    mainly one class. With large values, all peers have nearly the global class distribution."""


class ClassesPerPeer(StrictConfig):
    """Every peer has samples of the same number of classes."""

    kind: Literal["classes"] = "classes"
    classes_per_peer: int = Field(ge=1)
    """The number of classes of each peer, at most the number of classes of the data set."""


class ShardsPerPeer(StrictConfig):
    """The samples are sorted by class and cut into equal shards, which are dealt to the peers (McMahan et al. 2017)."""

    kind: Literal["shards"] = "shards"
    shards_per_peer: int = Field(ge=1)
    """The number of shards of each peer. A shard contains one or a few classes, so a small number gives each peer few
    classes."""


class NaturalIds(StrictConfig):
    """All samples with the same id, such as the id of a writer or a device, belong to the same peer."""

    kind: Literal["natural"] = "natural"
    column: str = Field(min_length=1)
    """The name of the column with the ids."""


class IndexFiles(StrictConfig):
    """The samples of each peer are listed in a file of its own, so nothing is drawn.

    A file is an array of whole numbers (.npy), or text with one number per line. A number is the position of a sample
    in the training split, counted from 0 in the order of the source. The s3:// address of a file can be given too.
    """

    kind: Literal["indices"] = "indices"
    files: tuple[Annotated[str, Field(min_length=1, max_length=4_096)], ...] = Field(min_length=2)
    """The files, one for each peer. ``num_peers`` is the number of files."""

    validation_file: str | None = Field(default=None, min_length=1, max_length=4_096)
    """A file that lists the samples of the global validation set. No peer trains on them. Null: the set is
    the validation split of the data set. If the data set has no such split, the set is drawn from all samples of the
    training split."""

    public_file: str | None = Field(default=None, min_length=1, max_length=4_096)
    """A file that lists the samples of the public set. Null: there is no public set, unless ``public_fraction`` holds
    out samples for it."""


class OwnLabels(StrictConfig):
    """A function of a user's own module divides the samples."""

    kind: Literal["own"] = "own"
    function: Annotated[str, AfterValidator(own_function)]
    """The function as ``module:name``, in a module that can be imported where the data are divided. It is called as
    ``function(labels, sizes=sizes, rng=rng, **options)`` and returns an array of indices for each peer. ``peerkd`` adds
    ``@`` and a digest of the module's file, so that a changed function gives other keys."""

    options: dict[str, bool | int | float | str | tuple[float, ...]] = Field(default={})
    """Further arguments of the function, by name."""


class EqualSizes(StrictConfig):
    """All peers have the same number of samples."""

    kind: Literal["equal"] = "equal"


class DirichletSizes(StrictConfig):
    """The peers' shares of the samples are drawn from a Dirichlet distribution."""

    kind: Literal["dirichlet"] = "dirichlet"
    concentration: float = Field(default=1.0, gt=0)
    """The concentration of the Dirichlet distribution. Small values give uneven sizes, large values nearly equal
    ones."""


LabelSkew = Annotated[
    IidLabels | DirichletLabels | ClassesPerPeer | ShardsPerPeer | NaturalIds | IndexFiles | OwnLabels,
    Field(discriminator="kind"),
]
QuantitySkew = Annotated[EqualSizes | DirichletSizes, Field(discriminator="kind")]


class PartitionConfig(StrictConfig):
    """The partition of the training samples among the peers."""

    num_peers: int = Field(default=10, ge=2, le=10_000)
    """The number of peers. In a sweep, every ordered pair of peers distils, so the work grows with the square of this
    number, unless ``sweep.num_partners`` is set."""

    label_skew: LabelSkew = DirichletLabels()
    """The distribution of the classes over the peers."""

    quantity_skew: QuantitySkew = EqualSizes()
    """The number of samples of each peer. It can be varied independently of the label skew."""

    public_fraction: float = Field(default=0.0, ge=0, lt=1)
    """The fraction of the training split that is held out, stratified by class, as a public transfer set."""

    min_samples_per_peer: int = Field(default=10, ge=2)
    """The smallest number of training samples of a peer. A partition that gives a peer fewer samples is drawn again."""

    max_attempts: int = Field(default=100, ge=1, le=1_000_000)
    """The number of partitions that are drawn before the stage gives up."""

    own_evaluation: Literal["matched", "held_out"] = "matched"
    """The source of a peer's own validation and test sets.

    matched: the largest subsets of the global validation and test sets with the peer's class shares. The sets of
    different peers overlap, and every training sample remains in training. held_out: a part of the peer's own samples.
    A partition by natural ids requires ``held_out``, because the images of two peers then differ in more than their
    classes.
    """

    held_out_fraction: Fraction = 0.2
    """The fraction of a peer's samples that is held out for evaluation with ``own_evaluation: held_out``: one half for
    validation and one half for testing."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.label_skew.kind in ("natural", "shards", "indices") and self.quantity_skew.kind != "equal":
            raise ValueError(
                f"quantity_skew must be equal when label_skew is {self.label_skew.kind}, which fixes the sizes itself, "
                f"got {self.quantity_skew.kind}."
            )
        if isinstance(self.label_skew, IndexFiles) and self.label_skew.public_file and self.public_fraction:
            raise ValueError(
                f"public_fraction must be 0 when label_skew.public_file is given, got {self.public_fraction}."
            )
        if self.label_skew.kind == "natural" and self.own_evaluation != "held_out":
            raise ValueError(f"own_evaluation must be held_out when label_skew is natural, got {self.own_evaluation}.")
        return self
