"""The files of monitoring agree with each other, with the table of metrics, and with the runbooks."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from peerkd.metrics.names import GROUP_LABELS, METRICS
from tests.manifests.monitoring import (
    DASHBOARDS,
    FOLDER,
    FOREIGN,
    ROOT,
    alerts,
    load_yaml,
    metric_names,
    queries,
    rules,
)

RUNBOOKS = ROOT / "docs" / "runbooks.md"
WITHOUT_ALERT = "Runs that fail in a driver"
"""The runbook of something that only the page of Kubeflow Pipelines and ``peerkd watch`` show."""
OURS = {metric.name for metric in METRICS}
THEIRS = {name for names in FOREIGN.values() for name in names}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}
IN_RULES = {name for rule in rules() for name in metric_names(rule["expr"])}
IN_DASHBOARDS = {name for query in queries() for name in metric_names(query.text)}


def sections() -> dict[str, str]:
    _, *texts = re.split(r"^## ", RUNBOOKS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {text.partition("\n")[0]: text.partition("\n")[2] for text in texts}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("up == 0", {"up"}),
        ('sum by (a, b) (rate(x_total{c="d_e"}[5m])) / on (a) group_left (r) y:z:sum', {"x_total", "y:z:sum"}),
        ("histogram_quantile(0.9, sum by (le) (rate(h_bucket[1h]))) > 3600", {"h_bucket"}),
        ("a unless on (p) b == 1 or (time() - c) / 1e3 and vector(2.5)", {"a", "b", "c"}),
        ('label_replace(m{q!=""}, "pod", "$1", "x_pod", "(.*)")', {"m"}),
    ],
)
def test_the_reader_of_queries_finds_metrics_and_nothing_else(query: str, names: set[str]) -> None:
    assert metric_names(query) == names


def test_rules_and_dashboards_use_only_metrics_that_exist() -> None:
    assert IN_RULES | IN_DASHBOARDS <= OURS | THEIRS | RECORDED


def test_every_metric_of_peerkd_is_used_by_a_rule_or_a_dashboard() -> None:
    assert not OURS - IN_RULES - IN_DASHBOARDS


def test_every_foreign_metric_and_every_recorded_one_is_used() -> None:
    assert not THEIRS - IN_RULES - IN_DASHBOARDS
    assert not RECORDED - IN_RULES - IN_DASHBOARDS


def test_the_rules_for_the_operator_equal_the_plain_ones() -> None:
    wanted = load_yaml("rules.yaml")
    assert load_yaml("prometheusrule.yaml")["spec"] == wanted, "The rules have changed: run `make rules`."


def test_sums_over_time_use_the_interval_at_which_they_are_recorded() -> None:
    (group,) = (each for each in load_yaml("rules.yaml")["groups"] if each["name"] == "peerkd-gpus")
    seconds = int(group["interval"].removesuffix("s"))
    (rule,) = (each for each in group["rules"] if each["record"] == "run:peerkd_gpu_seconds:interval")
    assert rule["expr"] == f"run:peerkd_gpus:sum * {seconds}"
    per_hour = [query.text for query in queries() if "run:peerkd_cost:interval" in query.text and "* " in query.text]
    assert [text.rpartition("* ")[2] for text in per_hour] == [str(3600 // seconds)]


def test_every_pool_has_one_price_and_pods_without_a_pool_have_one_too() -> None:
    prices = [rule.get("labels", {}).get("pool", "") for rule in rules() if rule.get("record", "").endswith(":price")]
    assert "" in prices
    assert len(prices) == len(set(prices)) > 1


@pytest.mark.parametrize("name", alerts())
def test_an_alert_has_a_severity_a_meaning_and_a_link_to_its_runbook(name: str) -> None:
    alert = alerts()[name]
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"].endswith(f"/docs/runbooks.md#{name.lower()}")
    for key in ("summary", "description"):
        assert alert["annotations"][key].strip().endswith(".")


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert sorted(sections()) == sorted([*alerts(), WITHOUT_ALERT])


@pytest.mark.parametrize("name", sections())
def test_a_runbook_gives_the_meaning_the_diagnosis_and_the_fix(name: str) -> None:
    assert re.findall(r"^\*\*(\w+)\.\*\*", sections()[name], flags=re.MULTILINE) == ["Meaning", "Diagnosis", "Fix"]


def test_kubectl_accepts_the_commands_of_the_runbooks() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl here")
    shown = re.findall(r"`(kubectl [^`]+)`", RUNBOOKS.read_text(encoding="utf-8"))
    assert len(shown) > 15
    for command in shown:
        words = shlex.split(command.partition("|")[0])[1:]
        # No server listens there. A valid command fails for this reason and no other.
        ended = subprocess.run(
            [kubectl, *words, "--server=http://127.0.0.1:1", "--request-timeout=5s"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "refused" in ended.stderr, (command, ended.stderr)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_depends_on_no_particular_installation(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    dashboard = json.loads(text)
    assert text == json.dumps(dashboard, indent=2, sort_keys=True) + "\n"
    assert "uid" not in dashboard
    assert "id" not in dashboard
    assert set(re.findall(r'"uid": "([^"]*)"', text)) == {"${datasource}"}
    first, *others = dashboard["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    run = next(each for each in others if each["name"] == "run")
    assert run["definition"] == run["query"]["query"] == "label_values(peerkd_worker_info, run)"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_do_not_overlap_and_have_descriptions(path: Path) -> None:
    panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    taken = [
        (panel["gridPos"]["x"] + i, panel["gridPos"]["y"] + j)
        for panel in panels
        for i in range(panel["gridPos"]["w"])
        for j in range(panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert {x for x, _ in taken} <= set(range(24))
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["description"].endswith(".")
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGHIJ"[: len(panel["targets"])])


def test_a_dashboard_uses_each_of_its_variables_and_no_other() -> None:
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        declared = {each["name"] for each in dashboard["templating"]["list"]} - {"datasource"}
        used = {
            name
            for query in queries()
            if query.dashboard == path.stem
            for name in re.findall(r"\$([a-z]\w*)", query.text)
        }
        assert used == declared, path.stem


def test_every_dashboard_is_in_one_config_map() -> None:
    generated = [
        file for each in load_yaml("kustomization.yaml")["configMapGenerator"] for file in each.get("files", [])
    ]
    assert generated == [f"dashboards/{path.name}" for path in DASHBOARDS]
    assert len(DASHBOARDS) == 4


def test_both_kinds_of_prometheus_scrape_the_same_targets_with_the_same_labels() -> None:
    monitor = load_yaml("podmonitor.yaml")["spec"]
    worker, gateway = load_yaml("prometheus.yaml")["scrape_configs"]
    (discovery,) = worker["kubernetes_sd_configs"]
    selected = monitor["selector"]["matchLabels"]
    assert discovery["selectors"][0]["label"] == ",".join(f"{key}={value}" for key, value in selected.items())
    assert monitor["attachMetadata"] == discovery["attach_metadata"] == {"node": True}
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert worker["relabel_configs"][0]["regex"] == endpoint["port"] == "metrics"
    (job, *relabelings) = endpoint["relabelings"]
    assert job == {"targetLabel": "job", "replacement": worker["job_name"]}
    snake = [
        {re.sub("[A-Z]", lambda found: "_" + found[0].lower(), key): value for key, value in each.items()}
        for each in relabelings
    ]
    # The operator itself selects the port, omits pods that have ended, and sets namespace and pod.
    assert worker["relabel_configs"][4:] == snake
    pushed = load_yaml("servicemonitor.yaml")["spec"]
    assert gateway["honor_labels"] is pushed["endpoints"][0]["honorLabels"] is True
    assert gateway["kubernetes_sd_configs"][0]["selectors"][0]["label"] == ",".join(
        f"{key}={value}" for key, value in pushed["selector"]["matchLabels"].items()
    )


def test_the_run_is_a_label_of_the_info_metric_and_of_summaries_only() -> None:
    assert [metric.name for metric in METRICS if "run" in metric.labels] == ["peerkd_worker_info"]
    assert GROUP_LABELS == ("run", "stage")


def test_kustomize_builds_the_component(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl here")
    shutil.copytree(FOLDER, tmp_path / "monitoring")
    (tmp_path / "base").mkdir()
    settings = {
        "name": "peerkd",
        "namespace": "peerkd",
        "literals": ["A=b"],
        "options": {"disableNameSuffixHash": True},
    }
    (tmp_path / "base" / "kustomization.yaml").write_text(yaml.safe_dump({"configMapGenerator": [settings]}))
    site = {"resources": ["base"], "components": ["monitoring"], "namespace": "elsewhere"}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(site))
    built = subprocess.run(
        [kubectl, "kustomize", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert built.returncode == 0, built.stderr
    objects = list(yaml.safe_load_all(built.stdout))
    assert {each["metadata"]["namespace"] for each in objects} == {"elsewhere"}
    maps = {each["metadata"]["name"]: each for each in objects if each["kind"] == "ConfigMap"}
    assert maps.pop("peerkd")["data"] == {"A": "b", "PEERKD_PUSHGATEWAY": "http://peerkd-pushgateway:9091"}
    dashboards = list(maps.values())
    assert list(maps) == [f"peerkd-dashboard-{path.stem}" for path in DASHBOARDS]
    for each in dashboards:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        (content,) = each["data"].values()
        assert json.loads(content)["panels"]
    (rule,) = (each for each in objects if each["kind"] == "PrometheusRule")
    assert rule["spec"] == load_yaml("rules.yaml")
