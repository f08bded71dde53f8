from pathlib import Path

import pytest

from peerkd.artifacts import s3
from peerkd.artifacts.s3_retries import StoreRetries
from peerkd.errors import StoreUnavailableError
from peerkd.metrics.recorder import recording_to
from peerkd.stages.opened_store import open_stage_store
from tests.unit.metrics.recorded import Recorded


def test_a_store_that_does_not_answer_is_reported_and_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PEERKD_CACHE_FOLDER", str(tmp_path))
    for name, value in {"ENDPOINT": "http://127.0.0.1:1", "ACCESS_KEY": "a", "SECRET_KEY": "b"}.items():
        monkeypatch.setenv(f"PEERKD_S3_{name}", value)
    monkeypatch.setattr(s3, "StoreRetries", lambda *args, **kwargs: StoreRetries(*args, **{**kwargs, "seconds": 0.5}))
    taker = Recorded()
    with recording_to(taker), pytest.raises(StoreUnavailableError):
        open_stage_store("train_pcl", "s3://bucket/runs").find("train_pcl/12ab")
    assert capsys.readouterr().out.startswith("peerkd | train_pcl: the store http://127.0.0.1:1 does not answer")
    assert taker.values["store_errors_total"] >= 2
