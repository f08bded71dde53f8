import math
import subprocess
import sys

import pytest

from peerkd.metrics import endpoint, recorder
from tests.unit.metrics.recorded import Recorded


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("time.time", lambda: 5000.0)
    taker = Recorded()
    with recorder.recording_to(taker):
        yield taker


def tell_all() -> None:
    recorder.progress("trials", num_new=2, num_done=7, num_left=3)
    recorder.samples(640)
    recorder.losses({"loss": 1.5, "loss/cross_entropy_branches": None})
    recorder.accuracy("validation", 0.25)
    recorder.checkpoint_saved()
    recorder.gpu_memory(used_bytes=10, peak_bytes=20)
    recorder.store_error()
    recorder.waiting(True)
    recorder.architecture("resnet32")


def test_each_function_sets_its_metric(recorded: Recorded) -> None:
    tell_all()
    assert math.isnan(recorded.values.pop("loss cross_entropy_branches"))
    assert recorded.values == {
        "trials_total": 2,
        "trials_done": 7,
        "trials_left": 3,
        "last_progress_timestamp_seconds": 5000,
        "samples_total": 640,
        "loss loss": 1.5,
        "accuracy_ratio validation": 0.25,
        "checkpoint_timestamp_seconds": 5000,
        "gpu_memory_used_bytes": 10,
        "gpu_memory_peak_bytes": 20,
        "store_errors_total": 1,
        "worker_waiting": 1,
    }
    assert recorded.architectures == ["resnet32"]
    assert recorded.last_step == 7


@pytest.mark.parametrize(
    "tell",
    [
        lambda: recorder.progress("epochs", num_new=1, num_done=1, num_left=0),
        lambda: recorder.progress("pages", num_new=1, num_done=1, num_left=0),
        lambda: recorder.samples(1),
        lambda: recorder.waiting(False),
    ],
)
def test_any_work_and_the_end_of_waiting_count_as_progress(recorded: Recorded, tell) -> None:
    tell()
    assert recorded.values["last_progress_timestamp_seconds"] == 5000


@pytest.mark.parametrize(
    "tell",
    [
        lambda: recorder.waiting(True),
        recorder.checkpoint_saved,
        lambda: recorder.losses({"loss": 1.0}),
        recorder.store_error,
    ],
)
def test_waiting_saving_and_failing_are_not_progress(recorded: Recorded, tell) -> None:
    tell()
    assert "last_progress_timestamp_seconds" not in recorded.values


def test_counters_accumulate(recorded: Recorded) -> None:
    recorder.samples(5)
    recorder.samples(6)
    assert recorded.values["samples_total"] == 11


def test_values_are_dropped_without_a_recorder() -> None:
    with endpoint.recording("train_pcl", environment={}):
        tell_all()
    assert recorder._current is recorder._SILENT


def test_the_previous_recorder_is_restored_even_after_an_error() -> None:
    outer = Recorded()
    with recorder.recording_to(outer):
        with pytest.raises(RuntimeError), recorder.recording_to(Recorded()):
            raise RuntimeError
        recorder.samples(1)
    assert outer.values["samples_total"] == 1


def test_the_client_of_prometheus_is_loaded_only_if_needed() -> None:
    script = (
        "import sys; from peerkd.metrics import endpoint, recorder, progress, summary\n"
        "with endpoint.recording('s', environment={}): progress.Progress('s', unit='trials', total=1)\n"
        "summary.push_summary(summary.Summary(succeeded=True, run_seconds=1), run='r', stage='s')\n"
        "print('prometheus_client' in sys.modules, end=' ')\n"
        "with endpoint.recording('s', environment={'PEERKD_METRICS_PORT': '0'}): pass\n"
        "print('prometheus_client' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env={})
    assert ended.stdout == "False True\n"
