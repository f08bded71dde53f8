"""Pages of all kinds, and a Chromium without network that opens them."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from peerkd.api.figures import read_figures
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.reporting import html as sweep_html
from peerkd.reporting.choices import html as choices_html
from peerkd.reporting.compare import html as compare_html
from peerkd.reporting.facts import ComparedFacts, PeerSamples, RoundsFacts, SampleStrip
from peerkd.reporting.figure_page import render_figure
from peerkd.reporting.findings import SweepFindings, compute_findings
from peerkd.reporting.index import IndexEntry, render_index
from peerkd.reporting.methods import html as methods_html
from peerkd.reporting.methods.findings import compute_findings as compute_methods
from peerkd.reporting.rounds import html as rounds_html
from peerkd.reporting.rounds.findings import MethodRounds
from peerkd.results.compared_studies import MeasuredStudy, Quantity, StudyComparison, compare_studies
from tests.curves import MethodStudy
from tests.tables import Study
from tests.unit.reporting.choices.conftest import conclude, concluded  # noqa: F401 (fixtures)

KINDS = ("sweep", "tuned", "methods", "rounds", "compare")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
SAMPLES = (PeerSamples("<b>St. Mary</b> & co", (SampleStrip("<b>dog</b>", 1, f"data:image/png;base64,{PIXEL}"),)),)
WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 480, "height": 800}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("needs Chromium on the PATH, such as the package chromium of Debian")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])


@pytest.fixture(scope="session")
def sweep() -> Study:
    return Study(
        num_peers=5,
        num_classes=3,
        class_names=("cat", "<b>dog</b>", "fox"),
        temperatures=(1.0, 4.0),
        alphas=(0.1, 0.5),
        transfer_sets=("student", "both", "public_unlabelled"),
        by_epoch=True,
        names=("0", "<b>St. Mary</b> & co", "2", "3", "4"),
        num_validation_samples=90,
        num_test_samples=150,
    )


@pytest.fixture(scope="session")
def sweep_findings(sweep: Study) -> SweepFindings:
    return compute_findings(sweep.table, sweep.facts)


@pytest.fixture(scope="session")
def pages(sweep, sweep_findings, concluded, tmp_path_factory) -> dict[str, Path]:  # noqa: F811
    """The file of each kind of page."""
    study = MethodStudy(methods=("plain", "pcl"), num_seeds=3, epochs=4)
    facts = replace(sweep.facts, samples=SAMPLES)
    texts = {
        "sweep": sweep_html.render(sweep_findings, facts),
        "tuned": choices_html.render(concluded, Study(num_peers=3, temperatures=(1.0,), alphas=(0.5,)).facts),
        "methods": methods_html.render(
            compute_methods(study.table, study.facts), replace(study.facts, samples=SAMPLES)
        ),
        "rounds": rounds_html.render(*rounds()),
        "compare": compare_html.render(*compared()),
    }
    # The charts that a notebook shows alone.
    shown = [each for each in read_figures(texts["sweep"]) if each.title.startswith(("Mean over pairs", "Points on"))]
    texts |= {figure.kind: render_figure(*figure) for figure in shown}
    texts["index"] = render_index(
        [listed(number) for number in range(9)], title="runs", written_at="2026-01-31 12:30", is_running=True
    )
    folder = tmp_path_factory.mktemp("pages")
    paths = {name: folder / f"{name}.html" for name in texts}
    for name, text in texts.items():
        paths[name].write_text(text, encoding="utf-8")
    return paths


def listed(number: int) -> IndexEntry:
    """A run in the list of a store. Runs with an even number are finished."""
    return IndexEntry(
        name=f"<b>run</b>-{number}",
        settings={"skew": "iid", "seed": str(number)},
        pipeline="jointkd sweep",
        started="2026-01-31 12:30",
        state="running" if number % 2 else "finished",
        headline="50% done" if number % 2 else "3 of 4 peers should learn from a teacher",
        cost=f"{10 - number} {'s' if number % 2 else 'min'}",
        worker_seconds=(10 - number) * (1 if number % 2 else 60),
        size=f"{number} MB",
        num_bytes=number * 1_000_000,
        report=None,
    )


def compared() -> tuple[StudyComparison, ComparedFacts]:
    """Two groups of studies with two seeds each."""
    gain = Quantity("global gain, best setting", is_accuracy=False)
    accuracy = Quantity("accuracy, PCL with <mlp>", is_accuracy=True)
    studies = [
        MeasuredStudy(
            run=f"run-{seed}-{skew}",
            seed=seed,
            settings={"skew": skew},
            peers="",
            values={gain: np.array(0.1 + seed / 100), accuracy: np.array(0.5 + seed / 20)},
        )
        for skew in ("iid", "<b>natural</b>")
        for seed in (0, 1)
    ]
    return compare_studies(studies), ComparedFacts(pipeline="jointkd", config=ExperimentConfig())


def rounds() -> tuple[dict[str, MethodRounds], RoundsFacts]:
    """Two methods with three rounds of three peers."""
    config = CollaborateConfig.from_mapping({"partition": {"num_peers": 3}, "rounds": {"num_rounds": 3}})
    accuracy_RP = np.linspace(0.5, 0.8, 12).reshape(4, 3)
    each = MethodRounds(
        global_RP=accuracy_RP,
        own_RP=accuracy_RP,
        validation_RP=accuracy_RP,
        sent_bytes_RP=np.full((4, 3), 1000),
        received_bytes_RP=np.full((4, 3), 2000),
        num_samples_RP=np.full((4, 3), 300),
        is_proposed_RP=np.arange(4)[:, None].repeat(3, axis=1) > 0,
        is_accepted_RP=np.ones((4, 3), dtype=bool),
    )
    facts = RoundsFacts(
        config_fingerprint="c0ffee",
        fingerprints={},
        versions={"peerkd": "0.1.0"},
        device="cpu",
        machine="2 cores",
        class_names=("a", "b"),
        num_validation_samples=90,
        num_test_samples=150,
        config=config,
        peer_numbers=(0, 1, 2),
        peers=("peer 0", "peer 1", "peer 2"),
        networks=("mlp",) * 3,
        num_train_samples=(100, 200, 300),
        num_public_samples=50,
    )
    return dict.fromkeys((config.rounds.methods[0], "alone"), each), facts


class OpenPage:
    """A page in the browser, with everything that went wrong on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("console", lambda message: message.type in ("error", "warning") and self.problems.append(message.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self._check(request.url))

    def _check(self, url: str) -> None:
        if not url.startswith(("file:", "blob:", "data:")):
            self.problems.append(f"asked for {url}")


@pytest.fixture
def open_page(browser: Browser, pages: dict[str, Path]) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a kind of page. At the end, nothing may have gone wrong on any of them."""
    opened: list[OpenPage] = []

    def of(kind: str, *, viewport=WIDE, theme="light") -> Page:
        context = browser.new_context(viewport=viewport, color_scheme=theme, offline=True, accept_downloads=True)
        each = OpenPage(context.new_page())
        opened.append(each)
        each.page.goto(pages[kind].as_uri())
        each.page.wait_for_selector("html[data-is-ready]", state="attached")
        return each.page

    yield of
    problems = [problem for each in opened for problem in each.problems]
    for each in opened:
        each.page.context.close()
    assert problems == []
