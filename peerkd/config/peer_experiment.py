"""The part of a config that all experiments with peers have: data, partition, networks and pre-training."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from peerkd.config.architectures import check_branch_point
from peerkd.config.data import AugmentationConfig, DataConfig, IndexFiles, PartitionConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.config.strict import StrictConfig
from peerkd.config.training import PeersConfig, PretrainConfig

_NAME_RULE: Final = "be 2 to 40 lower-case letters, digits and hyphens, with a letter first and no hyphen last"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$", json_schema_extra={"rule": _NAME_RULE})]
"""A name that can be part of a job's name on a cluster."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""A seed of 32 bits, the largest that numpy accepts."""


class ComputeConfig(StrictConfig):
    """The device and the number of processes.

    They are not part of an artifact's key, because they do not change the meaning of a result.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """The device that networks are trained on. cuda: NVIDIA GPUs. mps: the GPU of an Apple computer, on which one
    student trains at a time. auto: a GPU if one is available, otherwise the CPU."""

    num_workers: int | None = Field(default=None, ge=1, le=1_000)
    """The number of single-threaded processes on one machine. Null: one for each GPU or, on a machine without GPUs, one
    for each CPU core."""

    tracking: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ()
    """The services that also record curves, the config and the headline numbers. Each needs the extra of its name, as
    in ``pip install 'peerkd[mlflow]'``."""


class PeerExperimentConfig(StrictConfig):
    """The data, their partition among peers, and the pre-training of the peers.

    The config of each pipeline with peers adds the fields for the steps after the pre-training.
    """

    counts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "partition.num_peers": ("peers.given", "partition.label_skew.files")
    }

    name: Name = "digits"
    """The name of the experiment in reports and in the names of jobs: 2 to 40 lower-case letters, digits and
    hyphens."""

    seed: Seed = 0
    """The seed from which all random numbers of the experiment are derived."""

    num_seeds: int = Field(default=1, ge=1, le=1_000)
    """The number of complete studies, with consecutive seeds from ``seed`` on. Each study has its own partition, peers
    and report, as in a run with its seed alone. If there are several studies, a last report gives the means over the
    seeds with their intervals."""

    data: DataConfig = DataConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    partition: PartitionConfig = PartitionConfig()
    peers: PeersConfig = PeersConfig()
    pretrain: PretrainConfig = PretrainConfig()
    compute: ComputeConfig = ComputeConfig()

    @property
    def studies(self) -> tuple[Self, ...]:
        """The config of the study of each seed."""
        if self.num_seeds == 1:
            return (self,)
        seeds = range(self.seed, self.seed + self.num_seeds)
        return tuple(self.model_copy(update={"seed": seed, "num_seeds": 1}) for seed in seeds)

    @property
    def networks(self) -> tuple[PeerNetwork, ...]:
        """The network of each peer."""
        if self.peers.given:
            return tuple(peer.peer_network for peer in self.peers.given)
        names = self.peers.architectures
        return tuple(map(PeerNetwork, names * self.partition.num_peers if len(names) == 1 else names))

    @property
    def architectures(self) -> tuple[str, ...]:
        """The name of the network of each peer."""
        return tuple(network.name for network in self.networks)

    @property
    def num_trained_peers(self) -> int:
        """The number of peers that are pre-trained, because the user gives no weights for them."""
        return sum(map(self.is_trained, range(self.partition.num_peers)))

    def is_trained(self, peer: int) -> bool:
        """Return whether a peer is pre-trained. It is, unless its weights are given."""
        given = self.peers.given
        return self.peers.from_ is None and not (given and given[peer].weights is not None)

    @property
    def has_peer_data(self) -> bool:
        """Whether the peers bring data sets of their own, which are not divided by a partitioner."""
        return any(peer.data is not None for peer in self.peers.given)

    @property
    def has_public_set(self) -> bool:
        """Whether there are samples that belong to no peer.

        If each peer brings its own data set, these samples are the data set of ``data``. Otherwise, they are held out
        when the data set is divided, or a file lists them.
        """
        if self.has_peer_data:
            return self.data.source != "peers"
        return self.partition.public_fraction > 0 or getattr(self.partition.label_skew, "public_file", None) is not None

    def describe_peer(self, peer: int) -> str:
        """Return the words by which messages name a peer: its number, and its name if the user has given one."""
        return f"peer {peer} ({self.peers.given[peer].name})" if self.peers.given else f"peer {peer}"

    def section_of_weights(self, peer: int) -> str:
        """Return the beginning of messages about the weights of a peer. It names the field with the weights."""
        return f"peers.given[{peer}]." if self.peers.from_ is None else f"peers.from: peer {peer}: "

    @property
    def batch_sizes(self) -> Mapping[str, int]:
        """The values of the fields that limit the size of a batch, keyed by the name of the field."""
        return {"pretrain.batch_size": self.pretrain.batch_size}

    @property
    def rules_for_losses(self) -> Mapping[str, str]:
        """How an error message about a loss begins, such as ``distill.loss.kind must``, by the name of the loss."""
        return {}

    def check_num_classes(self, num_classes: int) -> None:
        """Check that every class number in the config is the number of a class of the data set.

        Raises:
            ValueError: If a number is too large.
        """

    @property
    def highest_temperature(self) -> tuple[str, float]:
        """The name of the field with the temperatures of distillation, and the highest of these temperatures."""
        return "temperature", 1.0

    @model_validator(mode="after")
    def _check_seeds(self) -> Self:
        if self.seed + self.num_seeds > 2**32:
            raise ValueError(f"seed + num_seeds must be at most {2**32}, got {self.seed} + {self.num_seeds}.")
        return self

    @model_validator(mode="after")
    def _check_peers(self) -> Self:
        num_peers, given = self.partition.num_peers, self.peers.given
        if given and len(given) != num_peers:
            raise ValueError(
                f"partition.num_peers must be {len(given)}, the number of peers in peers.given, or be omitted, got "
                f"{num_peers}."
            )
        self._check_peer_data()
        self._check_index_files()
        if not given and len(self.peers.architectures) not in (1, num_peers):
            raise ValueError(
                f"peers.architectures must have 1 entry or one for each of the {num_peers} peers, "
                f"got {len(self.peers.architectures)}."
            )
        if self.pretrain.method == "pcl":
            for peer, network in enumerate(self.networks):
                if given and self.is_trained(peer) and not network.is_plain:
                    raise ValueError(
                        "pretrain.method must be cross_entropy for peers.given without weights whose network has an "
                        f"adapter or no branch points, got pcl and {network} for {self.describe_peer(peer)}."
                    )
            for architecture in (network.name for network in self.networks if network.is_plain):
                try:
                    check_branch_point(architecture, self.pretrain.collaboration.branch_point)
                except ValueError as error:
                    raise ValueError(f"pretrain.{error}") from error
        return self

    def _check_index_files(self) -> None:
        """Raise a ``ValueError`` if the index files do not fit the number of peers or the data set."""
        skew = self.partition.label_skew
        if not isinstance(skew, IndexFiles) or self.has_peer_data:
            return
        if len(skew.files) != self.partition.num_peers:
            raise ValueError(
                f"partition.num_peers must be {len(skew.files)}, the number of files in partition.label_skew.files, or "
                f"be omitted, got {self.partition.num_peers}."
            )
        if self.data.max_train_samples is not None:
            raise ValueError(
                "data.max_train_samples must be null when partition.label_skew.kind is indices, because the files list "
                f"samples of the whole training split, got {self.data.max_train_samples}."
            )

    def _check_peer_data(self) -> None:
        """Raise a ``ValueError`` if the peers' own data sets do not fit the data set of the experiment."""
        data, given = self.data, self.peers.given
        without = [peer for peer, each in enumerate(given) if each.data is None]
        if data.source == "peers" and (without or not given):
            where = f"{self.describe_peer(without[0])} has none" if without else "peers.given is empty"
            raise ValueError(f"peers.given must have data for every peer when data.source is peers, and {where}.")
        if not self.has_peer_data:
            return
        if without:
            raise ValueError(
                f"peers.given must have data for every peer or for none, and {self.describe_peer(without[0])} has none."
            )
        if data.source == "digits":
            raise ValueError(
                "data.source must be peers, or the kind of a data set other than the peers', when peers.given have "
                "data, got digits."
            )
        for field, value, needed in (
            ("storage", data.storage, "packed"),
            ("max_train_samples", data.max_train_samples, None),
            ("max_test_samples", data.max_test_samples, None),
        ):
            if value != needed:
                raise ValueError(f"data.{field} must be {needed or 'null'} when peers.given have data, got {value}.")
