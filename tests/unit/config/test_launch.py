import json

import pytest

from peerkd.config.cluster import resolve_cluster
from peerkd.config.launch import LaunchConfig

PARAMETERS = {"backend": "auto", "num_workers": "", "gpus": "", "cluster": ""}


def described(**parameters: str) -> LaunchConfig:
    return LaunchConfig.from_parameters(**{**PARAMETERS, **parameters})


def test_an_empty_description_leaves_all_choices_to_the_operator() -> None:
    assert described() == LaunchConfig()
    assert LaunchConfig.from_json("{}") == LaunchConfig()


def test_parameters_survive_the_way_through_a_description() -> None:
    typed = {"backend": "kubernetes", "num_workers": "2", "gpus": "0", "cluster": "queue=q"}
    assert described(**typed).to_parameters() == typed
    assert LaunchConfig().to_parameters() == PARAMETERS


@pytest.mark.parametrize(
    "cluster",
    [
        "queue=research  memory_per_worker=8Gi",
        """'tolerations=[{"key": "gpu", "operator": "Exists"}]' node_selector.pool="a b" """,
        "'env=[{name: A, value: \"b=c\"}]' 'env=[{name: B, value: \"\\\\t\"}]'",
        '","num_workers":"64","x":"',
        "{{x}} $(HOME) %s {0}",
        "a=1\nb=2\ttab \\ backslash / slash \u00e9 \u6f22",
    ],
)
def test_no_character_of_the_clusters_settings_is_lost_or_read_as_another_setting(cluster: str) -> None:
    launch = described(num_workers="2", cluster=cluster)
    text = launch.to_json()
    assert "\n" not in text
    assert json.loads(text) == {"backend": "auto", "num_workers": 2, "gpus": None, "cluster": cluster}
    assert LaunchConfig.from_json(text) == launch


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"backend": "slurm"}, "backend must be one of auto, local, kubernetes, got slurm."),
        ({"num_workers": "two"}, "num_workers must be a whole number, got two."),
        ({"num_workers": "\u0663"}, "num_workers must be a whole number, got \u0663."),
        ({"num_workers": "9" * 5000}, "num_workers must be a whole number, got 999"),
        ({"gpus": "-1"}, "gpus must be a whole number, got -1."),
        ({"gpus": "1.5"}, "gpus must be a whole number, got 1.5."),
        (
            {"backend": "kubernetes", "num_workers": "0"},
            "num_workers must be at least 1 with the backend kubernetes, got 0, which runs stages in the calling ",
        ),
        (
            {"backend": "local", "gpus": "1"},
            "gpus must not be set unless the backend is kubernetes, got 1 with local: on one",
        ),
        (
            {"backend": "local", "cluster": "queue=q"},
            "cluster must not be set unless the backend is kubernetes, got queue=q ",
        ),
        ({"cluster": "queue={{$}}"}, "cluster must not contain {{$, which Kubeflow Pipelines would replace, got "),
    ],
)
def test_a_parameter_that_breaks_a_rule_is_refused_in_a_sentence(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+\.$") as refused:
        described(**parameters)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"service_account": "admin"}', 'service_account is not a key of the config, got "admin".'),
        ('{"volumes": []}', "volumes is not a key of the config, got []."),
        ('{"num_workers": "2"}', 'num_workers must be a whole number without quotes, as in 2, got "2".'),
        ("backend=local", "The config must be JSON, got "),
    ],
)
def test_a_description_has_no_other_fields(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+\.$") as refused:
        LaunchConfig.from_json(text)
    assert str(refused.value).startswith(message)


def test_a_description_gives_a_run_no_right_that_the_operator_does_not_allow() -> None:
    for cluster in ("service_account=admin", "'volumes=[{name: x, hostPath: {path: /}}]'"):
        with pytest.raises(ValueError, match="operator's settings"):
            resolve_cluster(LaunchConfig.from_json(described(cluster=cluster).to_json()), environment={})


@pytest.mark.parametrize("backend", ["kubernetes", "auto"])
def test_settings_of_jobs_are_accepted_where_there_may_be_jobs(backend: str) -> None:
    assert described(backend=backend, gpus="1", cluster="queue=q").gpus == 1


def test_blank_settings_of_jobs_are_accepted_on_this_machine() -> None:
    assert described(backend="local", gpus="0", cluster=" ").gpus == 0


def test_a_worker_that_is_the_calling_process_is_one_worker() -> None:
    launch = described(backend="local", num_workers="0")
    assert launch.is_in_process
    assert not described(backend="local").is_in_process
    assert resolve_cluster(launch, environment={"PEERKD_CLUSTER": "num_workers: 5"}).num_workers == 1
