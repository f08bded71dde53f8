import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from peerkd.cli import jointkd
from peerkd.cli.main import main
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.presets import PRESETS
from peerkd.config.resolve import load_file, resolve
from peerkd.errors import DataSourceError, PeerKDError, StageFailedError


@dataclass(frozen=True)
class Outcome:
    exit_code: int | str | None
    out: str
    err: str


@pytest.fixture
def peerkd(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """Run the command in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["peerkd", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return Outcome(caught.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def _no_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it a failure to get as far as running something."""

    def run_pipeline(*_: object) -> str:
        raise AssertionError("The pipeline was run.")

    monkeypatch.setattr(jointkd, "run_pipeline", run_pipeline)


def test_help_is_at_once_because_nothing_heavy_is_imported() -> None:
    script = (
        "import sys; from peerkd.cli.main import main; sys.argv = ['peerkd', '--help']\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join({'torch', 'kfp', 'pydantic', 'numpy', 'yaml'} & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert ended.returncode == 0
    assert ended.stderr == ""
    assert "Peer distillation experiments" in ended.stdout


@pytest.mark.parametrize("arguments", [(), ("run",), ("config",)])
def test_a_command_without_its_verb_shows_what_there_is(peerkd, arguments: tuple[str, ...]) -> None:
    outcome = peerkd(*arguments)
    assert "Commands:" in outcome.out + outcome.err


BAD_INPUTS = [
    (["--set", "colour=red"], 'colour is not a key of the config, got "red".'),
    (["--set", "sweep.alphas=[1.5]"], "sweep.alphas[0] must be less than or equal to 1, got 1.5."),
    (["--set", "sweep.temperatures=[0]"], "sweep.temperatures[0] must be greater than 0, got 0."),
    (["--set", "partition.num_peers=1"], "partition.num_peers must be greater than or equal to 2, got 1."),
    (["--set", "seed"], "An override must have the form key=value, got seed."),
    (["--set", "name=["], "The value of name must be YAML, got [."),
    (["--preset", "mnist"], "preset must be one of digits, cifar10_small, poster, got mnist."),
    (
        ["--config", "no.yaml"],
        "config must be a file that can be read, got no.yaml: No such file or directory.",
    ),
]


@pytest.mark.usefixtures("_no_pipeline")
@pytest.mark.parametrize(("arguments", "message"), BAD_INPUTS)
@pytest.mark.parametrize("command", [("run", "jointkd"), ("config", "show")])
def test_a_bad_input_ends_with_two_and_one_line_before_anything_is_written(
    peerkd, tmp_path: Path, command: tuple[str, ...], arguments: list[str], message: str
) -> None:
    assert peerkd(*command, *arguments) == Outcome(2, "", f"peerkd: {message}\n")
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
        (KeyboardInterrupt(), 130, "peerkd: interrupted; run the same command again to go on.\n"),
    ],
)
def test_an_error_is_an_exit_code_and_one_sentence(
    peerkd, monkeypatch: pytest.MonkeyPatch, error: BaseException, exit_code: int, told: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(jointkd, "run", fail)
    outcome = peerkd("run", "jointkd")
    assert (outcome.exit_code, outcome.err) == (exit_code, told)


def test_a_defect_passes_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(jointkd, "run", fail)
    monkeypatch.setattr(sys, "argv", ["peerkd", "run", "jointkd"])
    with pytest.raises(ZeroDivisionError):
        main()


def test_the_options_of_a_run_reach_it(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, object]] = []
    monkeypatch.setattr(jointkd, "run", lambda **options: given.append(options))
    assert peerkd("run", "jointkd").exit_code == 0
    peerkd("run", "jointkd", "--preset", "poster", "--set", "seed=1", "--set", "name=a b", "--output", "elsewhere")
    peerkd("run", "jointkd", "--config", "mine.yaml")
    default = {"preset": "digits", "config_file": None, "overrides": [], "output": Path("runs")}
    assert given == [
        default,
        {"preset": "poster", "config_file": None, "overrides": ["seed=1", "name=a b"], "output": Path("elsewhere")},
        {**default, "config_file": Path("mine.yaml")},
    ]


def test_every_preset_is_listed_with_its_first_line(peerkd) -> None:
    outcome = peerkd("config", "presets")
    assert outcome.exit_code == 0
    listed = {line.split()[0]: line.split(maxsplit=1)[1] for line in outcome.out.splitlines()}
    assert listed == {name: (preset.__doc__ or "").splitlines()[0] for name, preset in PRESETS.items()}


def test_the_schema_is_json(peerkd) -> None:
    outcome = peerkd("config", "schema")
    assert outcome.exit_code == 0
    assert json.loads(outcome.out)["properties"].keys() == ExperimentConfig.model_fields.keys()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_shown_experiment_is_a_file_of_the_same_experiment(peerkd, tmp_path: Path, preset: str) -> None:
    outcome = peerkd("config", "show", "--preset", preset, "--set", "seed=3", "--set", "pretrain.weight_decay=1e-5")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert list(yaml.safe_load(outcome.out)) == list(ExperimentConfig.model_fields)
    file = tmp_path / "experiment.yaml"
    file.write_text(outcome.out)
    assert load_file(file) == resolve(preset=preset, overrides="seed=3 pretrain.weight_decay=1e-5")
    assert peerkd("config", "show", "--config", str(file)).out == outcome.out
