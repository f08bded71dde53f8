"""The checkpoint of a shard's training: found again at the start, saved now and then, deleted when the shard is done.

The training replaces its live checkpoint by another file each time. The saved one is a hard link to one of these, so
that it does not change while it is uploaded.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from peerkd.artifacts.store import Workspace
from peerkd.durable import sync_file
from peerkd.metrics import recorder
from peerkd.metrics.progress import say
from peerkd.stages.shards import SCRATCH, Board, load_if_intact
from peerkd.training.seals import is_intact

_CHECKPOINTS: Final = f"{SCRATCH}checkpoints/"
_SAVE_SECONDS: Final = 30.0


def live_checkpoint(workspace: Workspace, shard_name: str) -> Path:
    """Return the file that the training of a shard writes and goes on from."""
    return workspace.folder / f"{SCRATCH}{shard_name}.safetensors"


class Checkpoint:
    """The checkpoint of one shard that this worker holds."""

    def __init__(self, workspace: Workspace, shard_name: str) -> None:
        self._workspace, self._shard_name = workspace, shard_name
        self._live = live_checkpoint(workspace, shard_name)
        self._saved_name = f"{_CHECKPOINTS}{shard_name}.safetensors"
        self._saved = workspace.folder / self._saved_name
        self._saved_version = 0
        """When the checkpoint that was saved last was written, in ns."""

        self._saved_at = -_SAVE_SECONDS

    def find(self, board: Board, *, stage: str) -> None:
        """Put the last whole checkpoint, if there is one, where the training goes on from it."""
        if is_intact(self._live):
            return
        was_damaged = self._live.exists()
        self._live.unlink(missing_ok=True)
        if self._saved_name in board.names:
            if load_if_intact(self._workspace, self._saved_name) and is_intact(self._saved):
                # A copy, not a link: whatever happens to the live file, the saved one stays as it is.
                shutil.copyfile(self._saved, self._live)
            else:
                was_damaged = True
        if was_damaged:
            where = "an earlier checkpoint" if self._live.exists() else "its beginning"
            say(stage, f"the checkpoint of {self._shard_name} is damaged: its training goes on from {where}")

    def save(self, *, now: bool) -> None:
        """Save the live checkpoint if it has changed, and if the last save was 30 s ago or it must be done ``now``."""
        if not now and time.monotonic() - self._saved_at < _SAVE_SECONDS:
            return
        with suppress(FileNotFoundError):
            version = self._live.stat().st_mtime_ns
            if version == self._saved_version:
                return
            self._saved.parent.mkdir(parents=True, exist_ok=True)
            partial = self._saved.with_suffix(".linking")
            partial.unlink(missing_ok=True)
            os.link(self._live, partial)
            sync_file(partial)
            partial.replace(self._saved)
            self._workspace.save(self._saved_name)
            recorder.checkpoint_saved()
            self._saved_version, self._saved_at = version, time.monotonic()

    def delete(self) -> None:
        """Delete both files from the folder."""
        self._live.unlink(missing_ok=True)
        self._saved.unlink(missing_ok=True)
