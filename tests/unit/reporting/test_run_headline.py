from typing import Any

import pytest

from peerkd.reporting.run_headline import run_headline


@pytest.mark.parametrize(
    ("summary", "headline"),
    [
        ("digits: the student should learn in 3 of 6 pairs: two", "the student should learn in 3 of 6 pairs: two"),
        (
            {"experiment": "e", "num_pairs": 2.0, "num_pairs_to_distil": 0.0},
            "the student should learn in 0 of 2 ordered pairs",
        ),
        (
            {
                "experiment": "e",
                "num_pairs": 2.0,
                "num_pairs_to_distil": 1.0,
                "advised_over_best_control_points": -0.25,
            },
            "the student should learn in 1 of 2 ordered pairs, -0.2 points over the better control on test",
        ),
        (
            {
                "experiment": "e",
                "num_pairs": 2.0,
                "gain_from_teacher_points": 1.0,
                "gain_from_teacher_low_points": -1.0,
                "gain_from_teacher_high_points": 3.0,
            },
            "teacher's part of the best setting's gain +1.0 points (-1.0 to +3.0)",
        ),
        (
            {
                "experiment": "e",
                "num_peers": 4.0,
                "num_peers_to_distil": 1.0,
                "num_pairs": 12.0,
                "num_pairs_to_distil": 2.0,
            },
            "1 of 4 peers should learn from a teacher",
        ),
        ({"experiment": "e", "num_pairs": None}, ""),
        (
            {
                "study": "s",
                "baseline": "plain",
                **{
                    f"{name}_over_baseline{bound}_points": value
                    for name, values in {
                        "a": (1, 0.5, 2),
                        "b": (-1, -2, -0.5),
                        "c": (0, -1, 1),
                        "d": (1, None, None),
                    }.items()
                    for bound, value in zip(("", "_low", "_high"), values, strict=True)
                },
            },
            "against plain: 1 above, 1 below, 2 undecided",
        ),
        ({"study": "s", "baseline": "plain"}, ""),
        ({"another": "version"}, ""),
        (None, ""),
    ],
    ids=["tuned", "none", "advice", "earlier", "peers", "empty", "methods", "alone", "unknown", "missing"],
)
def test_the_result_of_a_run_is_one_phrase(summary: Any, headline: str) -> None:
    assert run_headline(summary) == headline
