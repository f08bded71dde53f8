"""The contents of the report that compares methods: a page, a table, and the headline numbers."""

from dataclasses import replace

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.pcl import PclConfig
from peerkd.reporting.facts import MethodRunFacts, PclFacts
from peerkd.reporting.methods import html, tables
from peerkd.reporting.methods.findings import compute_findings
from peerkd.results.curves import read_curves
from peerkd.stages import train_pcl
from peerkd.stages.cost import Accounts
from peerkd.stages.report_stage import ReportContents
from peerkd.stages.sample_images import find_samples
from peerkd.stages.split_data import batch_warnings
from peerkd.stages.work.facts_of_runs import common_facts


def compute_contents(config: PclConfig, runs: Manifest, store: ArtifactStore, accounts: Accounts) -> ReportContents:
    """Return the contents of the report that compares the methods of a study."""
    table = read_curves(store.fetch(runs.key) / train_pcl.CURVES_NAME)
    facts = replace(gather_facts(config, runs, store), cost=accounts.cost())
    findings = compute_findings(table, facts)
    return ReportContents(
        page=html.render(findings, facts),
        table=tables.methods_csv(findings),
        metrics=tables.metrics(findings),
        cost=facts.cost,
        summary=tables.summary(findings, facts),
        terminal_summary=tables.terminal_summary(findings, facts),
        line=f"{len(facts.runs)} runs compared",
    )


def gather_facts(config: PclConfig, runs: Manifest, store: ArtifactStore) -> PclFacts:
    """Collect everything that a report states besides the curves, such as the data and the runs.

    Args:
        config: The study.
        runs: The artifact with the runs. Its inputs lead to the split and the data set.
        store: The artifact store.
    """
    split = references.follow(runs.metadata["inputs"]["split"], store)
    dataset = references.follow(split.metadata["inputs"]["dataset"], store)
    described = split.metadata
    channels, height, width = described["image_shape"]
    return PclFacts(
        **common_facts(
            config,
            results=runs,
            division=split,
            dataset=dataset,
            warnings=batch_warnings(config, num_train=described["num_train"]),
        ),
        config=config,
        samples=find_samples(split, ("all training samples",), store),
        fingerprints={
            "data set": dataset.metadata["fingerprint"],
            "split": described["fingerprint"],
            "runs": runs.fingerprint,
            "curves": runs.metadata["fingerprint"],
        },
        image_shape=(channels, height, width),
        num_train_samples=described["num_train"],
        runs=tuple(MethodRunFacts(**record) for record in runs.metadata["runs"]),
    )
