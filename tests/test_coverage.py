"""Every module has tests: a test file with its name, another test that imports it, or one that is listed here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "tests" / "unit"

COVERED_BY = {
    "peerkd.api.figures": "docs/test_python.py",
    "peerkd.api.networks": "docs/test_python.py",
    "peerkd.api.notebooks": "unit/api/test_experiments.py",
    "peerkd.api.runs": "docs/test_python.py",
    "peerkd.api.tables": "docs/test_python.py",
    "peerkd.artifacts.filesystem_workspace": "unit/artifacts/test_filesystem.py",
    "peerkd.artifacts.redaction": "unit/artifacts/test_s3_faults.py",
    "peerkd.artifacts.s3_check": "unit/artifacts/test_check.py",
    "peerkd.artifacts.s3_workspace": "unit/artifacts/test_store.py",
    "peerkd.cli.command": "unit/cli/test_main.py",
    "peerkd.cli.commands.clusters": "unit/cli/test_help.py",
    "peerkd.cli.commands.experiments": "unit/cli/test_help.py",
    "peerkd.cli.commands.results": "unit/cli/test_help.py",
    "peerkd.cli.completion": "unit/cli/test_help.py",
    "peerkd.cli.compare": "pipelines/test_several_seeds.py",
    "peerkd.cli.exit_codes": "unit/cli/test_main.py",
    "peerkd.cli.export": "unit/stages/test_export_student.py",
    "peerkd.cli.note": "unit/cli/test_runs.py",
    "peerkd.cli.resuming": "unit/cli/test_runs.py",
    "peerkd.cli.places": "unit/stages/test_stored_runs.py",
    "peerkd.cli.cluster_checks": "unit/cli/test_doctor.py",
    "peerkd.cli.machine_checks": "unit/cli/test_doctor.py",
    "peerkd.artifacts.s3_cleaning": "unit/cli/test_clean_s3.py",
    "peerkd.cli.plan_lines": "unit/cli/test_plan.py",
    "peerkd.cli.plan_measured": "unit/cli/test_plan.py",
    "peerkd.config.collaborate_presets": "unit/config/test_collaborate.py",
    "peerkd.config.files": "unit/config/test_resolve.py",
    "peerkd.config.json_text": "unit/config/test_strict.py",
    "peerkd.config.own_paths": "unit/data/partition/test_own.py",
    "peerkd.config.peer_experiment": "unit/config/test_experiment.py",
    "peerkd.config.layers": "unit/config/test_resolve.py",
    "peerkd.config.round_tuning": "unit/training/rounds/test_suggestions.py",
    "peerkd.rounds.tuned_predictions": "unit/training/rounds/test_estimate.py",
    "peerkd.config.rule_texts": "unit/config/test_strict.py",
    "peerkd.config.tuning": "unit/config/test_experiment.py",
    "peerkd.config.unused": "unit/config/test_resolve.py",
    "peerkd.config.violations": "unit/config/test_strict.py",
    "peerkd.arrays": "unit/data/partition/test_checks.py",
    "peerkd.data.sources.arrays": "unit/data/sources/test_npz.py",
    "peerkd.data.sources.folders": "unit/data/sources/test_layout.py",
    "peerkd.data.sources.scaling": "unit/data/sources/test_npz.py",
    "peerkd.data.sources.splits": "unit/data/sources/test_layout.py",
    "peerkd.data.storage": "unit/data/test_dataset.py",
    "peerkd.launch.kubernetes.answers": "unit/launch/kubernetes/test_client.py",
    "peerkd.launch.kubernetes.monitor": "unit/launch/kubernetes/test_run.py",
    "peerkd.launch.kubernetes.stop": "unit/cli/test_stop.py",
    "peerkd.launch.kubernetes.transport": "unit/launch/kubernetes/test_client.py",
    "peerkd.launch.kubernetes.watching": "unit/launch/kubernetes/test_run_without_api.py",
    "peerkd.metrics.tracking.mlflow": "unit/metrics/tracking/test_sinks.py",
    "peerkd.metrics.tracking.tensorboard": "unit/metrics/tracking/test_sinks.py",
    "peerkd.metrics.tracking.wandb": "unit/metrics/tracking/test_sinks.py",
    "peerkd.stages.work.collaborating.histories": "pipelines/test_rounds_together.py",
    "peerkd.stages.work.collaborating.whole": "unit/stages/test_collaborate_peers.py",
    "peerkd.training.rounds.round_of_part": "unit/training/rounds/test_parts.py",
    "peerkd.training.rounds.partners": "unit/training/rounds/test_methods.py",
    "peerkd.config.round_partners": "unit/config/test_collaborate.py",
    "peerkd.stages.claimed_shard": "unit/stages/test_shard_queue.py",
    "peerkd.stages.finished_shards": "unit/stages/test_shard_queue.py",
    "peerkd.stages.tracking": "pipelines/test_in_process.py",
    "peerkd.models.pooling": "unit/models/test_blocks.py",
    "peerkd.reporting.environment": "unit/reporting/test_html.py",
    "peerkd.reporting.explored_figures": "unit/reporting/test_page_figures.py",
    "peerkd.reporting.figure_page": "unit/reporting/test_page_figures.py",
    "peerkd.reporting.mean_surface": "unit/reporting/test_explorer.py",
    "peerkd.reporting.facts": "unit/reporting/test_html.py",
    "peerkd.reporting.trial_results": "unit/reporting/test_explorer.py",
    "peerkd.reporting.scripts": "unit/reporting/test_html.py",
    "peerkd.reporting.methods.wording": "unit/reporting/methods/test_headline.py",
    "peerkd.reporting.rounds.findings": "unit/stages/test_collaborate_peers.py",
    "peerkd.reporting.rounds.html": "unit/stages/test_collaborate_peers.py",
    "peerkd.reporting.rounds.verdict": "unit/reporting/rounds/test_details.py",
    "peerkd.reporting.rounds.wording": "unit/reporting/rounds/test_details.py",
    "peerkd.reporting.rounds.tables": "unit/stages/test_collaborate_peers.py",
    "peerkd.reporting.index": "unit/cli/test_runs.py",
    "peerkd.results.divergence": "unit/reporting/test_findings.py",
    "peerkd.rounds.alone": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.def_kt": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.dfml": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.ds_fl": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.fedavg": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.feddf": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.fedmd": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.fedprox": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.idkd": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.joining": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.method": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.pairwise": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.pooled": "unit/training/rounds/test_methods.py",
    "peerkd.rounds.predictions": "unit/training/rounds/test_methods.py",
    "peerkd.stages.artifact_graph": "unit/stages/test_stored_runs.py",
    "peerkd.stages.build_report": "pipelines/test_jointkd.py",
    "peerkd.stages.clean_store": "unit/cli/test_clean.py",
    "peerkd.stages.exported_study": "unit/stages/test_export_student.py",
    "peerkd.stages.compared_runs": "pipelines/test_several_seeds.py",
    "peerkd.stages.run_wording": "unit/cli/test_runs.py",
    "peerkd.stages.store_index": "unit/cli/test_runs.py",
    "peerkd.stages.several_seeds": "pipelines/test_several_seeds.py",
    "peerkd.stages.hold_out": "unit/stages/test_division.py",
    "peerkd.stages.planning": "unit/cli/test_plan_as_run.py",
    "peerkd.stages.report_rounds": "unit/stages/test_collaborate_peers.py",
    "peerkd.stages.report_choices": "unit/stages/test_tune_pairs.py",
    "peerkd.stages.report_stage": "unit/stages/test_compare_methods.py",
    "peerkd.stages.work.build_report": "pipelines/test_jointkd.py",
    "peerkd.stages.work.compare_methods": "unit/stages/test_compare_methods.py",
    "peerkd.stages.work.compare_studies": "pipelines/test_several_seeds.py",
    "peerkd.stages.work.facts_of_runs": "unit/stages/test_compare_methods.py",
    "peerkd.stages.work.report_choices": "unit/stages/test_tune_pairs.py",
    "peerkd.stages.work.report_rounds": "unit/stages/test_collaborate_peers.py",
    "peerkd.stages.work.collaborate_peers": "unit/stages/test_collaborate_peers.py",
    "peerkd.stages.work.train_pcl": "pipelines/test_pcl.py",
    "peerkd.stages.work.tune_pairs": "unit/stages/test_tune_pairs.py",
    "peerkd.stages.work.tuning.choice_rows": "unit/stages/test_tune_pairs.py",
    "peerkd.stages.work.tuning.coordinator": "unit/stages/test_tune_pairs.py",
    "peerkd.stages.work.tuning.features": "unit/stages/test_tune_pairs.py",
    "peerkd.stages.work.tuning.iteration_history": "unit/stages/test_tune_pairs.py",
    "peerkd.stages.work.tuning.outcome": "unit/stages/work/tuning/test_study.py",
    "peerkd.training.cache_sizes": "unit/training/test_sweep.py",
    "peerkd.training.engines": "unit/training/test_sweep_equality.py",
    "peerkd.training.evaluate": "unit/training/test_sweep.py",
    "peerkd.training.fork_server": "unit/training/test_process_pool.py",
    "peerkd.training.improve": "unit/stages/test_improve_peers.py",
    "peerkd.training.online.processes": "pipelines/test_workers_together.py",
    "peerkd.stages.work.round_cards": "unit/stages/test_collaborate_peers.py",
    "peerkd.training.rounds.data": "unit/training/rounds/test_methods.py",
    "peerkd.training.rounds.round": "unit/training/rounds/test_methods.py",
    "peerkd.training.rounds.samples": "unit/training/rounds/test_methods.py",
    "peerkd.training.rounds.students": "unit/training/rounds/test_methods.py",
    "peerkd.training.stacked.linear": "unit/training/stacked/test_students.py",
    "peerkd.tuning.feasibility": "unit/tuning/test_pair_tuner.py",
    "peerkd.tuning.initial_design": "unit/tuning/test_pair_tuner.py",
    "peerkd.tuning.pair_basis": "unit/tuning/test_experience.py",
    "peerkd.version": "unit/api/test_experiments.py",
}
"""Modules that are tested through the modules that use them, each with the file of these tests."""


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "peerkd").rglob("*.py")):
        if not path.name.startswith("_"):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, and every name that it imports from one, which may be a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.fixture(scope="module")
def imported() -> set[str]:
    tests = [path for folder in ("unit", "docs", "pipelines") for path in (ROOT / "tests" / folder).rglob("test_*.py")]
    return set().union(*map(imports, tests))


def has_own_tests(path: Path) -> bool:
    place = path.relative_to(ROOT / "peerkd")
    return (UNIT / place.parent / f"test_{place.name}").is_file()


def test_every_module_has_tests(imported: set[str]) -> None:
    without = [name for name, path in modules() if not has_own_tests(path) and name not in imported]
    assert [name for name in without if name not in COVERED_BY] == []


def test_only_modules_without_tests_of_their_own_are_listed() -> None:
    paths = dict(modules())
    assert [name for name in COVERED_BY if name not in paths or has_own_tests(paths[name])] == []


def test_the_files_that_cover_others_exist() -> None:
    assert [file for file in COVERED_BY.values() if not (ROOT / "tests" / file).is_file()] == []


def test_imports_in_every_form_are_found(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text("import a.b\nfrom c import d\ndef f():\n    from e.f import g\n", encoding="utf-8")
    assert imports(file) == {"a.b", "c", "c.d", "e.f", "e.f.g"}
