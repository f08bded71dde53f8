"""Configs and command lines with mistakes that people make, each passed to the command in this process.

``generate`` is a function of its seed. ``complaint`` describes what is wrong with the answer to a case.
"""

import contextlib
import io
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

# ruff: noqa: SIM905 - long lists of words are easier to read without quotes
from peerkd.cli import main as command_line
from peerkd.config.pipelines import JOINTKD, PCL
from peerkd.config.resolve import to_yaml

MAX_SECONDS: Final = 10.0
"""Limit on processor time. A limit on real time would report a busy machine as a slow command."""

_MAX_SENTENCE_CHARACTERS: Final = 1200
_CONFIG: Final = "config.yaml"
_TABLE: Final = "trials.parquet"
_PIPELINE: Final = "pipeline.yaml"

_NUMBERS: Final = tuple(
    """0 -0 1 -1 2 3 010 0o10 0x1F 0b1 1_000 12:30:45 1e3 1e-3 1E400 -1e400 .inf -.INF .nan 0.5 .5 5. 1e - + 1.5.2 00
    4294967295 4294967296 9223372036854775807 9223372036854775808 1e18 1e19 1,000 1e-320 \u00bd \u0663""".split()
)
_TEXTS: Final = tuple(
    """yes no on off true True TRUE false ~ null Null '' "" digits cifar10 npz image_folder streamed packed pcl plain
    iid dirichlet classes shards natural indices matched held_out multistep cosine tune sweep mlp resnet18 student both
    public
    2026-01-31 2026-01-31T01:02:03Z !!bool !!python/object:os.system !!binary !!int !!str !!float !!null !!timestamp
    &a *a << = @ ` % {} [] {a: [ {a:1} {a:~} [[[]]] s3:/x s3:// S3://b file:///x https://host ~/x ../.. /dev/zero
    /proc /etc/passwd -- --help -h --set -x \u202e \u200b \u00e9 \U0001f680 \ufeff""".split()
)
_LONG: Final = (
    "9" * 5_000,
    "[" * 3_000,
    "{a: " * 500,
    "x" * 20_000,
    "[" + "1," * 3_000 + "]",
    "- " * 3_000,
    "\u00e9" * 300,
)
_BYTES: Final = (
    *b"\t \0 \xff \r \n : # [ ] { } , ' | > @ `".split(b" "),
    *b"!!bool\tmaybe \xef\xbb\xbf \x1b[31m \n---\n \n...\n !!x &a *a <<: \xe2\x80\xa8 \xed\xa0\x80".split(b" "),
    *(b" ", b'"', b": ", b"- ", b"? ", b"%YAML 2.0\n---\n"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A command line, and the files in its folder."""

    arguments: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict, hash=False)


class _StartedError(Exception):
    """The command has accepted all of its input and would now begin its work."""


def generate(seed: int, number: int) -> Iterator[Case]:
    """Yield ``number`` cases. Each is a function of the seed and its index."""
    for place in range(number):
        rng = random.Random(f"configs {seed} {place}")
        yield rng.choices([_config_file, _overrides, _options], weights=[4, 3, 3])[0](rng)


def complaint(case: Case) -> str | None:
    """Run the command on a case, and return what is wrong with its answer, or None."""
    out, err = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder, _in_folder(folder), _without_work():
        for name, content in case.files.items():
            Path(name).write_bytes(content)
        before = set(os.listdir())
        started = time.process_time()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                exit_code = _exit_code(case.arguments)
        except BaseException as error:
            return f"ended with {type(error).__name__}: {str(error)[:200]}"
        seconds = time.process_time() - started
        # A run that has begun records itself in its store.
        left = set(os.listdir()) - before - ({"runs"} if exit_code == 0 and "run" in case.arguments else set())
    if seconds > MAX_SECONDS:
        return f"took {seconds:.0f} s"
    if left:
        return f"left {left} behind"
    # A store that does not exist cannot be fixed by another command line, so its exit code is 1.
    if exit_code not in (0, 2) and (exit_code, case.arguments[:1]) != (1, ("store",)):
        return f"ended with {exit_code}: {err.getvalue()[:300]}"
    if exit_code != 0:
        return _not_one_sentence(err.getvalue())
    is_shown = case.arguments[:2] == ("config", "show") and "--help" not in case.arguments
    return _not_read_back(case, out.getvalue()) if is_shown else None


def _exit_code(arguments: tuple[str, ...]) -> Any:
    with mock.patch.object(sys, "argv", ["peerkd", *arguments]):
        try:
            command_line.main()
        except SystemExit as leaving:
            return leaving.code
        except _StartedError:
            return 0
    raise AssertionError("The command returned.")


def _not_one_sentence(told: str) -> str | None:
    """Return what is wrong with an error, or None. Several errors of a config are a heading and a sentence for each."""
    if told.startswith("Usage:"):
        # A command without its subcommand shows its help.
        return None
    if not told.startswith("peerkd: ") or not told.endswith(".\n") or "Traceback" in told:
        return f"no sentence: {told[:300]!r}"
    heading, *others = told.removeprefix("peerkd: ").removesuffix("\n").split("\n")
    if others:
        if heading != f"The config has {len(others)} errors:":
            return f"no heading: {told[:300]!r}"
        if not all(other.startswith("  ") and other.endswith(".") for other in others):
            return f"no sentences: {told[:300]!r}"
    for line in (heading, *others):
        if not line.isprintable():
            return f"not printable: {told[:300]!r}"
        if len(line) > _MAX_SENTENCE_CHARACTERS:
            return f"{len(line)} characters: {line[:100]}"
    return None


def _not_read_back(case: Case, shown: str) -> str | None:
    """Read the shown config as a file and show it again. It must be the same experiment."""
    pipeline = ("--pipeline", "pcl") if {"pcl", "--pipeline=pcl"} & {*case.arguments} else ()
    out, err = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder, _in_folder(folder):
        Path(_CONFIG).write_text(shown, encoding="utf-8")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            _exit_code(("config", "show", *pipeline, "--config", _CONFIG))
    return None if out.getvalue() == shown else f"shown otherwise when read back: {err.getvalue()[:200]}"


@contextlib.contextmanager
def _without_work() -> Iterator[None]:
    """Let a run or a submission raise an exception after its checks, and hide any cluster."""

    def start(*_: object, **__: object) -> None:
        raise _StartedError

    nowhere = {"KUBECONFIG": "/nonexistent", "KUBERNETES_SERVICE_HOST": ""}
    with (
        mock.patch("peerkd.cli.run.run_pipeline", start),
        mock.patch("peerkd.cli.submit.PipelineServer", start),
        mock.patch.dict(os.environ, nowhere),
    ):
        yield


@contextlib.contextmanager
def _in_folder(folder: str) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _config_file(rng: random.Random) -> Case:
    pipeline = rng.choice([JOINTKD, PCL])
    experiment = rng.choice(list(pipeline.presets.values()))()
    text = to_yaml(experiment) if rng.random() < 0.5 else experiment.to_json()
    if rng.random() < 0.6:
        text = _with_values(rng, text)
    content = text.encode("utf-8", "surrogatepass")
    for _ in range(rng.choice([0, 1, 1, 1, 2, 4])):
        content = _mutated(rng, content)
    verbs = [("config", "show"), ("config", "show", "--pipeline", "pcl"), ("plan", "jointkd", "--no-measure")]
    verbs += [("run", "jointkd"), ("run", "pcl")]
    return Case((*rng.choice(verbs), "--config", _CONFIG), {_CONFIG: content})


def _with_values(rng: random.Random, text: str) -> str:
    """Replace values or keys on some lines of a file."""
    lines = text.splitlines()
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(lines))
        key, separator, _value = lines[place].partition(":")
        if rng.random() < 0.2:
            lines.insert(place, f"{_name(rng)}: {_value_of(rng)}")
        elif separator:
            lines[place] = f"{key}: {_value_of(rng)}"
    return "\n".join(lines)


def _mutated(rng: random.Random, content: bytes) -> bytes:
    place = rng.randrange(len(content) + 1)
    match rng.randrange(8):
        case 0:
            return content[:place]
        case 1:
            return content[:place] + content[place + rng.choice([1, 1, 5, 50]) :]
        case 2:
            return content[:place] + content[place // 2 : place] + content[place:]
        case 3 if content:
            place = rng.randrange(len(content))
            return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]
        case 4:
            lines = content.split(b"\n")
            rng.shuffle(lines)
            return b"\n".join(lines)
        case 5:
            return rng.choice(
                [content.decode("latin-1").encode("utf-16"), content.replace(b"  ", b"\t"), b"", content * 40]
            )
    return content[:place] + rng.choice(_BYTES) + content[place:]


def _overrides(rng: random.Random) -> Case:
    words: list[str] = []
    for _ in range(rng.randint(1, 4)):
        pair = f"{_name(rng)}={_value_of(rng)}"
        words += [
            "--set",
            rng.choice([pair, pair, pair, pair, pair.replace("=", ""), pair.replace(".", ".."), f"={pair}"]),
        ]
    verbs = [("config", "show"), ("config", "show", "--pipeline", "pcl"), ("plan", "jointkd", "--no-measure")]
    return Case((*rng.choice(verbs), *words))


def _options(rng: random.Random) -> Case:
    """Return a command whose options may be missing, repeated, without a value, or those of another command."""
    command, options = rng.choice(_COMMANDS)
    words: list[str] = []
    for _ in range(rng.randint(0, 4)):
        name, value = rng.choice(options)
        words += rng.choices(
            [[name, value(rng)], [f"{name}={value(rng)}"], [name], [value(rng)], [name[:-1], value(rng)]],
            weights=[10, 4, 1, 1, 1],
        )[0]
    files = {_PIPELINE: _pipeline_file(rng), _TABLE: _mutated(rng, b"PAR1" * 20)}
    # An argument of a process cannot contain NUL, and a terminal cannot send undecodable text.
    words = [word.replace("\0", "") for word in (*command, *words)]
    return Case(tuple(words), files)


def _pipeline_file(rng: random.Random) -> bytes:
    package = Path(__file__).parents[2] / "pipelines" / "jointkd.yaml"
    content = package.read_bytes()
    return content if rng.random() < 0.7 else _mutated(rng, content[: rng.choice([300, 3_000])])


def _name(rng: random.Random) -> str:
    name = rng.choice(_FIELDS)
    match rng.randrange(12):
        case 0:
            return rng.choice([name[1:], name[:-1], name.upper(), name.replace(".", "[0]."), name + "[0]", name + ".x"])
        case 1:
            return name.rpartition(".")[2]
        case 2:
            return rng.choice(_TEXTS)
    return name


def _value_of(rng: random.Random) -> str:
    pool = rng.choices([_NUMBERS, _TEXTS, _LONG], weights=[10, 10, 1])[0]
    value: str = rng.choice(pool)
    return rng.choice([value, value, value, f"[{value}]", f"[{value}, {value}]", f"{{kind: {value}}}", f'"{value}"'])


def _field_names(values: dict[str, Any], section: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield section + name
        if isinstance(value, dict):
            yield from _field_names(value, f"{section}{name}.")


_FIELDS: Final = [
    name for pipeline in (JOINTKD, PCL) for name in _field_names(pipeline.config().model_dump(mode="json"))
] + ["partition.label_skew.classes_per_peer", "partition.label_skew.column"]


def _one_of(*words: str) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice([*words, *words, _value_of(rng)])


_EXPERIMENT: Final = [
    ("--preset", _one_of("digits", "poster", "cifar10_small")),
    ("--config", _one_of("config.yaml", "/dev/zero", "/", "trials.parquet", "")),
    ("--set", lambda rng: f"{_name(rng)}={_value_of(rng)}"),
]
_PLACE: Final = [
    ("--output", _one_of("runs", "/proc/x", "/dev/null", "trials.parquet", "trials.parquet/x", "~/x", "s3://b/x", "")),
    ("--store", _one_of("s3://bucket/x", "store", "s3:/x", "s3://", "S3://bucket", "https://host/x", "file:///x", "")),
    ("--backend", _one_of("local", "kubernetes", "auto")),
    ("--workers", _one_of("1", "2")),
    ("--gpus", _one_of("1", "0")),
    ("--cluster", _one_of("queue=q", "memory_per_worker=2Gi", "a='", "=1", "")),
    ("--dry-run", _one_of()),
]
_COMMANDS: Final = [
    (("run", "jointkd"), [*_EXPERIMENT, *_PLACE, ("--strategy", _one_of("sweep", "tune"))]),
    (("run", "pcl"), [*_EXPERIMENT, *_PLACE, ("--strategy", _one_of("sweep", "tune"))]),
    (("run", "jointkd", "--backend", "kubernetes", "--store", "s3://bucket/x", "--dry-run"), [*_EXPERIMENT, *_PLACE]),
    (("plan", "jointkd", "--no-measure"), _EXPERIMENT),
    (("config", "show"), [*_EXPERIMENT, ("--pipeline", _one_of("jointkd", "pcl"))]),
    (("config", "schema"), [("--pipeline", _one_of("jointkd", "pcl"))]),
    (("config", "presets"), [("--pipeline", _one_of("jointkd", "pcl"))]),
    (
        ("submit", _PIPELINE),
        [
            ("preset=digits", _one_of()),
            ("overrides=seed=1", lambda rng: f"overrides={_name(rng)}={_value_of(rng)}"),
            ("gpus=1", lambda rng: f"gpus={_value_of(rng)}"),
            ("config_json={}", lambda rng: f"config_json={_value_of(rng)}"),
            ("cluster=queue=q", lambda rng: f"cluster={_name(rng)}={_value_of(rng)}"),
            ("--endpoint", _one_of("http://localhost:1", "x")),
            ("--timeout", _one_of("1", "nan", "-1")),
            ("--watch", _one_of()),
        ],
    ),
    (("store", "check"), [("--store", _one_of("store", "s3:/x", ""))]),
]  # fmt: skip
