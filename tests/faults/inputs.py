"""Generated inputs of all kinds, each passed to the program in a separate process."""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

from benchmarks.tuning.replay import load_replay
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.cli.options import Experiment, StorePlace
from peerkd.cli.plan import plan
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.stages.partition_data import partition
from peerkd.training.checkpoints import check_tensors, load_tensors
from tests.faults import generate_configs
from tests.faults.generate_data import image_folder, npz_file
from tests.faults.generate_tables import table_file
from tests.faults.generate_weights import expected, weights_file
from tests.faults.judged import REFUSALS, classify
from tests.faults.report import Case


def data_sets(num_cases: int, *, seed: int) -> Iterator[Case]:
    """Divide generated data sets among two peers. This reads and checks everything, but trains nothing."""
    for number in range(num_cases):
        rng = random.Random(f"data sets {seed} {number}")
        with tempfile.TemporaryDirectory() as folder:
            if rng.random() < 0.5:
                kind, path = "npz", Path(folder, "data.npz")
                npz_file(path, rng)
            else:
                kind, path = "image_folder", Path(folder, "data")
                image_folder(path, rng)
            settings = [
                f"data.source={kind}",
                f"data.path={path}",
                "partition.num_peers=2",
                "partition.min_samples_per_peer=2",
            ]
            if kind == "image_folder" and rng.random() < 0.5:
                settings += ["data.image_size_pixels=8", f"data.storage={rng.choice(['packed', 'streamed'])}"]
            if kind == "image_folder" and rng.random() < 0.3:
                settings.append("data.skip_damaged=true")

            def read(settings: list[str] = settings, store: Path = Path(folder, "runs")) -> None:
                with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
                    planned = _refusal(
                        lambda: plan(JOINTKD, Experiment(override=settings), StorePlace(), measure=False)
                    )
                    config = resolve(JOINTKD, preset="digits", overrides=" ".join(settings))
                    done = _refusal(lambda: partition(config, FilesystemStore(store)))
                # A run prints what it skips before it refuses the rest.
                sentence, _, _ = str(planned).partition(" Skipped entries of data: ")
                assert sentence == str(done), f"the plan says {planned}, the run {done}"
                if done:
                    raise done

            yield Case(f"data set: {kind}", number, classify(read))


def _refusal(read: Callable[[], object]) -> Exception | None:
    """Return the exception with which an input is refused, or None."""
    try:
        read()
    except REFUSALS as error:
        return error
    return None


def tables(num_cases: int, *, seed: int) -> Iterator[Case]:
    """Replay generated tables of trials."""
    for number in range(num_cases):
        rng = random.Random(f"tables {seed} {number}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "trials.parquet")
            is_impossible = table_file(path, rng)

            def read(path: Path = path, is_impossible: bool = is_impossible) -> None:
                load_replay(path)
                assert not is_impossible, "a table with an impossible accuracy was taken"

            yield Case("table of trials", number, classify(read))


def weights(num_cases: int, *, seed: int) -> Iterator[Case]:
    """Read generated files of weights for a network."""
    for number in range(num_cases):
        rng = random.Random(f"weights {seed} {number}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "peer.safetensors")
            is_impossible = weights_file(path, rng)

            def read(path: Path = path, is_impossible: bool = is_impossible) -> None:
                tensors, _ = load_tensors(path)
                check_tensors(tensors, expected(), source=str(path))
                assert not is_impossible, "weights that are not the network's were taken"

            yield Case("weights", number, classify(read))


def command_lines(num_cases: int, *, seed: int) -> Iterator[Case]:
    """Run the command on generated configs and command lines."""
    for number, case in enumerate(generate_configs.generate(seed, num_cases)):
        yield Case("config or command line", number, generate_configs.complaint(case))
