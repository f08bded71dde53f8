"""The checkpoint of a shard's training: restored at the start, saved periodically, deleted when the shard is done.

Whenever the training writes its live checkpoint, it creates a new file. The saved checkpoint is a hard link to one of
these files, so it does not change while it is uploaded.
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
from peerkd.metrics.progress import print_line
from peerkd.stages.shard_claims import ShardClaims
from peerkd.stages.shards import SCRATCH, load_if_intact
from peerkd.training.seals import is_intact

_CHECKPOINTS: Final = f"{SCRATCH}checkpoints/"
_SAVE_SECONDS: Final = 30.0


def live_checkpoint(workspace: Workspace, shard_name: str) -> Path:
    """Return the path of the live checkpoint of a shard, which its training writes and resumes from."""
    return workspace.folder / f"{SCRATCH}{shard_name}.safetensors"


class ShardCheckpoint:
    """The live and the saved checkpoint of a shard that this worker has claimed."""

    def __init__(self, workspace: Workspace, shard_name: str) -> None:
        self._workspace, self._shard_name = workspace, shard_name
        self._live = live_checkpoint(workspace, shard_name)
        self._saved_name = f"{_CHECKPOINTS}{shard_name}.safetensors"
        self._saved = workspace.folder / self._saved_name
        self._saved_version = 0
        """The modification time of the last saved checkpoint, in ns."""

        self._saved_at = -_SAVE_SECONDS

    def restore(self, claims: ShardClaims, *, stage: str) -> None:
        """Provide a live checkpoint from which the training resumes.

        An intact live checkpoint stays as it is. A missing or damaged one is replaced by a copy of the saved
        checkpoint. If the saved checkpoint is missing or damaged too, no live checkpoint exists afterwards, and the
        training starts from the beginning.

        Args:
            claims: The claims of this worker, which contain the names of all saved files.
            stage: The name of the stage, for a message about a damaged checkpoint.
        """
        if is_intact(self._live):
            return
        was_damaged = self._live.exists()
        self._live.unlink(missing_ok=True)
        if self._saved_name in claims.file_names:
            if load_if_intact(self._workspace, self._saved_name) and is_intact(self._saved):
                # A copy, not a link: the saved file must stay as it is, whatever happens to the live one.
                shutil.copyfile(self._saved, self._live)
            else:
                was_damaged = True
        if was_damaged:
            where = "an earlier checkpoint" if self._live.exists() else "the beginning"
            print_line(stage, f"the checkpoint of {self._shard_name} is damaged: its training resumes from {where}")

    def save(self, *, now: bool) -> None:
        """Save the live checkpoint if it has changed. Unless ``now`` is set, this is done at most every 30 s."""
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
        """Delete the live and the saved checkpoint from the folder of the workspace."""
        self._live.unlink(missing_ok=True)
        self._saved.unlink(missing_ok=True)
