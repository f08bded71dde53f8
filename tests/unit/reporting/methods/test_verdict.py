"""The verdict on a study of methods: who leads, with ties, how sure this is, and what it took."""

from dataclasses import replace

from peerkd.reporting.methods.findings import compute_findings
from peerkd.reporting.methods.verdict import leaders, sentences
from tests.curves import MethodStudy


def test_the_highest_mean_leads_with_its_ties(method_findings):
    assert leaders(method_findings, "small_cnn") == {"pcl"}
    scores = dict(method_findings.comparison.scores)
    scores["small_cnn", "dml", "deployed"] = scores["small_cnn", "pcl", "deployed"]
    tied = replace(method_findings, comparison=replace(method_findings.comparison, scores=scores))
    assert leaders(tied, "small_cnn") == {"pcl", "dml"}


def test_the_verdict_has_the_numbers_of_the_findings(method_study, method_findings):
    first, cost = sentences(method_findings, method_study.facts)
    mean = method_findings.comparison.scores["small_cnn", "pcl", "deployed"].spread.mean
    assert first == (
        f"The highest mean test accuracy of 7 methods is {100 * mean:.2f} %, with PCL. Compared with Plain "
        "training, 1 of 6 methods is better beyond chance, 1 is worse, and 4 are undecided."
    )
    assert cost.startswith("It took 35 runs with 5 seeds, and ")


def test_each_architecture_has_its_own_sentence():
    study = MethodStudy(architectures=("small_cnn", "mlp"), methods=("plain", "pcl"), num_seeds=1, epochs=3)
    *said, _ = sentences(compute_findings(study.table, study.facts), study.facts)
    assert [each.partition(":")[0] for each in said] == ["With small_cnn", "With mlp"]
    assert all(each.endswith("With one seed, no difference can be distinguished from chance.") for each in said)


def test_a_single_method_leads_nobody():
    study = MethodStudy(methods=("plain",), num_seeds=1, epochs=3)
    found = compute_findings(study.table, study.facts)
    assert not leaders(found, "small_cnn")
    assert len(list(sentences(found, study.facts))) == 1
