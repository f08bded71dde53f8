from peerkd.launch.kubernetes.failure import explain
from peerkd.launch.kubernetes.pods import ending_of
from peerkd.launch.kubernetes.verdict import State, Verdict
from tests.unit.launch.kubernetes.objects import ended, pod


def verdict(message: str) -> Verdict:
    return Verdict(State.FAILED, "worker 1 ended with exit code 1", ending_of(pod(1, ended(1, message=message))))


def test_a_workers_word_is_its_reason() -> None:
    message = explain("train_pcl", "job-1", verdict("The disk is full."), ["a", "b"])
    assert message == (
        "train_pcl failed in job job-1: worker 1 ended with exit code 1: The disk is full.\nIts last lines were:\na\nb"
    )


def test_an_end_of_the_log_is_no_word_but_better_than_no_lines() -> None:
    assert explain("s", "j", verdict("x\ny"), []).endswith("exit code 1.\nIts last lines were:\nx\ny")
    assert explain("s", "j", verdict("x\ny"), ["kept"]).endswith("exit code 1.\nIts last lines were:\nkept")


def test_only_the_last_lines_are_told() -> None:
    message = explain("s", "j", verdict(""), [str(number) for number in range(100)])
    assert message.splitlines()[2:] == [str(number) for number in range(80, 100)]


def test_without_a_worker_the_verdict_is_all() -> None:
    assert (
        explain("s", "j", Verdict(State.GONE, "its job was deleted"), []) == "s failed in job j: its job was deleted."
    )
