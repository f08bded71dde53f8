"""The options that several commands share, each defined once, and the groups in which commands use them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from peerkd.cli import completion
from peerkd.cli.places import store_address

if TYPE_CHECKING:
    from peerkd.config.launch import LaunchConfig
    from peerkd.config.pipelines import Pipeline
    from peerkd.config.resolve import Config

PipelineName = Annotated[
    str,
    typer.Option(
        "--pipeline",
        metavar="NAME",
        help="Pipeline: jointkd, pcl or collaborate.",
        autocompletion=completion.pipelines,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Preset to start from; 'peerkd config presets' lists them.",
        show_default="digits",
        autocompletion=completion.presets,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="YAML or JSON file. Its fields replace those of the preset or, without --preset, the defaults.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any field of the experiment, such as seed=3. Can be repeated.",
        autocompletion=completion.fields,
    ),
]
Output = Annotated[
    Path, typer.Option(help="Folder that is the artifact store. With --store, only the report is written here.")
]

Strategy = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How settings are chosen: sweep tries all settings, tune tries a fraction of them.",
        autocompletion=completion.one_of("sweep", "tune"),
    ),
]
Measure = Annotated[
    bool | None,
    typer.Option(
        "--measure/--no-measure",
        help="Measure the speed of this machine for a few seconds. Default: only if torch is installed.",
        show_default=False,
    ),
]
RunBackend = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Where networks are trained: local (this machine) or kubernetes (jobs on a cluster).",
        autocompletion=completion.one_of("local", "kubernetes"),
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Number of pods of each job on a cluster, or of processes on this machine. 0: run everything in this "
        "process, so that breakpoints work. Default: the operator's setting on a cluster; on this machine, one process "
        "for each GPU, or without GPUs for each core.",
        show_default=False,
    ),
]
Gpus = Annotated[int | None, typer.Option(help="Number of GPUs of each pod on a cluster.", show_default=False)]
ClusterSettings = Annotated[
    str,
    typer.Option(
        metavar="'KEY=VALUE ...'",
        help="Settings of the jobs on a cluster, such as 'memory_per_worker=16Gi queue=research'.",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address of the artifact store, such as s3://bucket/prefix. A run without it uses --output.",
    ),
]
CheckedWorkers = Annotated[
    int | None,
    typer.Option(
        help="Number of pods of the job that is checked. Default: the operator's setting.", show_default=False
    ),
]
CheckedStore = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address of the artifact store to check, such as s3://bucket/prefix. Default: no store is checked.",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the jobs that --backend kubernetes would create, and stop.")
]

Namespace = Annotated[
    str | None,
    typer.Option(
        help="Namespace of the jobs. Default: the namespace of this pod or, outside a cluster, of the kubeconfig."
    ),
]
Endpoint = Annotated[
    str,
    typer.Option(
        metavar="URL",
        envvar=["KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT"],
        help="Address of the Kubeflow Pipelines server.",
    ),
]
Token = Annotated[
    str, typer.Option(envvar="KFP_EXISTING_TOKEN", help="Bearer token for the server.", show_default=False)
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        envvar="KF_PIPELINES_SA_TOKEN_PATH",
        help="File with the bearer token. It is read before each request, so the token may be renewed.",
        show_default=False,
    ),
]
WatchTimeout = Annotated[
    float | None, typer.Option(min=0, help="Seconds to wait for the end of the run. The run continues after a timeout.")
]
WatchPatience = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Seconds for which the server may be unreachable before the command stops watching.",
        show_default="600",
    ),
]


StoreFolder = Annotated[
    Path | None,
    typer.Option("--output", help="Folder that is the artifact store, as for 'peerkd run'.", show_default="runs"),
]
StartedFrom = Annotated[
    Path | None,
    typer.Option("--output", help="Folder that was given as --output when the run was started.", show_default="runs"),
]
StoreAddress = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="ADDRESS",
        help="Address of the artifact store, such as s3://bucket/prefix, in place of --output.",
    ),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Name, key or fingerprint of the run, the beginning of one of these, or 'latest'.",
        autocompletion=completion.runs,
    ),
]
AnyRunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="For a run on this machine: its name, the beginning of its name, or 'latest'. For a run on Kubeflow "
        "Pipelines: the id that 'peerkd submit' printed.",
        autocompletion=completion.runs,
    ),
]
OptionalRunName = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]",
        help="Run, given as for 'peerkd show'. Default: a page with all runs.",
        autocompletion=completion.runs,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the output as JSON.")]


Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show every progress line of every worker, and no bar.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show warnings and the result, and no progress.")]


class StorePlace(NamedTuple):
    """The options of commands that read the runs of a store."""

    output: StoreFolder = None
    store: StoreAddress = None

    @property
    def address(self) -> str:
        """The address of the store: an absolute path, or an address in S3.

        Raises:
            ValueError: If ``--output`` and ``--store`` are both given, the address is not valid, or the folder does not
                exist.
        """
        return store_address(self.output, self.store)


class Experiment(NamedTuple):
    """The options that describe an experiment."""

    preset: Preset = None
    config: ConfigFile = None
    override: Overrides = None

    def load(self, pipeline: "Pipeline[Config]") -> "Config":
        """Return the config of the preset, changed by the file and then by the pairs of ``--set``.

        Raises:
            ValueError: If the preset is unknown, the file cannot be read, or the result breaks rules.
        """
        # Imported here so that --help does not load the configs.
        from peerkd.config.resolve import load

        return load(pipeline, preset=self.preset, config_file=self.config, overrides=self.override or [])


class Jobs(NamedTuple):
    """The options of the jobs of a run, and of the store that they share."""

    workers: Workers = None
    gpus: Gpus = None
    cluster: ClusterSettings = ""
    store: Store = None

    def launch(self, backend: str) -> "LaunchConfig":
        """Return the launch description.

        Raises:
            ValueError: If an option breaks a rule.
        """
        from peerkd.config.launch import LaunchConfig

        return LaunchConfig.from_mapping(
            {"backend": backend, "num_workers": self.workers, "gpus": self.gpus, "cluster": self.cluster}
        )


class CheckedJobs(NamedTuple):
    """The options of ``peerkd doctor`` that describe a job and a store to check. The fields are those of ``Jobs``."""

    workers: CheckedWorkers = None
    gpus: Gpus = None
    cluster: ClusterSettings = ""
    store: CheckedStore = None


class Verbosity(NamedTuple):
    """The options that say how much of the progress is shown on stderr."""

    verbose: Verbose = False
    quiet: Quiet = False

    def check(self) -> None:
        """Refuse ``--verbose`` together with ``--quiet``.

        Raises:
            ValueError: If both options are given.
        """
        if self.verbose and self.quiet:
            raise ValueError("verbose must not be given together with quiet, which asks for the opposite.")


class Server(NamedTuple):
    """The options that specify a Kubeflow Pipelines server."""

    endpoint: Endpoint = ""
    token: Token = ""
    token_file: TokenFile = None


class Watching(NamedTuple):
    """The options of commands that wait for the end of a run."""

    timeout: WatchTimeout = None
    patience: WatchPatience = None
