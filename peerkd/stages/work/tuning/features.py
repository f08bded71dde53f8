"""The features of every ordered pair before any distillation, computed once for a study."""

import pyarrow as pa

from peerkd.artifacts.store import Workspace
from peerkd.config.architectures import network_modules
from peerkd.durable import replace_whole
from peerkd.errors import ArtifactCorruptError
from peerkd.metrics.progress import print_line
from peerkd.results.features import read_features
from peerkd.stages.shards import SCRATCH, load_if_intact
from peerkd.stages.tune_pairs import FEATURES_NAME, NAME
from peerkd.training.inputs import SweepInputs
from peerkd.training.process_pool import run_in_processes


def obtain_features(workspace: Workspace, inputs: SweepInputs, *, num_processes: int = 1) -> pa.Table:
    """Compute the table of features, or read it from the workspace if an earlier attempt has computed it.

    Args:
        workspace: The workspace of the study.
        inputs: The peers and their data.
        num_processes: 1 means to compute the table in a separate process, 0 in the calling process.
    """
    path = workspace.folder / FEATURES_NAME
    if load_if_intact(workspace, FEATURES_NAME):
        try:
            return read_features(path)
        except ArtifactCorruptError as error:
            print_line(NAME, f"{error} The features are computed again.")
    partial = workspace.folder / SCRATCH / FEATURES_NAME
    # The loop exhausts the iterator, so that the process ends by itself.
    for _ in run_in_processes(
        "peerkd.training.pair_features:start",
        (inputs,),
        [("", partial)],
        num_processes=num_processes,
        preload=network_modules(inputs.config.architectures),
    ):
        pass
    replace_whole(partial, path)
    workspace.save(FEATURES_NAME)
    return read_features(path)
