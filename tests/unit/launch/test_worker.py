import pytest

from peerkd.cores import count_cores
from peerkd.launch.worker import Worker, this_worker


def test_without_variables_a_process_is_the_only_worker():
    assert this_worker({}) == Worker(index=0, num_workers=1, run_id="")
    assert this_worker({}).is_alone


def test_the_environment_says_which_worker_it_is():
    worker = this_worker({"PEERKD_WORKER_INDEX": "2", "PEERKD_NUM_WORKERS": "3", "PEERKD_RUN_ID": "abc"})
    assert worker == Worker(index=2, num_workers=3, run_id="abc")
    assert not worker.is_first
    assert not worker.is_alone


@pytest.mark.parametrize(
    ("index", "num_workers", "message"),
    [
        ("3", "3", r"^PEERKD_WORKER_INDEX must be below PEERKD_NUM_WORKERS \(3\), got 3\.$"),
        ("-1", "3", r"^PEERKD_WORKER_INDEX must be a whole number, got -1\.$"),
        ("0", "two", r"^PEERKD_NUM_WORKERS must be a whole number, got two\.$"),
    ],
)
def test_impossible_numbers_are_refused(index, num_workers, message):
    with pytest.raises(ValueError, match=message):
        this_worker({"PEERKD_WORKER_INDEX": index, "PEERKD_NUM_WORKERS": num_workers})


def test_the_cores_that_a_worker_is_given_count():
    assert count_cores({"PEERKD_NUM_CORES": "7"}) == 7
    assert count_cores({"PEERKD_NUM_CORES": ""}) == count_cores({}) >= 1


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "9" * 5000, "\u0663"])
def test_cores_that_are_no_number_are_refused(text):
    with pytest.raises(ValueError, match=r"^PEERKD_NUM_CORES must be a whole number above 0, got "):
        count_cores({"PEERKD_NUM_CORES": text})
