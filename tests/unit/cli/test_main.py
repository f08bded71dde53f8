import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from peerkd import __version__
from peerkd.cli import run
from peerkd.cli.main import main
from peerkd.cli.options import Experiment, Jobs, Verbosity
from peerkd.config.pipelines import COLLABORATE, JOINTKD, PCL, PIPELINES, Pipeline
from peerkd.config.resolve import load_file, resolve
from peerkd.config.strict import StrictConfig
from peerkd.errors import DataSourceError, PeerKDError, StageFailedError
from peerkd.system_errors import translate
from tests.unit.cli.conftest import Outcome


@pytest.fixture
def _no_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if anything is run."""

    def run_pipeline(*_: object) -> str:
        raise AssertionError("The pipeline was run.")

    monkeypatch.setattr(run, "run_pipeline", run_pipeline)


def test_help_is_fast_because_no_heavy_module_is_imported() -> None:
    script = (
        "import sys; from peerkd.cli.main import main; sys.argv = ['peerkd', '--help']\n"
        "heavy = {'torch', 'kfp', 'kubernetes', 'pydantic', 'numpy', 'yaml'}\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join(heavy & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert ended.returncode == 0
    assert ended.stderr == ""
    assert "Run distillation experiments" in ended.stdout
    # Launchers call this command, and people do not.
    assert "stage" not in ended.stdout


@pytest.mark.parametrize("arguments", [(), ("run",), ("config",)])
def test_a_command_without_its_verb_shows_what_there_is(peerkd, arguments: tuple[str, ...]) -> None:
    outcome = peerkd(*arguments)
    assert "Commands:" in outcome.out + outcome.err


def test_the_version_is_printed(peerkd) -> None:
    assert peerkd("--version") == Outcome(0, f"peerkd {__version__}\n", "")


@pytest.mark.parametrize("command", [(), ("run", "jointkd")])
def test_a_short_option_shows_the_help(peerkd, command: tuple[str, ...]) -> None:
    assert peerkd(*command, "-h").out == peerkd(*command, "--help").out != ""


BAD_INPUTS = [
    (["--set", "colour=red"], 'colour is not a key of the config, got "red".'),
    (["--set", "sweep.alphas=[1.5]"], "sweep.alphas[0] must be at most 1, got 1.5."),
    (["--set", "sweep.temperatures=[0]"], "sweep.temperatures[0] must be above 0, got 0."),
    (["--set", "partition.num_peers=1"], "partition.num_peers must be at least 2, got 1."),
    (["--set", "seed"], "An override (--set) must have the form key=value, as in seed=3, got seed."),
    (
        ["--set", "name=["],
        "The value of name must be YAML, got [: "
        "expected the node content, but found '<stream end>' in line 1, column 2.",
    ),
    (["--set", "seed=12:30:45"], 'seed must be a whole number, got "12:30:45".'),
    (["--preset", "digits", "--preset", "poster"], "--preset must be given once, got it 2 times."),
    (["--config", ""], "--config must not be empty."),
    (
        ["--set", "name=\udcff"],
        "Each argument must be text in utf-8, the encoding of this environment, got name=\\udcff.",
    ),
    (["--preset", "mnist"], "preset must be one of digits, cifar10_small, poster, got mnist."),
    (
        ["--preset", "digit"],
        "preset must be one of digits, cifar10_small, poster, got digit (did you mean digits?).",
    ),
    (
        ["--preset", "cifar10_vgg16"],
        "preset must be one of digits, cifar10_small, poster, got cifar10_vgg16 (a preset of pcl).",
    ),
    (
        ["--config", "no.yaml"],
        "config must be a readable file, got no.yaml, which begins at {folder}: No such file or directory.",
    ),
]
"""Arguments, and the message about them. ``{folder}`` stands for the working folder."""


@pytest.mark.parametrize("words", [("run", "mine.yaml"), ("run", "jointkd", "mine.yaml")])
def test_a_config_without_its_option_is_refused_with_the_command(peerkd, words: tuple[str, ...]) -> None:
    told = peerkd(*words).err
    assert told.endswith("; give a file with --config, as in peerkd run jointkd --config mine.yaml.\n")


@pytest.mark.usefixtures("_no_pipeline")
@pytest.mark.parametrize(("arguments", "message"), BAD_INPUTS)
@pytest.mark.parametrize("command", [("run", "jointkd"), ("config", "show")])
def test_a_bad_input_ends_with_two_and_one_line_before_anything_is_written(
    peerkd, tmp_path: Path, command: tuple[str, ...], arguments: list[str], message: str
) -> None:
    expected = message.replace("{folder}", str(Path.cwd()))
    assert peerkd(*command, *arguments) == Outcome(2, "", f"peerkd: {expected}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--gpu", "1"],
            "No such option: --gpu (Possible options: --gpus, --output); see 'peerkd run jointkd --help'.",
        ),
        (["poster"], "Got unexpected extra argument(s) (poster); see 'peerkd run jointkd --help'."),
        (["--set"], "Option '--set' requires an argument."),
        (["--output", ""], "--output must not be empty."),
        (["--output", "--dry-run"], "--output must be given a value, got the option --dry-run."),
        (["--set", "--preset", "--set=seed=1"], "--set must be given a value, got the option --preset."),
        (["--store", ""], "--store must not be empty."),
        (["--store", " "], "--store must not be empty."),
        (["--gpus", "1"], "gpus must not be set unless the backend is kubernetes, got 1 with local: on one machine"),
        (
            ["--cluster", "queue=q"],
            "cluster must not be set unless the backend is kubernetes, got queue=q with local, which",
        ),
        (["--workers", "two"], "Invalid value for '--workers': Input should be a valid integer,"),
        (["--workers", "100000"], "workers must be at most "),
        (["--workers", "-1"], "num_workers must be at least 0, got -1."),
        (["--set", "tune.experience=false"], "tune.experience must not be set unless strategy is tune: it would"),
        (
            ["--strategy", "tune", "--set", "sweep.validate_every_epoch=true"],
            "sweep.validate_every_epoch must not be set unless strategy is sweep: it would",
        ),
        (["--store", "s3:/x"], "store must be a folder or s3://bucket/prefix, got s3:/x; for a folder with a colon"),
        (["--store", "s3:x"], "store must be a folder or s3://bucket/prefix, got s3:x; for a folder"),
        (["--store", "file:/x"], "store must be a folder or s3://bucket/prefix, got file:/x; for a folder"),
        (["--store", "S3://bucket"], "store must be a folder or s3://bucket/prefix, got S3://bucket."),
        (["--store", "https://host/b"], "store must be a folder or s3://bucket/prefix, got https://host/b."),
        (["--store", "s3://"], "store must be like s3://bucket/prefix, got s3://."),
        (["--store", "s3://Bucket/x"], "store must be like s3://bucket/prefix, got s3://Bucket/x."),
        (["--output", "s3://bucket/x"], "output must be a folder, got s3:/bucket/x; for a folder with a colon"),
        (["--output", "~/runs"], "output must be a folder, got ~/runs; the shell replaces ~ by your home folder only"),
        (["--output", "x" * 300], "output must be a folder, got xxx"),
    ],
)
@pytest.mark.usefixtures("_no_pipeline")
def test_a_command_line_without_a_meaning_is_refused_in_one_line(
    peerkd, tmp_path: Path, arguments: list[str], message: str
) -> None:
    outcome = peerkd("run", "jointkd", *arguments)
    assert (outcome.exit_code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert outcome.err.startswith(f"peerkd: {message}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_no_pipeline")
@pytest.mark.parametrize("output", ["file", "file/runs"])
def test_an_output_that_is_a_file_is_refused_and_left_as_it_is(peerkd, tmp_path: Path, output: str) -> None:
    (tmp_path / "file").write_text("mine")
    message = f"output must be a folder that can be written, got {output}: {tmp_path}/file is not a folder."
    assert peerkd("run", "jointkd", "--output", output) == Outcome(2, "", f"peerkd: {message}\n")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "mine")]


@pytest.mark.parametrize(
    ("error", "exit_code", "told"),
    [
        (ValueError("no."), 2, "peerkd: no.\n"),
        (DataSourceError("no."), 2, "peerkd: no.\n"),
        (StageFailedError("no."), 1, "peerkd: no.\n"),
        (PeerKDError("no."), 1, "peerkd: no.\n"),
        (KeyboardInterrupt(), 130, "peerkd: interrupted; run the same command again to continue.\n"),
    ],
)
def test_an_error_is_an_exit_code_and_one_sentence(
    peerkd, monkeypatch: pytest.MonkeyPatch, error: BaseException, exit_code: int, told: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(run, "run", fail)
    outcome = peerkd("run", "jointkd")
    assert (outcome.exit_code, outcome.err) == (exit_code, told)


@pytest.mark.parametrize(("wanted", "found"), [(None, "1"), ("2", "2")])
def test_matrix_products_use_one_thread_by_default(
    peerkd, monkeypatch: pytest.MonkeyPatch, wanted: str | None, found: str
) -> None:
    monkeypatch.setattr(os, "environ", {name: os.environ[name] for name in os.environ if "OPENBLAS" not in name})
    if wanted:
        os.environ["OPENBLAS_NUM_THREADS"] = wanted
    peerkd("config", "presets")
    assert os.environ["OPENBLAS_NUM_THREADS"] == found


@pytest.mark.parametrize(
    ("redirection", "exit_code", "told"),
    [
        (">/dev/full", 2, f"peerkd: {translate(OSError(errno.ENOSPC, ''))}\n"),
        (">&-", 0, ""),
        ("| (sleep 1; exec 0<&-); exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_an_output_that_nobody_reads_causes_no_traceback(redirection: str, exit_code: int, told: str) -> None:
    # The output is longer than the buffer of a pipe.
    program = 'from peerkd.cli.exit_codes import *\nwith exiting_on_errors(): print(100000 * "a"); sys.exit(0)'
    command = f"{sys.executable} -c '{program}'"
    ended = subprocess.run(["bash", "-c", f"{command} {redirection}"], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (exit_code, told)


def test_a_defect_passes_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(run, "run", fail)
    monkeypatch.setattr(sys, "argv", ["peerkd", "run", "jointkd"])
    with pytest.raises(ZeroDivisionError):
        main()


ARGUMENTS = ("pipeline", "experiment", "jobs", "verbosity")


def test_the_options_of_a_run_reach_it(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, object]] = []
    monkeypatch.setattr(
        run, "run", lambda *groups, **options: given.append(dict(zip(ARGUMENTS, groups, strict=True)) | options)
    )
    assert peerkd("run", "jointkd").exit_code == 0
    peerkd("run", "jointkd", "--preset", "poster", "--set", "seed=1", "--set", "name=a b", "--output", "elsewhere")
    peerkd("run", "jointkd", "--config", "mine.yaml")
    peerkd("run", "pcl")
    peerkd("run", "collaborate")
    cluster = ("--backend", "kubernetes", "--workers", "2", "--gpus", "1", "--cluster", "queue=q", "--store", "s3://b")
    for pipeline in ("jointkd", "pcl"):
        peerkd("run", pipeline, *cluster, "--dry-run")
    default = {
        "pipeline": JOINTKD,
        "experiment": Experiment(),
        "jobs": Jobs(),
        "verbosity": Verbosity(),
        "output": Path("runs"),
        "backend": "local",
        "strategy": "sweep",
        "dry_run": False,
        "as_json": False,
    }
    of_pcl = {name: value for name, value in default.items() if name != "strategy"} | {"pipeline": PCL}
    experiment = Experiment(preset="poster", override=["seed=1", "name=a b"])
    placed = {"backend": "kubernetes", "jobs": Jobs(workers=2, gpus=1, cluster="queue=q", store="s3://b")}
    assert given == [
        default,
        {**default, "experiment": experiment, "output": Path("elsewhere")},
        {**default, "experiment": Experiment(config=Path("mine.yaml"))},
        of_pcl,
        {**of_pcl, "pipeline": COLLABORATE},
        {**default, **placed, "dry_run": True},
        {**of_pcl, **placed, "dry_run": True},
    ]


each_pipeline = pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)


def listing(pipeline: Pipeline[StrictConfig]) -> list[str]:
    """Return the printed list of a pipeline's presets: the command, then name and first line of each preset."""
    lines = [[name, (preset.__doc__ or "").splitlines()[0]] for name, preset in pipeline.presets.items()]
    return [f"peerkd run {pipeline.name} --preset NAME", *(" ".join(words) for words in lines)]


def test_every_preset_is_listed_with_its_first_line_below_the_command_of_its_pipeline(peerkd) -> None:
    outcome = peerkd("config", "presets")
    assert outcome.exit_code == 0
    expected = [line for pipeline in PIPELINES.values() for line in listing(pipeline)]
    assert [" ".join(line.split()) for line in outcome.out.splitlines()] == expected


def test_the_presets_are_printed_as_json(peerkd) -> None:
    printed = json.loads(peerkd("config", "presets", "--json").out)
    assert {name: set(presets) for name, presets in printed.items()} == {
        pipeline.name: set(pipeline.presets) for pipeline in PIPELINES.values()
    }
    assert printed["jointkd"]["digits"]


@each_pipeline
def test_the_presets_of_one_pipeline_are_listed_alone(peerkd, pipeline: Pipeline[StrictConfig]) -> None:
    outcome = peerkd("config", "presets", "--pipeline", pipeline.name)
    assert [" ".join(line.split()) for line in outcome.out.splitlines()] == listing(pipeline)


@pytest.mark.parametrize("verb", ["presets", "show", "schema"])
def test_an_unknown_pipeline_is_refused_with_the_known_ones(peerkd, verb: str) -> None:
    message = "pipeline must be one of jointkd, pcl, collaborate, got kd."
    assert peerkd("config", verb, "--pipeline", "kd") == Outcome(2, "", f"peerkd: {message}\n")


@each_pipeline
def test_the_schema_is_json(peerkd, pipeline: Pipeline[StrictConfig]) -> None:
    outcome = peerkd("config", "schema", "--pipeline", pipeline.name)
    assert outcome.exit_code == 0
    assert json.loads(outcome.out)["properties"].keys() == pipeline.config.model_fields.keys()


def test_without_a_pipeline_the_experiment_is_one_of_joint_distillation(peerkd) -> None:
    for verb in ("show", "schema"):
        assert peerkd("config", verb).out == peerkd("config", verb, "--pipeline", "jointkd").out


@pytest.mark.parametrize(
    ("pipeline", "preset", "field"),
    [
        pytest.param(pipeline, preset, field, id=f"{pipeline.name}-{preset}")
        for pipeline, field in zip(
            PIPELINES.values(), ("pretrain.weight_decay", "training.weight_decay", "rounds.weight_decay"), strict=True
        )
        for preset in pipeline.presets
    ],
)
def test_a_shown_experiment_is_a_file_of_the_same_experiment(
    peerkd, tmp_path: Path, pipeline: Pipeline[StrictConfig], preset: str, field: str
) -> None:
    show = ("config", "show", "--pipeline", pipeline.name)
    outcome = peerkd(*show, "--preset", preset, "--set", "seed=3", "--set", f"{field}=1e-5")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert list(yaml.safe_load(outcome.out)) == list(pipeline.config.model_fields)
    file = tmp_path / "experiment.yaml"
    file.write_text(outcome.out)
    assert load_file(pipeline, file) == resolve(pipeline, preset=preset, overrides=f"seed=3 {field}=1e-5")
    assert peerkd(*show, "--config", str(file)).out == outcome.out


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            "collaboration.num_branches=1",
            "collaboration.num_branches must be at least 2, got 1.",
        ),
        (
            "partition.num_peers=4",
            "partition.num_peers is not a key of the config (it belongs to the pipelines jointkd and collaborate), "
            "got 4.",
        ),
    ],
)
def test_a_bad_override_of_a_study_is_refused_in_a_sentence(peerkd, pair: str, message: str) -> None:
    assert peerkd("config", "show", "--pipeline", "pcl", "--set", pair) == Outcome(2, "", f"peerkd: {message}\n")
