"""Joint distillation: divide the data, train the peers, let every pair distil, report."""

from kfp import dsl

from components.build_report import build_report
from components.distill_pairs import distill_pairs
from components.partition_data import partition_data
from components.pretrain_peers import pretrain_peers


@dsl.pipeline(name="jointkd", description="Joint knowledge distillation between pre-trained peers.")
def jointkd(preset: str = "digits", overrides: str = "", config_json: str = "", store: str = "runs") -> str:
    """Run one experiment from data to report.

    Args:
        preset: Name of a preset: digits, cifar10_small or poster.
        overrides: key=value pairs parted by white space, as in "seed=3 sweep.alphas=[0.5,0.9]".
        config_json: A whole experiment as JSON, in place of a preset.
        store: Address of the artifact store.

    Returns:
        Key of the report in the store.
    """
    divided = partition_data(preset=preset, config_json=config_json, overrides=overrides, store=store)
    config = divided.outputs["Output"]
    trained = pretrain_peers(config_json=config, store=store, partition=divided.outputs["partition"])
    distilled = distill_pairs(config_json=config, store=store, peers=trained.outputs["peers"])
    reported = build_report(config_json=config, store=store, trials=distilled.outputs["trials"])
    return reported.outputs["Output"]
