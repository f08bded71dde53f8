"""``peerkd run --dry-run``: the jobs that a run would create, as far as they are known before the run."""

from collections.abc import Iterator
from typing import Any, Final

import typer
import yaml

from peerkd.config.cluster import ClusterConfig
from peerkd.config.pipelines import COLLABORATE, JOINTKD, PCL
from peerkd.config.strict import StrictConfig
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.kinds.kind import JobKind, name_of
from peerkd.launch.kubernetes.manifest import manifest_for
from peerkd.stages.command import find_stage

_BEFORE: Final = {
    JOINTKD.name: {
        "pretrain_peers": "partition_data",
        "distill_pairs": "pretrain_peers",
        "tune_pairs": "pretrain_peers",
        "improve_peers": "distill_pairs",
    },
    PCL.name: {"train_pcl": "split_data"},
    COLLABORATE.name: {"pretrain_peers": "partition_data", "collaborate_peers": "pretrain_peers"},
}
"""The launched stages of each pipeline, each with the stage whose artifact it reads."""

_OF_ANOTHER_STRATEGY: Final = {"tune": "distill_pairs", "sweep": "tune_pairs"}
"""The stage that a run omits under each strategy, because the stage belongs to the other strategy."""

_UNKNOWN_KEY: Final = "0" * 16
_UNKNOWN_FINGERPRINT: Final = "0" * 64
_UNKNOWN_DIGEST: Final = "0" * 10
_NOTE: Final = """\
# The job of {stage}, as peerkd would create it. Values that depend on the results of earlier stages are not known yet
# and are zeros here: the keys and fingerprints in its command, the end of its name, and its labels run and spec.
"""


def show_jobs(
    pipeline: str,
    config: StrictConfig,
    settings: ClusterConfig,
    *,
    kind: JobKind,
    store: str,
    strategy: str | None = None,
) -> None:
    """Print the jobs as YAML, which ``kubectl apply --dry-run=server`` accepts."""
    for study in config.studies:
        for stage, manifest in jobs(pipeline, study, settings, kind=kind, store=store, strategy=strategy):
            typer.echo("---\n" + _NOTE.format(stage=stage) + yaml.safe_dump(manifest, sort_keys=False), nl=False)


def jobs(
    pipeline: str,
    config: StrictConfig,
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
    for stage, before in _BEFORE[pipeline].items():
        if stage == _OF_ANOTHER_STRATEGY[strategy or "sweep"]:
            continue
        if before == _OF_ANOTHER_STRATEGY[strategy or "sweep"]:
            before = "tune_pairs"
        source = {"key": f"{before}/{_UNKNOWN_KEY}", "fingerprint": _UNKNOWN_FINGERPRINT}
        order = find_stage(stage).order(config, source, key=f"{stage}/{_UNKNOWN_KEY}", store=store)
        job, prerequisites = manifest_for(order, settings, kind=kind)
        labels = job["metadata"]["labels"]
        name = f"peerkd-{stage.replace('_', '-')}-{_UNKNOWN_DIGEST}"
        # The name of a prerequisite may be longer than that of the job, so it is replaced first.
        longer = [each for each in map(name_of, (each.manifest for each in prerequisites)) if each != name_of(job)]
        derived = {
            **dict.fromkeys(longer, f"{name}-{_UNKNOWN_KEY}"),
            name_of(job): name,
            labels[names.LABEL_RUN]: f"local-{_UNKNOWN_DIGEST}",
            labels[names.LABEL_SPEC]: _UNKNOWN_KEY,
        }
        for manifest in (*(each.manifest for each in prerequisites), job):
            yield stage, _replaced(manifest, derived)


def _replaced(value: Any, by: dict[str, str]) -> Any:
    """Return a copy of a JSON value in which the beginnings of strings are replaced.

    Args:
        value: The value. Strings inside lists and mappings are replaced too.
        by: The beginnings to replace, each with its replacement.
    """
    match value:
        case dict():
            return {name: _replaced(each, by) for name, each in value.items()}
        case list():
            return [_replaced(each, by) for each in value]
        case str():
            for text, other in by.items():
                value = other + value.removeprefix(text) if value.startswith(text) else value
    return value
