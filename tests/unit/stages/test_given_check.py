"""Refusals of peers that do not know every class, before any training."""

from typing import Any

import numpy as np
import pytest

from peerkd.config.experiment import ExperimentConfig
from peerkd.stages import given_check
from peerkd.stages.given_check import check_classes, check_given_peers

NAMES = ("cat", "dog", "owl")
LABELS = np.array([0, 1, 2] * 4)


def check(*classes: list[str] | None, weights: str | None = "a.pt", **sections: Any) -> None:
    given = [
        {"name": f"peer {number}", "network": "mlp", "weights": weights, "classes": each}
        for number, each in enumerate(classes)
    ]
    config = ExperimentConfig.from_mapping({"peers": {"given": given}, **sections})
    train = [np.arange(6), np.arange(6, 12)]
    check_classes(config, LABELS, train, class_names=NAMES)


def test_peers_with_overlapping_classes_take_part() -> None:
    check(["owl", "cat"], ["dog", "owl"])
    check(["owl", "cat", "dog"], None, distill={"loss": {"kind": "reverse_kl"}})


@pytest.mark.parametrize(
    ("classes", "changes", "expected"),
    [
        (
            (["cat", "dgo"], None),
            {},
            r"peers\.given\[0\]\.classes must be classes that the data set has \(did you mean dog\?\), got dgo, of "
            r"which nobody has a sample\.",
        ),
        (
            (["cat", "dog"], ["owl", "dog"]),
            {"distill": {"loss": {"kind": "reverse_kl"}}},
            r"distill\.loss\.kind must be kl or ctkd if a peer does not know every class, got reverse_kl, and peer 0 "
            r"\(peer 0\) knows 2 of 3\.",
        ),
        ((["cat", "dog"], None), {"sweep": {"temperatures": [2_000.0]}}, r"sweep\.temperatures must be at most 1000 "),
        (
            (["cat", "dog"], None),
            {"weights": None},
            r"peers\.given\[0\]\.classes must contain all classes of the peer's own training samples if it has no "
            r"weights, got none of owl\.",
        ),
    ],
)
def test_a_peer_that_cannot_take_part_is_refused(classes: Any, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{expected}"):
        check(*classes, **changes)


def test_two_peers_without_a_common_class_are_refused() -> None:
    given = [
        {"name": "a", "network": "mlp", "weights": "a.pt", "classes": ["cat", "dog"]},
        {"name": "b", "network": "mlp", "weights": "b.pt", "classes": ["owl", "fox"]},
    ]
    config = ExperimentConfig.from_mapping({"peers": {"given": given}})
    with pytest.raises(ValueError, match=r"^peers\.given\[1\]\.classes must have a class in common .* peer 0 \(a\) k"):
        check_classes(config, LABELS, [LABELS, LABELS], class_names=("cat", "dog", "owl", "fox"))


def test_a_step_without_torch_leaves_the_check_of_networks_to_the_workers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(given_check, "find_spec", lambda _: None)
    given = [{"name": name, "network": "no.such.module:build"} for name in "ab"]
    config = ExperimentConfig.from_mapping({"peers": {"given": given}})
    check_given_peers(config, [None, None], image_shape_CHW=(1, 8, 8), class_names=NAMES, stage="partition_data")
    assert capsys.readouterr().out == (
        "peerkd | partition_data: torch is not installed here, so networks and weights are checked when pretrain_peers "
        "begins\n"
    )
