import math
import socket
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from peerkd.metrics import endpoint, names, prometheus, recorder
from peerkd.metrics.progress import Progress


@pytest.fixture
def port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture
def environment(port: int) -> dict[str, str]:
    return {
        "PEERKD_METRICS_PORT": str(port),
        "PEERKD_RUN_ID": "run-1",
        "PEERKD_WORKER_INDEX": "3",
        "PEERKD_GPUS_PER_WORKER": "2",
    }


def scrape(port: int) -> dict[str, float]:
    """Return the samples by name and labels, without stage and worker, which are the same in each."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = answer.read().decode()
    found = {}
    for sample in samples_of(text):
        labels = dict(sample.labels)
        assert (labels.pop("stage"), labels.pop("worker")) == ("train_pcl", "3")
        found[" ".join([sample.name, *(labels[key] for key in sorted(labels))])] = sample.value
    return found


def samples_of(text: str) -> Iterator:
    for family in text_string_to_metric_families(text):
        yield from (sample for sample in family.samples if not sample.name.endswith("_created"))


def test_a_worker_serves_the_values_of_its_stage(port: int, environment: dict[str, str]) -> None:
    with endpoint.recording("train_pcl", environment=environment):
        progress = Progress("train_pcl", unit="epochs", total=10, num_done=4, write=lambda stage, text: None)
        progress.recover(2)
        progress.advance()
        recorder.architecture("vgg16")
        recorder.samples(1280)
        recorder.losses({"loss": 0.5, "ensemble_to_branches": None})
        # The method is only for trackers of experiments.
        recorder.accuracy("test", 0.75, method="alone")
        recorder.checkpoint_saved()
        recorder.gpu_memory(used_bytes=2**30, peak_bytes=2**31)
        recorder.store_error()
        recorder.waiting(True)
        scraped = scrape(port)
    assert scraped["peerkd_epochs_done"] == 7
    assert scraped["peerkd_epochs_left"] == 3
    assert scraped["peerkd_epochs_total"] == 1
    assert scraped["peerkd_samples_total"] == 1280
    assert scraped["peerkd_loss loss"] == 0.5
    assert math.isnan(scraped["peerkd_loss ensemble_to_branches"])
    assert scraped["peerkd_accuracy_ratio test"] == 0.75
    assert scraped["peerkd_gpu_memory_peak_bytes"] == 2**31
    assert scraped["peerkd_worker_gpus"] == 2
    assert scraped["peerkd_worker_waiting"] == 1
    assert scraped["peerkd_store_errors_total"] == 1
    start = scraped["peerkd_worker_start_time_seconds"]
    assert start <= scraped["peerkd_last_progress_timestamp_seconds"] <= scraped["peerkd_checkpoint_timestamp_seconds"]
    assert [name for name in scraped if "info" in name] == ["peerkd_worker_info vgg16 run-1"]
    assert {name.partition(" ")[0] for name in scraped} <= {metric.name for metric in names.METRICS}


def test_every_family_has_the_help_of_the_table(port: int, environment: dict[str, str]) -> None:
    with (
        endpoint.recording("train_pcl", environment=environment),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer,
    ):
        families = {
            family.name: family.documentation for family in text_string_to_metric_families(answer.read().decode())
        }
    wanted = {metric.name.removesuffix("_total"): metric.help for metric in names.METRICS if metric.writer == "worker"}
    assert {name: text for name, text in families.items() if not name.endswith("_created")} == wanted


def test_a_new_worker_has_a_time_of_progress(port: int, environment: dict[str, str]) -> None:
    with endpoint.recording("train_pcl", environment=environment):
        scraped = scrape(port)
    assert scraped["peerkd_last_progress_timestamp_seconds"] == scraped["peerkd_worker_start_time_seconds"] > 1e9


def test_the_port_is_free_again_afterwards(port: int, environment: dict[str, str]) -> None:
    for _ in range(2):
        with endpoint.recording("train_pcl", environment=environment):
            assert scrape(port)
    with pytest.raises(OSError, match="refused"):
        scrape(port)


def test_a_port_in_use_is_reported_and_the_training_continues(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        environment["PEERKD_METRICS_PORT"] = str(taken.getsockname()[1])
        with endpoint.recording("train_pcl", environment=environment):
            recorder.samples(1)
    assert capsys.readouterr().out == (
        "peerkd | train_pcl: warning: no metrics are served, because "
        f"PEERKD_METRICS_PORT={environment['PEERKD_METRICS_PORT']} cannot be used: Address already in use\n"
    )


@pytest.mark.parametrize("text", ["http", "-1", "65536", "tcp://10.0.0.1:9090", "9090 "])
def test_an_invalid_port_is_reported_and_the_training_continues(
    text: str, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with endpoint.recording("train_pcl", environment={**environment, "PEERKD_METRICS_PORT": text}):
        recorder.samples(1)
    assert f"={text} cannot be used: it is not a number from 0 to 65535" in capsys.readouterr().out


def test_the_number_of_values_of_a_label_is_limited() -> None:
    made = prometheus.PrometheusRecorder("train_pcl")
    for number in range(100):
        made.set(names.LOSS, number, part=f"part-{number}")
    made.set(names.LOSS, 7, part="part-3")
    parts = {
        sample.labels["part"]: sample.value
        for family in made.registry.collect()
        for sample in family.samples
        if sample.name == names.LOSS.name
    }
    assert len(parts) == names.MAX_LABEL_VALUES + 1
    assert parts["part-3"] == 7
    assert parts[names.OTHER] == 99
