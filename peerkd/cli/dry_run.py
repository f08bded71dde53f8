"""``peerkd run --dry-run``: the jobs that a run would make, as far as they can be known before it."""

from collections.abc import Iterator
from typing import Any, Final

import typer
import yaml

from peerkd.config.cluster import ClusterConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.pipelines import JOINTKD, PCL
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.kinds.kind import JobKind
from peerkd.launch.kubernetes.manifest import manifest_for
from peerkd.launch.order import StageOrder

_INPUTS: Final = {
    JOINTKD.name: {
        "pretrain_peers": {"partition": "partition_data"},
        "distill_pairs": {"peers": "pretrain_peers"},
        "tune_pairs": {"peers": "pretrain_peers"},
    },
    PCL.name: {"train_pcl": {"split": "split_data"}},
}
"""The stages of each pipeline that are launched, and what each reads: the input's name, and whose it is."""

_OF_ANOTHER_STRATEGY: Final = {"tune": "distill_pairs", "sweep": "tune_pairs"}
"""The stage that a run by a strategy does without."""

_UNKNOWN_KEY: Final = "0" * 16
_UNKNOWN_FINGERPRINT: Final = "0" * 64
_UNKNOWN_DIGEST: Final = "0" * 10
_NOTE: Final = """\
# The job of {stage}, as peerkd would make it. What follows from the content of the stages before it is not known yet
# and stands here as zeros: the keys and fingerprints in its command, the end of its name, and its labels run and spec.
"""


def show_jobs(
    pipeline: str,
    config_json: str,
    settings: ClusterConfig,
    *,
    kind: JobKind,
    store: str,
    strategy: str | None = None,
) -> None:
    """Print the jobs as YAML, which ``kubectl apply --dry-run=server`` accepts."""
    for stage, manifest in jobs(pipeline, config_json, settings, kind=kind, store=store, strategy=strategy):
        typer.echo("---\n" + _NOTE.format(stage=stage) + yaml.safe_dump(manifest, sort_keys=False), nl=False)


def jobs(
    pipeline: str,
    config_json: str,
    settings: ClusterConfig,
    *,
    kind: JobKind,
    store: str,
    strategy: str | None = None,
) -> Iterator[tuple[str, Any]]:
    """Yield each launched stage with its job, after the objects that must exist before the job.

    Raises:
        ValueError: If the settings do not allow a job.
    """
    num_processes = PclConfig.from_json(config_json).training.num_processes if pipeline == PCL.name else 1
    for stage, inputs in _INPUTS[pipeline].items():
        if stage == _OF_ANOTHER_STRATEGY[strategy or "sweep"]:
            continue
        order = StageOrder(
            stage=stage,
            config_json=config_json,
            store=store,
            inputs={
                name: {"key": f"{source}/{_UNKNOWN_KEY}", "fingerprint": _UNKNOWN_FINGERPRINT}
                for name, source in inputs.items()
            },
            key=f"{stage}/{_UNKNOWN_KEY}",
            num_processes=num_processes,
        )
        job, prerequisites = manifest_for(order, settings, kind=kind)
        labels = job["metadata"]["labels"]
        derived = {
            job["metadata"]["name"]: f"peerkd-{stage.replace('_', '-')}-{_UNKNOWN_DIGEST}",
            labels[names.LABEL_RUN]: f"local-{_UNKNOWN_DIGEST}",
            labels[names.LABEL_SPEC]: _UNKNOWN_KEY,
        }
        for manifest in (*(each.manifest for each in prerequisites), job):
            yield stage, _replaced(manifest, derived)


def _replaced(value: Any, by: dict[str, str]) -> Any:
    """Return the same with some texts, and what begins with them, put in another way."""
    match value:
        case dict():
            return {name: _replaced(each, by) for name, each in value.items()}
        case list():
            return [_replaced(each, by) for each in value]
        case str():
            for text, other in by.items():
                value = other + value.removeprefix(text) if value.startswith(text) else value
    return value
