"""The runs of a store from Python: their properties, tables, reports and networks."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from peerkd.api.tables import Form, in_form, read, stacked
from peerkd.artifacts.open import canonical_address
from peerkd.artifacts.store import ArtifactStore
from peerkd.config.pcl import PclConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.pipelines import find_pipeline
from peerkd.stages.open_runs import open_runs
from peerkd.stages.report_stage import METRICS_NAME
from peerkd.stages.run_record import EXPERIMENT_NAME, KIND
from peerkd.stages.several_seeds import find_several_seeds
from peerkd.stages.stored_runs import StoredRun, find_run
from peerkd.training.inputs import peer_name, student_name

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from torch import nn

    from peerkd.api.figures import Figure
    from peerkd.config.strict import StrictConfig
    from peerkd.results.cost import Cost

_MAIN_TABLES: Final = ("choices", "trials", "rounds", "curves")
"""The names of the tables with a run's results. ``Run.table`` returns the first one that the run has."""

_STAGES_OF_NETWORKS: Final = ("pretrain_peers", "improve_peers", "collaborate_peers")
"""The stages that publish a network for each peer, in their order."""

_TABLE_SUFFIXES: Final = (".parquet", ".csv")


@dataclass(frozen=True, slots=True)
class Run:
    """A run in a store, finished or not. Files of a remote store are fetched when they are first needed."""

    stored: StoredRun
    """The properties of the run: ``name``, ``key``, ``pipeline``, ``strategy``, ``headline``, ``cost``, ``stages_left``
    and others."""

    store: ArtifactStore
    address: str
    """The address of the store; the whole path of a folder."""

    single: "tuple[Run, ...]" = ()
    """The run of each seed, if the run has several seeds."""

    @property
    def runs(self) -> "tuple[Run, ...]":
        """The runs with one seed each: those of all seeds, or this run alone if it has one seed."""
        return self.single or (self,)

    @property
    def name(self) -> str:
        """The name of the run, such as ``digits-dirichlet0.3-a1b2``."""
        return self.stored.name

    def __repr__(self) -> str:
        """Return the name, the pipeline and the state of the run in one line."""
        pipeline = " ".join(filter(None, (self.stored.pipeline, self.stored.strategy)))
        return f"<Run {self.name}: {pipeline}, {self.stored.state}>"

    @property
    def is_finished(self) -> bool:
        """Whether the run has its report."""
        return self.stored.is_finished

    @property
    def headline(self) -> str:
        """The result in a phrase. Empty for an unfinished run."""
        return self.stored.headline

    @property
    def config(self) -> "StrictConfig":
        """The whole config with which the run was started.

        Raises:
            ValueError: If an earlier version started the run and did not record the config, or this version refuses it.
        """
        if self.single:
            return self.single[0].config.model_copy(update={"num_seeds": len(self.single)})
        record = self.stored.find(KIND)
        if record is None:
            raise ValueError(f"run must be one whose config was recorded, got {self.name}.")
        text = (self.store.fetch(record.key) / EXPERIMENT_NAME).read_text(encoding="utf-8")
        return find_pipeline(self.stored.pipeline).config.from_json(text)

    @property
    def summary(self) -> str:
        """The summary that ``peerkd run`` prints at the end.

        Raises:
            ValueError: If the run is unfinished.
        """
        return (self._report_folder() / "summary.txt").read_text(encoding="utf-8")

    @property
    def metrics(self) -> dict[str, float]:
        """The headline numbers by name. The names contain the units.

        Raises:
            ValueError: If the run is unfinished.
        """
        values = json.loads((self._report_folder() / METRICS_NAME).read_text(encoding="utf-8"))
        return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}

    @property
    def cost(self) -> "Cost | None":
        """The time of workers and GPUs, and the price, if they are known."""
        return self.stored.cost

    @property
    def report(self) -> Path:
        """The path of the report, a page of HTML.

        Raises:
            ValueError: If the run is unfinished.
        """
        return self._report_folder() / "report.html"

    @property
    def figures(self) -> "tuple[Figure, ...]":
        """The charts of the report as data, in the order of the page. Reports of earlier versions have none.

        Raises:
            ValueError: If the run is unfinished.
        """
        from peerkd.api.figures import read_figures

        return tuple(read_figures(self.report.read_text(encoding="utf-8")))

    def folder(self, stage: str) -> Path:
        """Return the folder with the files of the artifact of a stage, such as ``distill_pairs`` or ``improve_peers``.

        Raises:
            ValueError: If the run has no artifact of this stage, or has several seeds.
        """
        self._check_one_seed()
        found = self.stored.find(stage)
        if found is None:
            stages = dict.fromkeys(key.partition("/")[0] for key in self.stored.artifacts)
            raise ValueError(f"stage must be one of {', '.join(stages)}, got {stage}.")
        return self.store.fetch(found.key)

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of all tables of the run, such as ``trials`` and ``pairs``."""
        names = dict.fromkeys(name for name, _, _ in self._table_files())
        return (*names, *self.single[0].tables) if self.single else (*names,)

    @overload
    def table(self, name: str | None = ..., *, form: Literal["pandas"] = ...) -> "pd.DataFrame": ...

    @overload
    def table(self, name: str | None = ..., *, form: Literal["polars"]) -> "pl.DataFrame": ...

    @overload
    def table(self, name: str | None = ..., *, form: Literal["arrow"]) -> "pa.Table": ...

    def table(self, name: str | None = None, *, form: Form = "pandas") -> Any:
        """Return a table of the run.

        If the run has several seeds, the table has the rows of all seeds, with a column ``seed``. The table
        ``comparison`` has the means over the seeds.

        Args:
            name: The name of the table, one of ``tables``. None: the choices of a tuned study, the trials of a sweep,
                the rounds of ``collaborate``, or the curves of ``pcl``.
            form: ``pandas``, ``polars`` or ``arrow``. The first two need the package of this name, which the extra
                ``tables`` installs.

        Raises:
            ValueError: If the run has no such table, or the package is not installed.
        """
        return in_form(self._read_table(name), form)

    def _read_table(self, name: str | None) -> "pa.Table":
        files = {found: (key, file) for found, key, file in self._table_files()}
        if self.single and name not in files:
            return stacked({run.seed: run._read_table(name) for run in self.single})
        chosen = next((each for each in _MAIN_TABLES if each in files), "") if name is None else name
        if name is None and not chosen:
            left = ", ".join(self.stored.stages_left)
            raise ValueError(f"run must be one that has a table, got {self.name}, which lacks {left or 'its results'}.")
        if chosen not in files:
            raise ValueError(f"name must be one of {', '.join(files) or 'the tables of the run'}, got {chosen!r}.")
        key, file = files[chosen]
        return read(self.store.fetch(key) / file)

    @overload
    def partial_table(self, *, form: Literal["pandas"] = ...) -> "pd.DataFrame": ...

    @overload
    def partial_table(self, *, form: Literal["polars"]) -> "pl.DataFrame": ...

    @overload
    def partial_table(self, *, form: Literal["arrow"]) -> "pa.Table": ...

    def partial_table(self, *, form: Form = "pandas") -> Any:
        """Return the trials that a run of ``jointkd`` has finished by now, while others may be in progress.

        The columns are those of the table ``trials``, and ``is_partial``. It is true as long as trials may be missing;
        then ``gain_from_data`` and ``gain_from_teacher`` are null for each trial whose control is missing. The table is
        empty before the first trial.

        Args:
            form: ``pandas``, ``polars`` or ``arrow``, as for ``table``.

        Raises:
            ValueError: If the run is of another pipeline or has several seeds, or the package is not installed.
            StoreUnavailableError: If the store does not answer.
        """
        from peerkd.stages.partial_trials import trials_so_far

        self._check_one_seed()
        # The properties of this object are those of the moment at which the run was opened.
        now = open_run(self.stored.key, store=self.address)
        return in_form(trials_so_far(now.stored, now.store), form)

    def export(
        self,
        student: int | str,
        to: str | Path,
        *,
        format_name: str | None = None,
        teacher: int | str | None = None,
        setting: str | None = None,
    ) -> dict[str, Any]:
        """Write the network of a student to a file for other programs, as ``peerkd export`` does.

        Args:
            student: The name or the number of the peer.
            to: The file, which must not exist.
            format_name: ``safetensors``, ``torch`` or ``onnx``. None: the ending of the file's name selects the format.
            teacher: The name or the number of the teacher of the training whose network is written.
            setting: The setting of this training, as ``NAME=VALUE,...``. If neither a teacher nor a setting is given,
                the published network of the student is written.

        Returns:
            What ``peerkd export --json`` prints: the file, its format, the model card, and how the file was checked.

        Raises:
            ValueError: If the run does not have the network, or the format cannot represent it.
            PeerKDError: If the file gives other logits than the network, or the store fails.
        """
        from peerkd.stages.export_student import ExportRequest, export_network

        self._check_one_seed()
        request = ExportRequest(student, Path(to), format_name, teacher, setting, study=self.stored.key)
        return export_network(self.address, request).to_json()

    def network(
        self,
        peer: int | None = None,
        *,
        stage: str | None = None,
        method: str | None = None,
        architecture: str | None = None,
        seed: int | None = None,
        is_ensemble: bool = False,
    ) -> "nn.Module":
        """Return a trained network, on the CPU and in evaluation mode.

        The network of a peer is named by ``peer`` and ``stage``. A network of ``pcl`` is named by the other arguments.

        Args:
            peer: The number of the peer.
            stage: The stage that published the network: ``pretrain_peers`` for the peer before any distillation,
                ``improve_peers`` for its better network, or ``collaborate_peers`` for its network after the rounds.
                None: the last of these stages.
            method: The method, such as ``pcl``. It can be omitted if the study has only one.
            architecture: The architecture. It can be omitted if the study has only one.
            seed: The seed. None: the first seed of the study.
            is_ensemble: Whether to return the ensemble that the method has trained, in place of the network that it
                deploys.

        Raises:
            ValueError: If the run has no such network, or the arguments do not name a network.
        """
        from peerkd.api import networks

        self._check_one_seed()
        config = self.config
        if isinstance(config, PclConfig):
            if (peer, stage) != (None, None):
                raise ValueError(
                    "peer and stage must not be given for a run of pcl, whose networks are named by method, "
                    "architecture and seed."
                )
            run = networks.find_run(config, method=method, architecture=architecture, seed=seed)
            return networks.network_of_method(run, self.folder("train_pcl"), is_ensemble=is_ensemble)
        if (method, architecture, seed, is_ensemble) != (None, None, None, False):
            raise ValueError(
                "method, architecture, seed and is_ensemble must not be given for a run with peers, whose networks are "
                "named by peer and stage."
            )
        published = [name for name in _STAGES_OF_NETWORKS if self.stored.find(name)]
        if not published or not isinstance(config, PeerExperimentConfig):
            raise ValueError(f"run must be one that has published peers, got {self.name}.")
        if stage is not None and stage not in published:
            raise ValueError(f"stage must be one of {', '.join(published)}, got {stage}.")
        if peer is None or not 0 <= peer < config.partition.num_peers:
            raise ValueError(f"peer must be from 0 to {config.partition.num_peers - 1}, got {peer}.")
        chosen = stage or published[-1]
        name = peer_name(peer) if chosen == "pretrain_peers" else student_name(peer)
        weights = self.folder(chosen) / f"{name}.safetensors"
        if not weights.is_file():
            raise ValueError(f"peer must be one whose training did not diverge, got {peer}.")
        return networks.network_of_peer(config.networks[peer], weights, dataset_folder=self.folder("dataset"))

    @property
    def seed(self) -> int:
        """The seed of the run, or the first one if it has several."""
        config = self.config
        assert isinstance(config, PeerExperimentConfig | PclConfig)
        return config.seed

    def _check_one_seed(self) -> None:
        if self.single:
            raise ValueError(
                f"run must be a run with one seed, got {self.name}, which has {len(self.single)}: take one of its runs."
            )

    def _report_folder(self) -> Path:
        if self.stored.report is None:
            raise ValueError(
                f"run must be finished, got {self.name}, which lacks {', '.join(self.stored.stages_left)}."
            )
        return self.store.fetch(self.stored.report.key)

    def _table_files(self) -> Iterator[tuple[str, str, str]]:
        """Yield the name of each table, the key of its artifact, and the name of its file."""
        # The tables of single seeds are read from the runs of these seeds.
        artifacts = {self.stored.key: self.stored.report} if self.single else self.stored.artifacts
        for key, manifest in artifacts.items():
            for file in manifest.files if manifest else ():
                path = PurePosixPath(file)
                if path.suffix in _TABLE_SUFFIXES:
                    yield path.stem, key, file

    def _repr_html_(self) -> str:
        from peerkd.api.notebooks import html_of_run

        return html_of_run(self.stored, tables=self.tables)


class Runs(list[Run]):
    """Runs of a store, in a list that shows itself in a notebook as a table."""

    def _repr_html_(self) -> str:
        from peerkd.api.notebooks import html_of_runs

        return html_of_runs(run.stored for run in self)


def list_stored_runs(store: str | Path = "runs") -> Runs:
    """Return the runs of a store, the latest first.

    Raises:
        ValueError: If the address is not the address of a store.
        StoreUnavailableError: If the store does not answer.
    """
    opened, found = open_runs(str(store), notify=_ignore)
    return Runs(Run(each, opened, canonical_address(str(store))) for each in found)


def open_run(run: str = "latest", *, store: str | Path = "runs") -> Run:
    """Return a run of a store.

    Args:
        run: ``latest``, or the name, a key or a fingerprint of a run. The first characters of a name, key or
            fingerprint are enough if only one run matches. A run with several seeds is found by its name, and by the
            key or the fingerprint of the report on all seeds.
        store: The folder of the artifact store, or its address such as ``s3://bucket/prefix``.

    Raises:
        ValueError: If no run or several runs match, or the address is not the address of a store.
        ArtifactNotFoundError: If the store no longer has the run of one of several seeds.
        StoreUnavailableError: If the store does not answer.
    """
    opened, found = open_runs(str(store), notify=_ignore)
    address = canonical_address(str(store))
    seeds = find_several_seeds(run, found, opened)
    if seeds is None:
        return Run(find_run(found, run), opened, address)
    return Run(seeds.whole, opened, address, tuple(Run(each, opened, address) for each in seeds.single))


def _ignore(message: str) -> None:
    """Ignore a message about a damaged artifact, which then counts as missing."""
