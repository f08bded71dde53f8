"""A short seeded run of the harness. ``make faults`` is the long run. ``planted.py`` shows that it finds defects."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.faults import inputs, planted, small_runs, store_faults
from tests.faults.report import Case, Report
from tests.faults.shim import why_not
from tests.s3_server import S3Server

needs_shim = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[small_runs.SmallRuns]:
    with small_runs.small_runs(tmp_path_factory.mktemp("faults") / "small") as runs:
        yield runs


@needs_shim
@pytest.mark.parametrize(
    ("family", "num_cases"),
    [
        (small_runs.kills, 8),
        (small_runs.refusals, 8),
        (small_runs.power_cuts, 16),
        (small_runs.damages, 12),
    ],
)
def test_a_study_survives_faults_of_its_machine(
    runs: small_runs.SmallRuns, family: Callable[..., Iterator[Case]], num_cases: int
) -> None:
    report = Report()
    report.add(family(runs, num_cases, seed=1))
    assert (report.num_tried, report.wrong) == (num_cases, [])


def test_a_study_is_correct_although_a_third_of_all_requests_to_its_store_fail(
    s3_server: S3Server,
) -> None:
    report, tried = Report(), Counter[str]()
    report.add(store_faults.studies_with_faulty_requests(s3_server, 1, share=0.3, seed=1, tried=tried))
    assert report.wrong == []
    assert tried.total() > 20


def test_a_generated_data_set_is_read_or_refused_in_a_sentence() -> None:
    report = Report()
    report.add(inputs.data_sets(30, seed=1))
    assert report.wrong == []


def test_a_generated_table_is_replayed_or_refused_in_a_sentence() -> None:
    report = Report()
    report.add(inputs.tables(30, seed=1))
    assert report.wrong == []


def test_generated_weights_are_read_or_refused_in_a_sentence() -> None:
    report = Report()
    report.add(inputs.weights(20, seed=1))
    assert report.wrong == []


@pytest.mark.parametrize("defect", planted.DEFECTS, ids=lambda defect: defect.name)
def test_the_code_that_each_planted_defect_changes_still_exists(defect: planted.Defect) -> None:
    text = (planted.ROOT / defect.file).read_text(encoding="utf-8")
    assert text.count(defect.sound) == 1
