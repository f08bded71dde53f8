from peerkd.config.cluster import ClusterConfig
from peerkd.launch.doctor.access import launcher_permissions
from peerkd.launch.kubernetes.kinds import JOB_KINDS
from peerkd.launch.kubernetes.kinds.choice import find_kind
from peerkd.launch.kubernetes.kinds.samplejob import SAMPLEJOB
from peerkd.launch.kubernetes.manifest import manifest_for
from peerkd.launch.order import StageOrder


def test_the_settings_name_it() -> None:
    settings = ClusterConfig.from_mapping({"job_kind": "samplejob"})
    assert find_kind(settings.job_kind) is SAMPLEJOB


def test_the_manifest_is_one_of_this_kind() -> None:
    order = StageOrder(stage="distill_pairs", config_json="{}", store="s3://b/p", inputs={}, key="distill_pairs/1")
    manifest = manifest_for(order, ClusterConfig(image="registry.example/trainer:1"), kind=SAMPLEJOB, environment={})
    assert manifest.job["kind"] == "SampleJob"
    assert [each.resource.plural for each in manifest.prerequisites] == ["configmaps"]


def test_reaper_and_doctor_know_it() -> None:
    assert SAMPLEJOB in JOB_KINDS
    assert "samplejobs" in {each.resource.plural for each in launcher_permissions(JOB_KINDS)}
