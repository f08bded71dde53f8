"""What continues a run, whatever options it was started with."""

import os
import shlex
from pathlib import Path

from peerkd.artifacts.open import S3_SCHEME
from peerkd.stages.run_record import EXPERIMENT_NAME, KIND


def resuming_command(key: str, *, pipeline: str, strategy: str | None, address: str) -> str:
    """Return the command that continues a run with the config in its record. Empty if no file has this config.

    Args:
        key: The key of the record of the run.
        pipeline: The name of the pipeline.
        strategy: The strategy of the pipeline; None if it has none.
        address: The address of the store.
    """
    config = Path(address) / key / EXPERIMENT_NAME
    if address.startswith(S3_SCHEME) or not key.startswith(f"{KIND}/") or not config.is_file():
        return ""
    words = ["peerkd", "run", pipeline, "--config", str(config), "--output", address]
    if strategy == "tune":
        words += ["--strategy", strategy]
    # The config may name code that only this variable makes importable.
    python_path = os.environ.get("PYTHONPATH")
    return (f"PYTHONPATH={shlex.quote(python_path)} " if python_path else "") + shlex.join(words)


def how_to_continue(key: str, *, pipeline: str, strategy: str | None, address: str) -> str:
    """Return a sentence that says how to continue a run, with the command if a file has the config of the run.

    The arguments are those of ``resuming_command``.
    """
    command = resuming_command(key, pipeline=pipeline, strategy=strategy, address=address)
    repeated = "To continue, repeat the command that began the run"
    return f"{repeated}, or:\n    {command}" if command else f"{repeated}."
