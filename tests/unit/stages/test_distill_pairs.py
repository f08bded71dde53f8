from peerkd.artifacts import keys
from peerkd.artifacts.store import Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.sweep import SweepConfig
from peerkd.stages.distill_pairs import NAME, key

PEERS = Manifest(key="pretrain_peers/0123456789abcdef", files={}, metadata={})


def test_a_sweep_without_validation_by_epoch_or_rates_has_the_key_that_it_had_before_there_were_any() -> None:
    plain = ExperimentConfig()
    distill, augmentation = (getattr(plain, name).model_dump(mode="json") for name in ("distill", "augmentation"))
    sweep = {
        "temperatures": [1.0, 2.0, 4.0, 8.0],
        "alphas": [0.1, 0.3, 0.5, 0.7, 0.9],
        "transfer_sets": ["student", "teacher", "both"],
    }
    causes = {"peers": PEERS.fingerprint, "distill": distill, "augmentation": augmentation, "seed": 0, "sweep": sweep}
    assert key(plain, PEERS) == keys.key(NAME, causes)
    with_rates = plain.model_copy(update={"sweep": SweepConfig(learning_rates=(0.02,))})
    assert key(with_rates, PEERS) == keys.key(NAME, causes | {"sweep": sweep | {"learning_rates": [0.02]}})
    by_epoch = plain.model_copy(update={"sweep": SweepConfig(validate_every_epoch=True)})
    assert key(by_epoch, PEERS) == keys.key(
        NAME, causes | {"sweep": sweep | {"judged_every_epoch_on": ["validation", "test"]}}
    )
