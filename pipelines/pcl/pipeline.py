"""Peer collaborative learning: split the data, train every network by every method, compare the methods."""

from kfp import dsl

from components.compare_methods import compare_methods
from components.split_data import split_data
from components.train_pcl import train_pcl


@dsl.pipeline(name="pcl", description="Peer collaborative learning, beside its rivals and controls.")
def pcl(preset: str = "digits", overrides: str = "", config_json: str = "", store: str = "runs") -> str:
    """Run one study from data to report.

    Args:
        preset: Name of a preset: digits, cifar10_small, cifar100_resnet32, imagenet; "peerkd config presets" has all.
        overrides: key=value pairs parted by white space, as in "seed=3 methods=[plain,pcl]".
        config_json: A whole study as JSON, in place of a preset.
        store: Address of the artifact store.

    Returns:
        Key of the report in the store.
    """
    divided = split_data(preset=preset, config_json=config_json, overrides=overrides, store=store)
    config = divided.outputs["Output"]
    trained = train_pcl(config_json=config, store=store, split=divided.outputs["split"])
    compared = compare_methods(config_json=config, store=store, runs=trained.outputs["runs"])
    return compared.outputs["Output"]
