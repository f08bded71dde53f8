"""The check for overrides of fields that have no effect because of the value of another field.

A person who overrides such a field makes a mistake. A file may contain such fields: ``peerkd config show`` writes all
fields with their defaults, and an override can choose another schedule or method than the file.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.methods import METHODS, Method
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.strict import StrictConfig
from peerkd.config.training import PretrainConfig, RecipeConfig
from peerkd.rounds import ROUND_METHODS

_FIELDS_OF_DIVISION: Final = (
    *("label_skew.kind", "label_skew.concentration"),
    *("label_skew.files", "label_skew.validation_file", "label_skew.public_file"),
    *("quantity_skew.kind", "quantity_skew.concentration"),
    *("public_fraction", "own_evaluation", "held_out_fraction", "max_attempts"),
)
"""The fields of ``partition`` by which one data set is divided among the peers."""


_METHODS_OF_FIELDS: Final = {
    **dict.fromkeys(
        ("loss.kind", "temperature", "rampup_rounds"),
        tuple(name for name, method in ROUND_METHODS.items() if method.alpha_field),
    ),
    **dict.fromkeys(
        (
            "alpha",
            "target.kind",
            "target.prior_adjusted",
            "distribution_alignment",
            "trimmed_fraction",
            "sharpening_temperature",
            "tune.enabled",
            "tune.portfolio",
        ),
        ("predictions",),
    ),
    "pairwise_alpha": ("pairwise",),
    "proximal_weight": ("fedprox",),
    "reduction_temperature": ("ds_fl",),
    "confidence_threshold": ("idkd",),
    "cycle_rounds": ("dfml",),
}
"""The fields of ``rounds`` that only some methods read, each with these methods."""


class _UseOfField(NamedTuple):
    """Whether a field of a config has an effect, and the condition under which it has one."""

    field: str
    is_used: bool
    condition: str
    """The condition under which the field is used, in words that follow "unless"."""


def unused_texts(config: StrictConfig, given: Iterable[str]) -> Iterator[str]:
    """Yield a message for every field that the user has set although it has no effect.

    Args:
        config: The config with these fields set.
        given: The dotted names of the fields that were set.
    """
    unused = {use.field: use.condition for use in _uses_of_fields(config) if not use.is_used}
    for field in given:
        if field in unused:
            yield f"{field} must not be set unless {unused[field]}: it would have no effect."


def _uses_of_fields(config: StrictConfig) -> Iterator[_UseOfField]:
    match config:
        case ExperimentConfig():
            yield from _uses_of_recipe("distill", config.distill)
            yield from _uses_of_peers(config)
        case CollaborateConfig():
            yield from _uses_of_recipe("rounds", config.rounds)
            yield from _uses_of_peers(config)
            for field, readers in _METHODS_OF_FIELDS.items():
                is_read = not {*readers}.isdisjoint(config.rounds.methods)
                yield _UseOfField(f"rounds.{field}", is_read, f"rounds.methods contains {' or '.join(readers)}")
            if not config.rounds.tune.enabled:
                yield _UseOfField("rounds.tune.portfolio", False, "rounds.tune.enabled is true")
        case PclConfig():
            yield from _uses_of_recipe("training", config.training)
            yield _UseOfField("data.columns_path", False, "jointkd divides the data among peers by a column")
            for field, methods in _readers().items():
                is_read = not {*methods}.isdisjoint(config.methods)
                yield _UseOfField(f"collaboration.{field}", is_read, f"methods contains {' or '.join(methods)}")
        case _:
            return
    has_no_test_split = config.data.source not in ("cifar10", "cifar100")
    yield _UseOfField("data.test_fraction", has_no_test_split, "data.source has no test split of its own")
    has_peer_data = isinstance(config, PeerExperimentConfig) and config.has_peer_data
    is_resized = config.data.source == "image_folder" or has_peer_data
    yield _UseOfField("data.image_size_pixels", is_resized, "data.source is image_folder")


def _uses_of_peers(config: PeerExperimentConfig) -> Iterator[_UseOfField]:
    """Yield the uses of fields that all experiments with peers have."""
    yield from _uses_of_recipe("pretrain", config.pretrain)
    for field, methods in _readers().items():
        is_read = config.pretrain.method == "pcl" and "pcl" in methods
        condition = "pretrain.method is pcl" if "pcl" in methods else f"a method such as {methods[0]} is used"
        yield _UseOfField(f"pretrain.collaboration.{field}", is_read, condition)
    for field in PretrainConfig.model_fields:
        if config.num_trained_peers == 0:
            yield _UseOfField(f"pretrain.{field}", False, "a peer has no weights yet")
    yield _UseOfField("peers.architectures", not config.peers.given, "peers.given is empty")
    has_partition = not config.has_peer_data
    for field in _FIELDS_OF_DIVISION:
        yield _UseOfField(f"partition.{field}", has_partition, "peers.given have no data of their own")
    divides_by_ids = has_partition and config.partition.label_skew.kind == "natural"
    yield _UseOfField("data.columns_path", divides_by_ids, "partition.label_skew.kind is natural")
    is_held_out = config.partition.own_evaluation == "held_out"
    yield _UseOfField("partition.held_out_fraction", is_held_out, "partition.own_evaluation is held_out")


def _uses_of_recipe(section: str, recipe: RecipeConfig) -> Iterator[_UseOfField]:
    for field in ("milestone_fractions", "decay_factor"):
        yield _UseOfField(f"{section}.{field}", recipe.schedule == "multistep", f"{section}.schedule is multistep")


def _readers() -> dict[str, list[Method]]:
    """Return, for each field of ``CollaborationConfig``, the methods that read it."""
    facts = METHODS.items()
    distilling: list[Method] = [name for name in METHODS if name not in ("plain", "multi_view", "ema")]
    return dict.fromkeys(CollaborationConfig.model_fields, distilling) | {
        "num_branches": [name for name, each in facts if each.has_branches or each.has_views],
        "branch_point": [name for name, each in facts if each.has_branches and each.shares_trunk],
        "rampup_epochs": [name for name, each in facts if each.ramps_up],
        "mean_decay": [name for name, each in facts if each.has_mean_network],
        "mean_batch_norm": [name for name, each in facts if each.has_mean_network],
        "view_batch_norm": [name for name, each in facts if each.has_views],
        "kdcl_ensemble": ["kdcl"],
        "cross_entropy_weight": ["cl_ilr"],
    }
