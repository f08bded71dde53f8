"""A loss of a user's own module is a loss like any other."""

import pickle
from typing import Any

import pytest

from peerkd.artifacts import keys
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.losses import loss_config
from peerkd.config.resolve import override
from peerkd.losses.pairs import PAIR_LOSSES
from tests.pair_losses import WEIGHTED_BRIER

PATH = "tests.pair_losses:WEIGHTED_BRIER"


def config(**loss: Any) -> ExperimentConfig:
    return ExperimentConfig.from_mapping({"distill": {"loss": {"kind": PATH, **loss}}})


def test_a_path_finds_the_loss_and_names_it_by_its_code() -> None:
    found = PAIR_LOSSES[PATH]
    assert found.name.startswith(f"{PATH}@")
    assert found._replace(name=WEIGHTED_BRIER.name) == WEIGHTED_BRIER
    assert PAIR_LOSSES[found.name] == found
    assert list(PAIR_LOSSES) == [name for name in PAIR_LOSSES if ":" not in name]
    with pytest.raises(KeyError):
        PAIR_LOSSES["weighted_brier"]


def test_the_section_has_the_hyper_parameters_of_the_loss() -> None:
    assert config().distill.loss.parameters == {"trust": 2.0}
    assert config(trust=3).distill.term.parameters == {"trust": 3.0}
    assert override(ExperimentConfig(), [f"distill.loss.kind={PATH}", "distill.loss.trust=3"]) == config(trust=3)
    with pytest.raises(ValueError, match=r"^distill\.loss\.trust must be at least 0, got -1\."):
        config(trust=-1)


def test_a_config_with_it_survives_json_and_other_processes() -> None:
    tried = override(config(trust=3), [f"sweep.losses=[kl,{PATH}]"])
    assert tried.sweep.losses == ("kl", PAIR_LOSSES[PATH].name)
    assert tried.tried_losses[PAIR_LOSSES[PATH].name] == tried.distill.loss
    assert ExperimentConfig.from_json(tried.to_json()) == tried
    assert pickle.loads(pickle.dumps(tried)) == tried
    assert pickle.loads(pickle.dumps(loss_config(PATH))) == loss_config(PAIR_LOSSES[PATH].name)


def test_keys_contain_the_path_and_the_digest_of_the_code() -> None:
    found = keys.differences(config(), fields=("distill",))
    assert found == {"distill": {"loss": {"kind": PAIR_LOSSES[PATH].name}}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"distill": {"loss": {"kind": "tests.pair_losses:math"}}},
            "distill.loss.kind must name a PairLoss, got module from tests.pair_losses:math.",
        ),
        (
            {"sweep": {"losses": ["no_such:LOSS"]}},
            "sweep.losses[0] must name a module that this environment can import, and no_such raised "
            "ModuleNotFoundError: No module named 'no_such' (install the package, or start the command with PYTHONPATH "
            'set to the folder that contains the module), got "no_such:LOSS".',
        ),
    ],
)
def test_what_is_not_a_loss_is_refused_in_a_sentence(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^[ds]") as caught:
        ExperimentConfig.from_mapping(values)
    assert str(caught.value) == message
