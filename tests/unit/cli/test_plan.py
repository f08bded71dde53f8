import json
import subprocess
import sys
from pathlib import Path

import pytest

import peerkd as public
from peerkd.cli import plan as plan_module
from peerkd.cli.plan_lines import peer_lines
from peerkd.cli.plan_price import forecast_price, why_unknown
from peerkd.config.cluster import ClusterConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.config.pipelines import COLLABORATE
from peerkd.config.resolve import override, resolve
from peerkd.stages.planning import PlannedPeer
from peerkd.training import process_pool
from peerkd.training.forecast import PartitionSizes, Rates
from peerkd.training.forecast_rounds import forecast_rounds, recipe_to_measure, rounds_seconds
from peerkd.training.forecast_study import RunRates
from peerkd.wording import format_duration
from tests.unit.cli.conftest import Outcome
from tests.unit.cli.test_main import BAD_INPUTS


def value(outcome: Outcome, name: str) -> str:
    (line,) = [line for line in outcome.out.splitlines() if line.strip().startswith(name)]
    return line.strip().removeprefix(name).split()[0]


def test_the_digits_sweep_is_planned(peerkd, tmp_path: Path) -> None:
    outcome = peerkd("plan", "jointkd", "--no-measure")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert value(outcome, "ordered pairs") == "90"
    assert value(outcome, "settings per pair") == "60"
    assert value(outcome, "trials") == "5,590"
    assert "190 of them controls" in outcome.out
    assert "per second" not in outcome.out
    assert list(tmp_path.iterdir()) == []


def test_the_price_of_requests_is_planned_for_a_store_in_s3_alone(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, each in (("ENDPOINT", "http://localhost:9000"), ("ACCESS_KEY", "key"), ("SECRET_KEY", "secret-key")):
        monkeypatch.setenv(f"PEERKD_S3_{name}", each)
    options = ("plan", "jointkd", "--no-measure", "--set", "partition.num_peers=2")
    assert "Requests to a store in S3" in peerkd(*options, "--store", "s3://bucket/runs").out
    assert "S3" not in peerkd(*options).out


def test_a_hundred_peers_are_planned_without_torch() -> None:
    script = (
        "import sys; from peerkd.cli.main import main\n"
        "sys.argv = 'peerkd plan jointkd --no-measure --set partition.num_peers=100'.split()\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join({'torch', 'kfp', 'pyarrow'} & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "613,900" in ended.stdout


def test_without_pillow_the_missing_extra_is_named() -> None:
    script = (
        "import sys; sys.modules['PIL'] = None; from peerkd.cli.main import main\n"
        "sys.argv = 'peerkd plan jointkd --no-measure --set data.source=image_folder --set data.path=.'.split(); main()"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    told = "peerkd: Reading images needs Pillow, which is not installed here; install peerkd[data].\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", told)


def test_a_command_names_the_extra_of_a_package_that_it_lacks() -> None:
    script = (
        "import sys; sys.modules['kfp'] = None; from peerkd.cli.main import main\n"
        "sys.argv = 'peerkd run jointkd'.split(); main()"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        2,
        "",
        "peerkd: This command needs the package kfp, which is not installed here; install peerkd[pipeline], or "
        "peerkd[local] for everything that a run on this machine needs.\n",
    )


@pytest.mark.parametrize(("arguments", "message"), BAD_INPUTS)
def test_a_bad_input_is_reported_as_by_a_run(peerkd, arguments: list[str], message: str) -> None:
    expected = message.replace("{folder}", str(Path.cwd()))
    assert peerkd("plan", "jointkd", *arguments) == Outcome(2, "", f"peerkd: {expected}\n")


def test_an_impossible_partition_is_reported_before_anything_is_printed(peerkd) -> None:
    outcome = peerkd("plan", "jointkd", "--set", "partition.num_peers=108")
    assert (outcome.exit_code, outcome.out) == (2, "")
    assert outcome.err.startswith("peerkd: partition.num_peers must be at most 107, so that each has 10 of the 1,078")


def test_a_missing_data_set_is_reported(peerkd) -> None:
    outcome = peerkd("plan", "jointkd", "--preset", "cifar10_small", "--set", "data.path=nowhere")
    assert (outcome.exit_code, outcome.out) == (2, "")
    assert outcome.err.startswith("peerkd: data.path: ")


@pytest.mark.parametrize("has_torch", [True, False])
@pytest.mark.parametrize("options", [(), ("--measure",)])
def test_rates_become_hours(peerkd, monkeypatch: pytest.MonkeyPatch, has_torch: bool, options: tuple[str, ...]) -> None:
    monkeypatch.setattr(plan_module, "find_spec", lambda _: object() if has_torch else None)
    rates = Rates(0.0, 3600 / 2_419_032, 0.0, 0.0)
    monkeypatch.setattr(process_pool, "run_in_processes", lambda *_, **__: iter([("small_cnn", rates)]))
    outcome = peerkd("plan", "jointkd", "--set", "compute.num_workers=4", "--set", "compute.device=cpu", *options)
    if options and not has_torch:
        assert outcome == Outcome(2, "", "peerkd: measure must be false if torch is not installed, got true.\n")
        return
    assert outcome.exit_code == 0
    if has_torch:
        assert value(outcome, "hours on one CPU core") == "1.00"
        assert "15 min  4 in parallel" in outcome.out
        assert "distillation 672" in outcome.out
    else:
        assert "hours" not in outcome.out


def test_rates_are_measured_in_a_process_of_their_own(peerkd) -> None:
    options = ("partition.num_peers=2", "peers.architectures=[mlp]", "sweep.temperatures=[1]", "sweep.alphas=[0.5]")
    outcome = peerkd("plan", "jointkd", "--measure", *(word for each in options for word in ("--set", each)))
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert float(value(outcome, "hours on one CPU core")) < 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.4, "1 s"), (89.0, "89 s"), (110.0, "2 min"), (7_000, "117 min"), (7_200, "2 h"), (180_000, "2 d 2 h")],
)
def test_times_have_readable_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_plan_says_that_the_grid_may_become_longer(peerkd) -> None:
    outcome = peerkd("plan", "jointkd", "--no-measure", "--set", "sweep.extend=true")
    assert "values beyond its edges; their trials are not counted" in outcome.out
    assert value(outcome, "trials") == "5,590"


@pytest.mark.parametrize("pipeline", ["jointkd", "collaborate"])
def test_a_plan_of_several_seeds_says_that_it_is_about_one(peerkd, pipeline: str) -> None:
    outcome = peerkd("plan", pipeline, "--no-measure", "--set", "num_seeds=3")
    assert value(outcome, "seeds") == "3"
    others = [line for line in outcome.out.splitlines() if "complete studies" not in line]
    assert others == peerkd("plan", pipeline, "--no-measure").out.splitlines()


def test_learning_rates_multiply_settings_and_controls(peerkd) -> None:
    rates = ("--set", "sweep.learning_rates=[0.005,0.02,0.08]")
    one, three = (peerkd("plan", "jointkd", "--no-measure", *options) for options in ((), rates))
    assert value(three, "learning rates") == "3"
    assert "0.005, 0.02, 0.08" in three.out
    assert "learning rates" not in one.out
    assert value(three, "settings per pair") == "180"
    assert value(three, "trials") == f"{3 * 5_590:,}"
    assert "570 of them controls" in three.out
    num_samples = [int(value(each, "distillation").replace(",", "")) for each in (one, three)]
    assert num_samples[1] == 3 * num_samples[0]
    # A default rate that is not in the list is included: controls and the default have it.
    other = peerkd("plan", "jointkd", "--no-measure", "--set", "sweep.learning_rates=[0.1]")
    assert value(other, "settings per pair") == "63"
    assert "380 of them controls" in other.out


def test_rounds_are_planned_with_the_bytes_that_peers_exchange(peerkd) -> None:
    options = ("--set", "rounds.methods=[fedavg,alone,predictions]", "--set", "rounds.topology.kind=ring")
    outcome = peerkd("plan", "collaborate", "--no-measure", *options)
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert (value(outcome, "rounds  "), value(outcome, "partners of a peer")) == ("10", "2")
    # In 10 rounds of 3 epochs: the own samples of a peer are 3 batches, and the 202 public ones 7.
    num_own = round(809 * 7 / 3)
    assert value(outcome, "rounds of alone") == value(outcome, "rounds of fedavg") == f"{num_own * 30:,}"
    assert value(outcome, "rounds of predictions") == f"{(num_own + 10 * 202) * 30:,}"
    assert value(outcome, "alone") == "0"
    assert "5.0 MiB received" in outcome.out


def test_rounds_are_measured_with_their_own_recipe() -> None:
    config = resolve(COLLABORATE, overrides="rounds.epochs=7 rounds.temperature=2 peers.architectures=[mlp]")
    measured = recipe_to_measure(config)
    assert (measured.distill.epochs, measured.sweep.temperatures, measured.networks) == (7, (2.0,), config.networks)
    sizes = PartitionSizes((10,) * 10, 5, 5, 20, 0, 200, (1, 8, 8), 10)
    rates = {PeerNetwork("mlp"): Rates(1.0, 10.0, 100.0, 0.0)}
    rounds = override(config, ["rounds.methods=[predictions]", "rounds.num_rounds=2", "pretrain.epochs=3"])
    # Pre-training 3 x 100 samples; 2 rounds of 7 epochs on 100 own and 10 x 20 public samples; 2 x 10 x 20 predicted.
    assert rounds_seconds(forecast_rounds(rounds, sizes), rates, rounds) == 300 + 14 * 300 * 10 + 400 * 100
    # Peers that choose settings also predict the public samples before and after each training, to judge it.
    chosen = override(rounds, ["rounds.tune.enabled=true"])
    assert forecast_rounds(chosen, sizes).num_predicted_samples == {"predictions": 1200}


def test_a_study_of_methods_is_planned(peerkd) -> None:
    outcome = peerkd("plan", "pcl", "--no-measure", "--set", "methods=[plain,dml,pcl]", "--set", "num_seeds=2")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert value(outcome, "runs") == "6"
    samples = {method: int(value(outcome, method + "  ").replace(",", "")) for method in ("plain", "dml", "pcl")}
    # dml trains three networks; pcl has three views, and its mean network predicts each of them once more.
    assert (samples["dml"], samples["pcl"]) == (3 * samples["plain"], 6 * samples["plain"])


@pytest.mark.parametrize(("settings", "parallel"), [("num_seeds=2", 4), ("num_seeds=1", 2)])
def test_the_rates_of_a_study_of_methods_become_hours(
    peerkd, monkeypatch: pytest.MonkeyPatch, settings: str, parallel: int
) -> None:
    rates = {"plain": RunRates(training=1e-3, evaluation=0.0), "pcl": RunRates(training=3e-3, evaluation=1e-3)}
    told = [(f"small_cnn by {method}", each) for method, each in rates.items()]
    monkeypatch.setattr(process_pool, "run_in_processes", lambda *_, **__: iter(told))
    options = ("compute.num_workers=5", "compute.device=cpu", "methods=[plain,pcl]", settings, "training.epochs=20")
    outcome = peerkd("plan", "pcl", "--measure", *(word for each in options for word in ("--set", each)))
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert "small_cnn by pcl      training 333, evaluation 1,000" in outcome.out
    # 503 samples are trained on in each epoch, and 1,294 are evaluated.
    seconds = parallel / 2 * 20 * (503 * (1e-3 + 3e-3) + 1_294 * 1e-3)
    assert float(value(outcome, "hours on one CPU core")) == pytest.approx(seconds / 3600, abs=5e-4)
    # There are five processes, and fewer runs.
    assert f"{parallel} in parallel" in outcome.out


@pytest.mark.parametrize("pipeline", ["jointkd", "pcl", "collaborate"])
def test_the_facts_of_a_plan_are_printed_as_json(peerkd, monkeypatch: pytest.MonkeyPatch, pipeline: str) -> None:
    facts = json.loads(peerkd("plan", pipeline, "--no-measure", "--json", "--set", "num_seeds=2").out)
    assert (facts["pipeline"], facts["num_seeds"], facts["measured"]) == (pipeline, 2, None)
    expected = public.plan(public.load(pipeline, overrides={"num_seeds": 2}))
    assert facts["work"]["dataset_bytes"] == expected.dataset_bytes
    assert facts["work"]["num_evaluation_samples"] == expected.num_evaluation_samples
    assert facts["work"]["samples"]["image_shape_CHW"] == [1, 8, 8]


def test_the_measured_duration_is_part_of_the_json(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = Rates(1e-3, 0.0, 0.0, 0.0)
    monkeypatch.setattr(process_pool, "run_in_processes", lambda *_, **__: iter([("small_cnn", rates)]))
    options = ("compute.num_workers=4", "compute.device=cpu", "pretrain.epochs=2")
    words = [word for each in options for word in ("--set", each)]
    facts = json.loads(peerkd("plan", "jointkd", "--strategy", "tune", "--measure", "--json", *words).out)
    assert facts["strategy"] == "tune"
    assert facts["measured"] == {
        "device": "cpu",
        "seconds_per_sample": {"small_cnn": rates._asdict()},
        "seconds_in_one_process": pytest.approx(2 * 1_078 * 1e-3),
        "num_in_parallel": 4,
        "seconds_on_this_machine": pytest.approx(2 * 1_078 * 1e-3 / 4),
        "price_on_cluster": None,
    }


def test_the_price_is_that_of_the_operators_settings(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        process_pool, "run_in_processes", lambda *_, **__: iter([("small_cnn", Rates(1.0, 0.0, 0.0, 0.0))])
    )
    options = ("--set", "compute.device=cpu", "--set", "pretrain.epochs=100")
    hours = 100 * 1_078 / 3600
    monkeypatch.setenv("PEERKD_CLUSTER", "{price_per_worker_hour: 0.5, price_per_gpu_hour: 4, cpu_per_worker: 2}")
    outcome = peerkd("plan", "jointkd", "--measure", *options)
    assert float(value(outcome, "price on the cluster")) == pytest.approx(0.5 * hours / 2, abs=0.005)
    assert "if each core is as fast as here" in outcome.out
    facts = json.loads(peerkd("plan", "jointkd", "--measure", "--json", *options).out)
    assert facts["measured"]["price_on_cluster"] == pytest.approx(
        {"worker_hours": hours / 2, "gpu_hours": 0, "money": 0.5 * hours / 2}
    )
    monkeypatch.setenv("PEERKD_CLUSTER", "{price_per_gpu_hour: 4, gpus_per_worker: 8}")
    outcome = peerkd("plan", "jointkd", "--measure", *options)
    assert value(outcome, "price on the cluster") == "unknown"


@pytest.mark.parametrize(
    ("device", "settings", "price"),
    [
        ("cuda", {"gpus_per_worker": 4, "price_per_gpu_hour": 3, "price_per_worker_hour": 1}, (2.0, 8.0, 26.0)),
        ("cuda", {"price_per_gpu_hour": 3, "price_per_worker_hour": 1}, None),
        ("cpu", {"cpu_per_worker": "500m", "price_per_worker_hour": 1}, (16.0, 0.0, 16.0)),
        ("cpu", {"gpus_per_worker": 1, "price_per_gpu_hour": 3}, None),
        ("cpu", {"cpu_per_worker": "4"}, None),
        ("cpu", {"cpu_per_worker": "4", "price_per_gpu_hour": 3}, None),
    ],
)
def test_a_price_covers_what_the_workers_have(device: str, settings: dict, price: tuple[float, ...] | None) -> None:
    found = forecast_price(8 * 3600.0, device=device, settings=ClusterConfig.from_mapping(settings))
    assert found == (price if price is None else pytest.approx(price))
    has_prices = any(name.startswith("price_") for name in settings)
    why = why_unknown(device=device, settings=ClusterConfig.from_mapping(settings))
    assert bool(why) == (has_prices and price is None)


def test_a_tuned_study_is_planned_with_its_budget(peerkd) -> None:
    budget = ("--set", "tune.budget_fraction=0.1")
    outcome = peerkd("plan", "jointkd", "--no-measure", "--strategy", "tune", *budget)
    num_distilled = int(value(outcome, "distillation").replace(",", ""))
    # Controls are not part of the cost of which the budget is a fraction.
    assert 0.09 * num_distilled < int(value(outcome, "budget of the tuner").replace(",", "")) < 0.1 * num_distilled


def test_peers_with_names_are_listed_with_their_classes(peerkd) -> None:
    peers = [PlannedPeer("hall", {"cat": 1_200, "dog": 2}), PlannedPeer("shed", {"owl": 3})]
    assert list(peer_lines(peers)) == [
        "Training samples of each peer:",
        "  hall   1,202  cat 1,200, dog 2",
        "  shed       3  owl 3",
        "",
    ]
    assert list(peer_lines([PlannedPeer("0", {"cat": 1})])) == []
    (first, *_) = json.loads(peerkd("plan", "jointkd", "--no-measure", "--json").out)["peers"]
    assert first["name"] == "0"
    assert sum(first["class_counts"].values()) == 108
