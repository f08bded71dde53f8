"""The pipeline ``collaborate`` in the calling process, from data to report."""

import csv
import json
import re
from pathlib import Path

import pytest

from peerkd.artifacts import references
from peerkd.artifacts.open import open_store
from peerkd.config.pipelines import COLLABORATE
from peerkd.config.resolve import resolve
from peerkd.data.streamed import open_dataset
from peerkd.reporting.model_card import ModelCard, from_json
from peerkd.results.compared_studies import Quantity
from peerkd.results.rounds import fingerprint, read_rounds
from peerkd.rounds import ROUND_METHODS
from peerkd.stages import collaborate_peers
from peerkd.stages.export_student import ExportRequest, export_student
from peerkd.stages.in_process import run_in_process
from peerkd.stages.measured_studies import finished_runs, measured_studies
from peerkd.stages.planning import prepare
from peerkd.stages.published_peers import find_published
from peerkd.stages.stored_runs import find_run, list_runs
from peerkd.stages.work.round_cards import round_cards
from peerkd.training.forecast_rounds import forecast_rounds
from tests.pages import Page, check_that_it_needs_nothing_from_elsewhere

TINY_DATA = (
    "partition.num_peers=3 data.max_train_samples=450 data.max_test_samples=150 rounds.num_rounds=2 rounds.epochs=1 "
    "peers.architectures=[mlp] compute.device=cpu"
)
TINY = f"{TINY_DATA} pretrain.epochs=2"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the store of a finished run, and the folder of its report."""
    folder = tmp_path_factory.mktemp("collaborate")
    config = resolve(COLLABORATE, preset="digits", overrides=TINY)
    key = run_in_process(config, str(folder))
    return folder, folder / key


def rounds_folder(store: Path) -> Path:
    (folder,) = (path for path in store.glob("collaborate_peers/*") if path.is_dir())
    return folder


def test_every_method_has_every_round_of_every_peer_and_one_start(finished) -> None:
    store, _ = finished
    table = read_rounds(rounds_folder(store) / collaborate_peers.TABLE_NAME)
    assert table.num_rows == len(ROUND_METHODS) * (1 + 2) * 3
    starts = {
        tuple(row["test_global_accuracy"] for row in table.to_pylist() if (row["method"], row["round"]) == (name, 0))
        for name in ROUND_METHODS
    }
    assert len(starts) == 1
    manifest = json.loads((rounds_folder(store) / "manifest.json").read_text())
    assert manifest["metadata"]["fingerprint"] == fingerprint(table)
    assert {name for name in manifest["files"] if name.startswith("student-")} == {
        f"student-00{peer}.{end}" for peer in range(3) for end in ("safetensors", "json", "md")
    }


def test_the_report_has_every_method_and_no_missing_number(finished) -> None:
    _, report = finished
    page = (report / "report.html").read_text()
    text = " ".join(Page(page).text)
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert "None" not in text
    check_that_it_needs_nothing_from_elsewhere(page)
    for method in ROUND_METHODS.values():
        assert method.title in text
        assert method.source in text
    # Each method has a chart by round, and all together have one by samples and one by bytes.
    assert page.count('<div class="chart xy"') == len(ROUND_METHODS) + 2
    assert "Who taught whom" in text
    with (report / "methods.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["round"]) for row in rows] == [
        (name, str(round)) for name in ROUND_METHODS for round in range(3)
    ]
    metrics = json.loads((report / "metrics.json").read_text())
    last = next(row for row in rows if (row["method"], row["round"]) == ("fedavg", "2"))
    assert metrics["fedavg_mean_accuracy_pct"] == pytest.approx(100 * float(last["mean_test_accuracy"]), rel=1e-4)
    with (report / "classes.csv").open() as file:
        of_class = list(csv.DictReader(file))
    assert len(of_class) == len(ROUND_METHODS) * 3 * 10
    with (report / "teachers.csv").open() as file:
        taught = [
            row for row in csv.DictReader(file) if (row["method"], row["round"], row["peer"]) == ("fedavg", "1", "0")
        ]
    assert [row["is_accepted"] for row in taught] == ["true"] * 3
    assert sum(float(row["share"]) for row in taught) == pytest.approx(1, rel=1e-4)
    summary = (report / "summary.txt").read_text()
    assert max(map(len, summary.splitlines())) <= 100
    assert "one seed" in summary


def test_a_peer_is_published_with_its_card_and_can_be_exported(finished, tmp_path) -> None:
    store, _ = finished
    file = tmp_path / "peer.safetensors"
    lines = list(export_student(str(store), ExportRequest(student=2, format_name="safetensors", file=file)))
    assert lines[0].startswith(
        "Peer 2 of the rounds digits, seed 0. The peer took part in 2 rounds of joint distillation "
    )
    assert "bit for bit" in lines[-1]
    published = rounds_folder(store)
    card = from_json((published / "student-002.json").read_text())
    assert card.rounds is not None
    assert card.rounds.num_accepted == 2
    last = [row for row in read_rounds(published / collaborate_peers.TABLE_NAME).to_pylist() if row["peer"] == 2]
    row = next(row for row in last if (row["method"], row["round"]) == ("predictions", 2))
    assert card.accuracy_after == {name: row[name] for name in card.accuracy_after}
    text = (published / "student-002.md").read_text()
    assert text.startswith("# Peer 2\n")
    assert f"- Rounds: collaborate_peers/{published.name}, seed 0" in text
    with pytest.raises(ValueError, match=r"^teacher must not be given for a run of collaborate, .* got 1\.$"):
        list(
            export_student(
                str(store),
                ExportRequest(student=2, format_name="safetensors", file=file.with_name("b.safetensors"), teacher=1),
            )
        )
    with pytest.raises(ValueError, match=r"^student must be a peer of the study, from 0 to 2, got 3\.$"):
        list(
            export_student(
                str(store), ExportRequest(student=3, format_name="safetensors", file=file.with_name("b.safetensors"))
            )
        )


def cards_of(finished: tuple[Path, Path], method: str, *more: str) -> list[ModelCard]:
    """Return the cards of the peers if a method is the first one, which has a limit on losses at home."""
    store = open_store(str(finished[0]))
    (peers,) = (store.find(key) for key in store.keys() if key.startswith("pretrain_peers/"))  # noqa: SIM118
    assert peers is not None
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    table = read_rounds(rounds_folder(finished[0]) / collaborate_peers.TABLE_NAME)
    return list(
        round_cards(
            resolve(
                COLLABORATE,
                preset="digits",
                overrides=" ".join([TINY, f"rounds.methods=[{method}] rounds.max_own_drop=1", *more]),
            ),
            [row for row in table.to_pylist() if row["method"] == method],
            key="collaborate_peers/0a1b",
            fingerprint="c0ffee",
            peers=peers,
            partition=partition,
            dataset=open_dataset(store.fetch(dataset.key)),
            machine={"device": "cpu", "versions": {}},
        )
    )


def test_a_card_has_the_loss_of_every_method_that_uses_one(finished) -> None:
    for method, alpha, target in (
        ("predictions", 0.9, "p is the target"),
        ("pairwise", 0.5, "p = softmax(teacher logits / T)"),
    ):
        text = cards_of(finished, method)[0].to_markdown()
        assert f" with T = 1 and alpha = {alpha}, topology complete" in text
        assert "- Alpha is the weight of D: w = alpha." in text
        assert target in text
    assert "alpha" not in cards_of(finished, "fedavg")[0].to_markdown()


def test_a_card_says_that_predictions_were_trimmed(finished) -> None:
    trimmed = cards_of(finished, "predictions")[0].to_markdown()
    assert "- Predictions are joined by a trimmed mean: " in trimmed
    assert "trimmed" not in cards_of(finished, "predictions", "rounds.trimmed_fraction=0")[0].to_markdown()


def test_a_card_claims_no_limit_that_does_not_apply(finished) -> None:
    assert "was at most 100 points below that before" in cards_of(finished, "alone")[0].to_markdown()
    assert "The peer accepted a round if it was finite;" in cards_of(finished, "pooled")[0].to_markdown()


def test_a_card_counts_only_rounds_with_a_proposal(finished) -> None:
    # Two of the three peers are a pair in each of the two rounds.
    of_cards = [card.rounds for card in cards_of(finished, "def_kt")]
    assert sum(each.num_rounds for each in of_cards) == 4
    assert all(each.num_accepted <= each.num_rounds for each in of_cards)


def test_a_study_can_start_from_the_peers_after_their_rounds(finished) -> None:
    store, _ = finished
    key = f"collaborate_peers/{rounds_folder(store).name}"
    found = find_published(
        resolve(COLLABORATE, preset="digits", overrides=f"{TINY_DATA} peers.from={key}"), open_store(str(store))
    )
    assert found is not None
    assert found.files == tuple(f"student-00{peer}.safetensors" for peer in range(3))


def test_a_plan_has_the_samples_and_bytes_of_the_run(finished) -> None:
    store, _ = finished
    config = resolve(COLLABORATE, preset="digits", overrides=TINY)
    sizes = prepare(config, None).samples
    expected = forecast_rounds(config, sizes)
    rows = read_rounds(rounds_folder(store) / collaborate_peers.TABLE_NAME).to_pylist()
    totals = {
        name: [
            sum(sum(row[column] for column in columns) for row in rows if row["method"] == name)
            for columns in (("num_own_samples", "num_public_samples"), ("sent_bytes",), ("received_bytes",))
        ]
        for name in ROUND_METHODS
    }
    for name, (num_samples, num_sent, num_received) in totals.items():
        assert num_received == pytest.approx(expected.received_bytes[name], rel=0.02), name
        # A plan counts weights as files, which have a header. It counts too much where teachers are random, peers have
        # no pair, all peers share one ensemble, no public sample has labels, or an aggregator is random.
        is_exact = name not in ("pairwise", "def_kt", "feddf", "idkd", "dfml")
        assert num_samples <= 1.02 * expected.num_training_samples[name], name
        if is_exact:
            assert num_samples == pytest.approx(expected.num_training_samples[name], rel=0.02), name
            assert num_sent == pytest.approx(expected.sent_bytes[name], rel=0.02), name


def test_the_run_is_listed_with_its_result(finished) -> None:
    store, report = finished
    runs = list_runs(open_store(str(store)), notify=pytest.fail)
    assert [(run.pipeline, run.is_finished, run.stages_left) for run in runs] == [("collaborate", True, ())]
    assert runs[0].headline.startswith("predictions: mean accuracy ")
    assert runs[0].headline.endswith("in 2 rounds")
    assert find_run(runs, report.name) is runs[0]


def test_the_study_of_a_seed_has_the_accuracies_after_the_last_round(finished) -> None:
    store = open_store(str(finished[0]))
    (study,) = measured_studies(finished_runs(list_runs(store, notify=pytest.fail), store), store)
    rows = read_rounds(rounds_folder(finished[0]) / collaborate_peers.TABLE_NAME).to_pylist()
    for name, method in ROUND_METHODS.items():
        last = [row for row in rows if (row["method"], row["round"]) == (name, 2)]
        for scope in ("global", "own"):
            found = study.values[Quantity(f"{scope} accuracy, {method.title}", is_accuracy=True)]
            assert found.tolist() == [row[f"test_{scope}_accuracy"] for row in last], name


def test_a_repeated_run_computes_nothing(finished, capsys) -> None:
    store, report = finished
    config = resolve(COLLABORATE, preset="digits", overrides=TINY)
    assert run_in_process(config, str(store)) == f"report_rounds/{report.name}"
    assert capsys.readouterr().out.count("already done") == 4


def test_other_fields_of_the_rounds_share_the_peers(finished) -> None:
    config = resolve(COLLABORATE, preset="digits", overrides=TINY)
    store = open_store(str(finished[0]))
    (peers,) = (store.find(key) for key in store.keys() if key.startswith("pretrain_peers/"))  # noqa: SIM118
    keys = {
        collaborate_peers.key(resolve(COLLABORATE, preset="digits", overrides=f"{TINY} {changed}"), peers)
        for changed in ("", "rounds.alpha=0.4", "rounds.topology.kind=ring", "rounds.max_own_drop=0.1", "seed=0")
    }
    assert collaborate_peers.key(config, peers) in keys
    assert len(keys) == 4
