"""The artifact with a few images of each class, and of each peer if there are peers. The reports show them."""

import base64
import json
from typing import Any, Final

import numpy as np

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.sample_images import sample_images
from peerkd.reporting.facts import PeerSamples, SampleStrip

KIND: Final = "sample_images"

_FILE_NAME: Final = "strips.json"


def publish_samples(
    division_key: str, dataset: ImageDataset | RawDataset, assignment: Assignment, store: ArtifactStore
) -> Manifest:
    """Publish sample images of a partition or a split, unless the store has them already.

    They are an artifact of their own, so that the fingerprint of a partition depends on the partition alone.
    """
    key = keys.key(KIND, {"partition": division_key})
    if done := store.find(key):
        return done
    strips = sample_images(dataset.read_images, np.asarray(dataset.labels_N), assignment.train)
    values = [{**strip._asdict(), "data": base64.b64encode(strip.data).decode()} for strip in strips]
    with store.open_workspace(key) as workspace:
        (workspace.folder / _FILE_NAME).write_text(json.dumps(values), encoding="utf-8")
        return store.publish(key, metadata={"num_strips": len(strips)})


def find_samples(division: Manifest, names: tuple[str, ...], store: ArtifactStore) -> tuple[PeerSamples, ...]:
    """Return the sample images of each peer that has some.

    A partition or split that an earlier version of the program made has none.

    Args:
        division: The partition or, for a study of methods, the split, in which all training samples belong to a single
            peer.
        names: What each peer is called.
        store: The artifact store.
    """
    reference = division.metadata["inputs"].get("samples")
    if reference is None:
        return ()
    manifest = references.follow(reference, store)
    values: list[dict[str, Any]] = json.loads((store.fetch(manifest.key) / _FILE_NAME).read_text(encoding="utf-8"))
    class_names = division.metadata["class_names"]
    by_peer: dict[int, list[SampleStrip]] = {}
    for each in values:
        address = f"data:{each['media_type']};base64,{each['data']}"
        by_peer.setdefault(each["peer"], []).append(
            SampleStrip(class_names[each["class_index"]], each["num_images"], address)
        )
    return tuple(PeerSamples(names[peer], tuple(strips)) for peer, strips in by_peer.items())
