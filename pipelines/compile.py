"""Compile every pipeline to YAML: ``python -m pipelines.compile [FOLDER]``."""

import sys
from pathlib import Path

from kfp import compiler

from pipelines.collaborate.pipeline import collaborate
from pipelines.jointkd.pipeline import jointkd
from pipelines.pcl.pipeline import pcl

PIPELINES = {"jointkd": jointkd, "pcl": pcl, "collaborate": collaborate}


def compile_all(folder: Path) -> None:
    """Write ``<name>.yaml`` for each pipeline into ``folder``."""
    for name, pipeline in PIPELINES.items():
        compiler.Compiler().compile(pipeline, str(folder / f"{name}.yaml"))


if __name__ == "__main__":
    compile_all(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
