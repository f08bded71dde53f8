"""What the reports of every pipeline state about the run, besides its results."""

from collections.abc import Sequence
from typing import Any

from peerkd.artifacts import keys
from peerkd.artifacts.store import Manifest
from peerkd.config.strict import StrictConfig
from peerkd.stages.dataset import published_remarks


def common_facts(
    config: StrictConfig, *, results: Manifest, division: Manifest, dataset: Manifest, warnings: Sequence[str]
) -> dict[str, Any]:
    """Return the fields of ``RunFacts`` that are collected in the same way for every pipeline, keyed by name.

    Args:
        config: The whole experiment or study.
        results: The artifact with the results that the report describes.
        division: The partition or the split of the data set.
        dataset: The data set.
        warnings: Warnings about the data that are not published with the division.
    """
    described = division.metadata
    return {
        "config_fingerprint": keys.fingerprint(keys.differences(config, without=("compute",))),
        "versions": results.metadata["versions"],
        "device": results.metadata["device"],
        "machine": results.metadata["machine"],
        "class_names": tuple(described["class_names"]),
        "num_validation_samples": described["num_validation"],
        "num_test_samples": described["num_test"],
        "data_remarks": published_remarks(dataset),
        "data_warnings": (*described["warnings"], *warnings),
    }
