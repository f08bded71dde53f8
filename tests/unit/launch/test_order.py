import itertools

import pytest

from peerkd.launch.order import JobAccount, StageOrder, read_inputs

ORDER = StageOrder(
    stage="distill_pairs",
    config_json='{"seed": 1}',
    store="s3://bucket/x",
    inputs={"peers": {"key": "p/1@2", "fingerprint": "ff"}, "data": {"key": "d/1", "fingerprint": "ee"}},
    key="distill_pairs/3",
)


def test_a_workers_command_line_says_all() -> None:
    assert ORDER.command() == [
        *("python", "-m", "peerkd", "stage", "distill_pairs"),
        *("--config-json", '{"seed": 1}', "--store", "s3://bucket/x"),
        *("--input", "data=d/1@ee", "--input", "peers=p/1@2@ff"),
    ]


def test_inputs_are_read_as_they_are_written() -> None:
    command = ORDER.command()
    texts = [text for option, text in itertools.pairwise(command) if option == "--input"]
    assert read_inputs(texts) == ORDER.inputs


@pytest.mark.parametrize("text", ["", "a", "a=b", "a=@f", "a=k@", "=k@f"])
def test_an_input_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"input must have the form NAME=KEY@FINGERPRINT, got {text}."):
        read_inputs([text])


def test_an_input_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="input must name a once, got it twice"):
        read_inputs(["a=k@f", "a=k@g"])


def test_gpu_seconds_are_those_of_all_workers() -> None:
    assert JobAccount(name="j", seconds=10, num_workers=3, gpus_per_worker=8).gpu_seconds == 240
