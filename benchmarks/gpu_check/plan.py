"""The steps of the check, most valuable first. Steps of a group run at once; a step that measures times runs alone."""

from typing import Final

from benchmarks.gpu_check.steps import Step

TOTAL_SECONDS: Final = 450.0
"""The limit on the time of all steps together. The check takes at most eight minutes, of which half a minute is for its
start and its end."""

_GRAPHS: Final = "tests/unit/training/captured/test_graphs.py"
_PYTEST: Final = (
    *("-m", "pytest", "-q", "-rfE", "--tb=short", "-W", "default", "-p", "no:cacheprovider"),
    # Neither the settings of the project nor the tests' common settings are read, because they need further packages.
    *("-c", "/dev/null", "--rootdir=.", "--confcutdir=tests/unit", "--import-mode=importlib"),
)


def _tests(name: str, claim: str, *words: str, limit_seconds: float, packages: tuple[str, ...] = ()) -> Step:
    return Step(
        name=name,
        claim=claim,
        arguments=(*_PYTEST, *words),
        limit_seconds=limit_seconds,
        packages=("pytest", *packages),
    )


def _program(name: str, claim: str, *words: str, limit_seconds: float, connections: int | None = None) -> Step:
    environment = {} if connections is None else {"CUDA_DEVICE_MAX_CONNECTIONS": str(connections)}
    return Step(name=name, claim=claim, arguments=("-m", *words), limit_seconds=limit_seconds, environment=environment)


_STUDENTS: Final = "benchmarks.gpu_check.students"

GROUPS: Final[tuple[tuple[Step, ...], ...]] = (
    (
        _tests(
            "captured_steps",
            "Captured steps end in the bits of called ones, whatever other lanes do.",
            *(_GRAPHS, "-k", "not stay_within and not sweep_on_a"),
            limit_seconds=150,
        ),
    ),
    (
        _tests(
            "memory",
            "Lanes stay within their memory, and a lane that does not fit leaves the others intact.",
            *(_GRAPHS, "-k", "stay_within"),
            limit_seconds=45,
        ),
        _tests(
            "freed_sweeps",
            "A sweep in lanes has the records of its trials alone, and sweeps that ended harm no later one.",
            *(_GRAPHS, "-k", "sweep_on_a"),
            limit_seconds=60,
            packages=("sklearn",),
        ),
    ),
    (
        _program(
            "resnet18",
            "Equal trials of ResNet-18 end in equal bits in all lanes; its speed.",
            *(_STUDENTS, "resnet18:bfloat16"),
            limit_seconds=60,
        ),
    ),
    (
        _program(
            "small_networks",
            "Equal trials of small networks end in equal bits in all lanes; their speed.",
            *(_STUDENTS, "resnet20:bfloat16", "small_cnn:float32"),
            limit_seconds=60,
        ),
    ),
    (
        _program(
            "eight_connections",
            "The same with 8 connections to the GPU; the speed, to compare with that of small_networks.",
            *(_STUDENTS, "resnet20:bfloat16", "small_cnn:float32"),
            limit_seconds=45,
            connections=8,
        ),
    ),
    (
        _program(
            "freed_graphs",
            "States whether freeing one graph harms another one of its stream, which peerkd never does.",
            "benchmarks.gpu_check.freed_graphs",
            limit_seconds=30,
        ),
    ),
    (
        _program(
            "resnet18_float32",
            "Equal trials of ResNet-18 in float32 end in equal bits in all lanes; its speed.",
            *(_STUDENTS, "resnet18:float32"),
            limit_seconds=60,
        ),
    ),
    (
        Step(
            name="against_processes",
            claim="A sweep of ResNet-18 agrees with programs that train in other ways; the ratio of their times.",
            arguments=(
                *("-m", "benchmarks.sweep", "--device", "cuda", "--quick", "--batch", "128", "--samples", "2560"),
                *("--workloads", "resnet18", "--limit-seconds", "90"),
            ),
            limit_seconds=150,
            packages=("sklearn", "torchvision"),
        ),
    ),
)
