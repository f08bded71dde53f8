import pytest

from tests.faults.generate_configs import Case, complaint, generate


def test_generated_configs_and_command_lines_are_accepted_or_refused_in_one_sentence() -> None:
    complaints = {case: told for case in generate(17, 50) if (told := complaint(case))}
    assert not complaints


def test_the_same_seed_gives_the_same_cases() -> None:
    assert [case.arguments for case in generate(3, 20)] == [case.arguments for case in generate(3, 20)]


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (RuntimeError("a defect"), "ended with RuntimeError: a defect"),
        (RecursionError(), "ended with RecursionError: "),
        (ValueError("no sentence\nat all"), "no sentence: "),
        (ValueError(f"Too much{' of it' * 1000}."), "6009 characters: "),
        (SystemExit(1), "ended with 1: "),
    ],
)
def test_a_command_that_does_not_answer_in_a_sentence_is_found(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, found: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("peerkd.config.resolve.load", fail)
    monkeypatch.setattr("peerkd.cli.exit_codes.sentence", str)
    told = complaint(Case(("config", "show")))
    assert told is not None
    assert told.startswith(found)


def test_a_difference_between_the_shown_and_the_read_config_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerkd.config.resolve.to_yaml", lambda experiment: f"seed: {experiment.seed + 1}\n")
    told = complaint(Case(("config", "show")))
    assert told is not None
    assert told.startswith("shown otherwise when read back")
