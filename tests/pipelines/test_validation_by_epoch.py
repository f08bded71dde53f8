"""A whole experiment validates every epoch, in one process."""

import json

from peerkd.results.features import read_features
from peerkd.results.schema import BY_EPOCH_COLUMNS
from tests.pipelines.experiments import NUM_TINY_TRIALS, TINY, trials


def test_a_sweep_that_validates_every_epoch_has_its_curves_and_the_features_of_its_pairs(run_here, tmp_path) -> None:
    output = tmp_path / "runs"
    assert run_here(output, (*TINY, "distill.epochs=2", "sweep.validate_every_epoch=true")) == 0
    table = trials(output)
    assert table.num_rows == NUM_TINY_TRIALS
    for (split, scope), name in BY_EPOCH_COLUMNS.items():
        lists = table[name].to_pylist()
        assert {len(values) for values in lists} == {2}
        assert [values[-1] for values in lists] == table[f"{split}_{scope}_accuracy_after"].to_pylist()
    (folder,) = output.glob("distill_pairs/*/")
    features = read_features(folder / "features.parquet")
    assert features.num_rows == 3 * 2
    names = ("student", "validation_global_accuracy_before")
    before = dict(zip(*(table[name].to_pylist() for name in names), strict=True))
    for row in features.to_pylist():
        assert row["student_accuracy"] == before[row["student"]]
        assert row["teacher_accuracy"] == before[row["teacher"]]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(manifest["files"]) == ["features.parquet", "trials.parquet"]
    num_training = sum({row["student"]: min(row["num_student_samples"], 256) for row in features.to_pylist()}.values())
    assert manifest["metadata"]["features_forward_samples"] > 3 * num_training > 0
