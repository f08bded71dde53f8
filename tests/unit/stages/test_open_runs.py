from pathlib import Path

import pytest

from peerkd.launch.invocations.files import invoking
from peerkd.stages.open_runs import invocations_of


def test_an_invocation_belongs_to_the_store_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for output, store in (("runs", None), ("runs", "s3://bucket/a"), ("runs", "other"), ("other", None), ("far", None)):
        with invoking(Path(output), pipeline="pcl", experiment=f"{store} in {output}", stages=[], store=store):
            pass
    found = {
        address: [each.status.experiment for each in invocations_of(address)]
        for address in ("runs/", str(tmp_path / "other"), "s3://bucket/a/", "s3://bucket/b")
    }
    assert found == {
        "runs/": ["None in runs"],
        str(tmp_path / "other"): ["None in other", "other in runs"],
        "s3://bucket/a/": ["s3://bucket/a in runs"],
        "s3://bucket/b": [],
    }
    for file in (tmp_path / "far").glob("invocations/*/status.json"):
        # An earlier version did not record the store.
        file.write_text(file.read_text().replace(f'"store": "{tmp_path / "far"}"', '"store": ""'))
    assert [each.status.store for each in invocations_of("far")] == [""]
