"""The page ``index.html`` in the folder of a store, which lists the runs and links their reports."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from peerkd.artifacts.open import S3_SCHEME
from peerkd.artifacts.store import ArtifactStore
from peerkd.errors import PeerKDError
from peerkd.launch.invocations.status import RUNNING
from peerkd.stages.open_runs import open_runs
from peerkd.stages.run_record import EXPERIMENT_NAME, KIND, now
from peerkd.stages.run_wording import cost_in_words, minute, result_of, title_of
from peerkd.stages.stored_runs import StoredRun
from peerkd.wording import format_bytes

INDEX_NAME: Final = "index.html"
"""The file in the folder of a store that lists the runs and links their reports."""


def write_index(address: str) -> Path:
    """Write the page that lists the runs of a store and links their reports; return its path.

    Args:
        address: The address of the store.

    Raises:
        ValueError: If the store is not a folder.
    """
    # Imported here because jinja2 belongs to an extra, which lists of runs do not need.
    from peerkd.reporting.index import IndexEntry, render_index
    from peerkd.stages.report_stage import REPORT_NAME

    if address.startswith(S3_SCHEME):
        raise ValueError(f"RUN must be given with a store in S3, which has no index, got {address} alone.")
    root = Path(address)
    store, runs = open_runs(address, notify=lambda _: None)
    settings = _that_vary([_settings(run, store) for run in runs])
    entries = [
        IndexEntry(
            name=run.name,
            settings=each,
            pipeline=title_of(run),
            started=minute(run.started_at),
            state=run.state,
            headline=_progress(run) or result_of(run),
            cost=cost_in_words(run.cost),
            worker_seconds=run.cost.worker_seconds if run.cost else None,
            size=format_bytes(run.num_bytes),
            num_bytes=run.num_bytes,
            report=f"{run.report.key}/{REPORT_NAME}" if run.report else None,
            note=run.note,
        )
        for run, each in zip(runs, settings, strict=True)
    ]
    path = root / INDEX_NAME
    partial = path.with_suffix(f".{os.getpid()}")
    is_running = any(run.state == RUNNING for run in runs)
    text = render_index(entries, title=root.name, written_at=minute(now()), is_running=is_running)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def try_write_index(address: str) -> bool:
    """Write the page as ``write_index`` does, and return whether this was possible. The reason is logged if it was not.

    A run must not fail because of a page that only lists it, not even if another program has put something unexpected
    into the store.
    """
    try:
        write_index(address)
    except Exception:
        logging.getLogger("peerkd").debug("The index of the store cannot be written.", exc_info=True)
        return False
    return True


def _progress(run: StoredRun) -> str:
    """Return how far a run in progress is; empty for any other run."""
    if run.state != RUNNING or run.invocation is None:
        return ""
    status = run.invocation.status
    present = f", now {status.present.name}" if status.present else ""
    return f"{status.fraction:.0%} done{present}"


def _settings(run: StoredRun, store: ArtifactStore) -> dict[str, str]:
    """Return the config fields in which the runs of a store often differ, with their values.

    Empty for a run of an earlier version of peerkd.
    """
    record = run.artifacts.get(run.key)
    if record is None or not run.key.startswith(f"{KIND}/"):
        return {}
    settings = {}
    # A damaged record must not hide the other runs.
    with suppress(PeerKDError, OSError, ValueError, KeyError):
        settings["skew"] = str(record.metadata["skew"])
        config = json.loads((store.fetch(record.key) / EXPERIMENT_NAME).read_text(encoding="utf-8"))
        settings["peers"] = str(config.get("partition", {}).get("num_peers", ""))
        settings["seed"] = str(config["seed"])
    return settings


def _that_vary(settings: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the settings of each run that are not the same for all runs, all with the same names."""
    names = dict.fromkeys(name for each in settings for name in each)
    vary = [name for name in names if len({each.get(name, "") for each in settings}) > 1]
    return [{name: each.get(name, "") for name in vary} for each in settings]
