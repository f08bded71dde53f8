"""Experience for each judged sweep, learned from other sweeps alone."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.tuning.learn_experience import learn
from benchmarks.tuning.replay import Replay, load_replay
from benchmarks.tuning.sweep_table import table_path
from peerkd.tuning.experience import Experience


def learned_without(
    tables: Sequence[Path], judged_paths: Sequence[Path], judged: Sequence[Replay]
) -> list[Experience | None]:
    """Return the experience that each judged sweep starts from; None for each if there are no tables to learn from.

    A sweep is not judged with what was learned from it or from a sweep with the same seed: these have the same splits
    and the same initial weights.

    Args:
        tables: Sweeps to learn from. They may be among the judged ones.
        judged_paths: Paths of the judged sweeps.
        judged: The judged sweeps.

    Raises:
        ValueError: If a table cannot be read, or fewer than two are left for a judged sweep.
    """
    known = dict(zip(judged_paths, judged, strict=True))
    paths = list(dict.fromkeys(table_path(table).resolve() for table in tables))
    replays = {path: known[path] if path in known else load_replay(path) for path in paths}
    by_use: dict[tuple[Path, ...], Experience] = {}
    experiences: list[Experience | None] = []
    for path, replay in known.items():
        used = tuple(other for other in paths if other != path and not _share_seed(replays[other], replay))
        if paths and len(used) < 2:
            raise ValueError(
                f"learn-from must leave two sweeps besides {path} whose seeds differ from its own, got {len(used)}."
            )
        if paths and used not in by_use:
            by_use[used] = learn([replays[other] for other in used])
        experiences.append(by_use.get(used))
    return experiences


def _share_seed(one: Replay, other: Replay) -> bool:
    return one.seed is not None and one.seed == other.seed
