"""Each test runs in a fresh interpreter, because a module that was imported once stays imported."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def said(script: str) -> list[str]:
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT)
    return ended.stdout.split()


def test_a_launcher_reads_few_of_the_clients_modules() -> None:
    # With the whole client, more than 1,400 modules are imported.
    (number,) = said("import sys, peerkd.launch.kubernetes.run; print(len(sys.modules))")
    assert 200 < int(number) < 900


def test_a_later_import_of_the_client_gets_all_of_it() -> None:
    script = """
import sys, peerkd.launch.kubernetes.run
assert not [name for name in sys.modules if name.partition(".")[0] in ("kubernetes", "kubeflow")]
import kubernetes, kubeflow.training
print(kubernetes.client.CoreV1Api.__name__, kubernetes.watch.Watch.__name__, kubeflow.training.TrainingClient.__name__)
"""
    assert said(script) == ["CoreV1Api", "Watch", "TrainingClient"]


def test_a_client_that_is_already_imported_stays_complete() -> None:
    script = """
import kubernetes.client
from peerkd.launch.kubernetes import manifest, run, transport
print(transport.Configuration is kubernetes.client.Configuration, kubernetes.client.V1Pod.__name__)
"""
    assert said(script) == ["True", "V1Pod"]


def test_a_missing_package_raises_the_usual_error() -> None:
    script = """
import sys
from peerkd.launch.kubernetes.lean_imports import lean_imports
try:
    with lean_imports("json_that_is_not_there"):
        print("within")
except ModuleNotFoundError as error:
    print(error.name, [name for name in sys.modules if "json_that" in name])
"""
    assert said(script) == ["json_that_is_not_there", "[]"]
