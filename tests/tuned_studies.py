"""Tuned studies of a tiny experiment, with real trials and a simple tuner."""

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.results import choices
from peerkd.results.features import read_features
from peerkd.results.table import read_table
from peerkd.stages import improve_peers, report_choices, tune_pairs

OVERRIDES = (
    "partition.num_peers=4 data.max_train_samples=450 data.max_test_samples=150 pretrain.epochs=2 distill.epochs=4 "
    "peers.architectures=[mlp,mlp,small_cnn,mlp] sweep.temperatures=[1,4] sweep.alphas=[0.5,0.9] "
    "tune.budget_fraction=0.3 compute.num_workers=2 compute.device=cpu"
)
NUM_PAIRS, NUM_SETTINGS = 12, 12


def config(more=""):
    return resolve(JOINTKD, preset="digits", overrides=f"{OVERRIDES} {more}")


class Study:
    def __init__(self, store, manifest):
        self.store, self.manifest = store, manifest
        self.metadata, folder = manifest.metadata, store.fetch(manifest.key)
        self.names = set(manifest.files)
        self.trials = read_table(folder / tune_pairs.TRIALS_NAME).to_pylist()
        self.choices = choices.read_table(folder / tune_pairs.CHOICES_NAME, choices.CHOICES).to_pylist()
        self.curve = choices.read_table(folder / tune_pairs.CURVE_NAME, choices.CURVE).to_pylist()
        self.features = read_features(folder / tune_pairs.FEATURES_NAME)


def improve(settings, study):
    return improve_peers.STAGE.make(settings, study.manifest, study.store)


def report(settings, study):
    return report_choices.STAGE.make(settings, improve(settings, study), study.store)


def distillations(study):
    return [row for row in study.trials if row["distillation_weight"] > 0]


def identity(row):
    return tuple(row[name] for name in ("student", "teacher", "transfer_set", "temperature", "alpha"))


def with_setting(study):
    """Return the rows of the choices for pairs that have a setting, advised or not."""
    return [row for row in study.choices if row["transfer_set"] is not None]
