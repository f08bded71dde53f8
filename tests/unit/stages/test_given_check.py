"""Refusals of peers that do not know every class, before any training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file
from torch import nn

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
            (["zebra", "dog"], None),
            {},
            r"peers\.given\[0\]\.classes must be classes that the data set has, got zebra, of which nobody has a "
            r"sample; its classes are cat, dog, owl\.",
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


def test_a_peer_with_weights_and_samples_of_none_of_its_classes_is_refused() -> None:
    given = [{"name": n, "network": "mlp", "weights": "a.pt", "classes": c} for n, c in (("a", None), ("b", NAMES[:2]))]
    config = ExperimentConfig.from_mapping({"peers": {"given": given}})
    with pytest.raises(
        ValueError,
        match=r"^peers\.given\[1\]\.classes must contain a class of the peer's own training samples, got cat, dog, and "
        r"its samples are of owl\.$",
    ):
        check_classes(config, LABELS, [np.arange(6), np.arange(2, 12, 3)], class_names=NAMES)


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


BUILT: list[int] = []


def probabilities(num_classes: int) -> nn.Module:
    """Build a network that returns probabilities, of which the check warns."""
    BUILT.append(num_classes)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes), nn.Softmax(dim=1))


def test_peers_with_one_network_and_the_same_weights_are_checked_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = probabilities(3).state_dict()
    paths = [tmp_path / f"{name}.safetensors" for name in "abcd"]
    for path, state in zip(paths, (first, probabilities(3).state_dict(), first, first), strict=True):
        save_file(state, path)
    network = f"{__name__}:probabilities"

    def num_built(*weights: Path) -> int:
        given = [
            {"name": f"p{number}", "network": network, "weights": str(path)} for number, path in enumerate(weights)
        ]
        BUILT.clear()
        check_given_peers(
            ExperimentConfig.from_mapping({"peers": {"given": given}}),
            weights,
            image_shape_CHW=(1, 8, 8),
            class_names=NAMES,
            stage="plan",
            num_processes=0,
        )
        return len(BUILT)

    # The first check of a network in a process also builds it once to describe it.
    num_built(*paths[:2])
    of_two_kinds = num_built(*paths[:2])
    capsys.readouterr()
    # A file that several peers name, and copies of it, have the same content.
    assert num_built(*paths, paths[0]) == of_two_kinds
    warned = [line.split(": ")[1] for line in capsys.readouterr().out.splitlines()]
    assert warned == [f"peer {peer} (p{peer})" for peer in (0, 2, 3, 4, 1)]
