"""The model card: both forms have the same facts."""

import json
from dataclasses import replace

import pytest

from peerkd.reporting.model_card import CardSetting, ModelCard, from_json

NAMES = [f"{split}_{scope}" for split in ("validation", "test") for scope in ("global", "own")]
CARD = ModelCard(
    student=3,
    decision="distil",
    setting=CardSetting(
        teacher=7,
        transfer_set="both",
        temperature=4.0,
        alpha=0.5,
        distillation_weight=0.5,
        learning_rate=0.02,
        epochs=3,
        num_transfer_samples=214,
    ),
    is_reproduced=True,
    file="student-003.safetensors",
    architecture="small_cnn",
    num_parameters=6138,
    image_shape=(1, 8, 8),
    class_names=("zero", "one"),
    channel_mean=(0.25,),
    channel_std=(0.5,),
    accuracy_before={f"{name}_accuracy": 0.5 for name in NAMES},
    accuracy_after={f"{name}_accuracy": 0.625 for name in NAMES},
    num_samples=dict.fromkeys(NAMES, 1234),
    chosen_by="global accuracy",
    max_own_drop=None,
    loss="loss = w * D + (1 - w) * CE",
    conventions=("Alpha is the weight of D: w = alpha.",),
    seed=5,
    fingerprints={"data set": "ab" * 32},
    trials="distill_pairs/0a1b",
    device="cpu",
    versions={"torch": "2.11.0"},
)
CONTROL = replace(CARD.setting, temperature=None, alpha=0.0, distillation_weight=0.0)


def test_a_card_comes_back_from_its_json():
    for card in (CARD, replace(CARD, decision="leave", setting=None, is_reproduced=None)):
        assert from_json(card.to_json()) == card


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.pop("seed"),
        lambda values: values.update(format=1),
        lambda values: values.update(more=1),
        lambda values: values.pop("format"),
        lambda values: values["setting"].pop("alpha"),
    ],
)
def test_another_text_is_refused(spoil):
    values = json.loads(CARD.to_json())
    spoil(values)
    for text in (json.dumps(values), "[]", "{"):
        with pytest.raises(ValueError, match="A model card must have format 2"):
            from_json(text)


def test_the_page_has_the_facts_that_a_reader_needs():
    page = CARD.to_markdown()
    assert (
        "The student learned from peer 7 with transfer set both, T=4, alpha=0.5; 3 epochs, learning rate 0.02" in page
    )
    assert "repeated for this file to the same bits" in page
    for split in ("validation", "test"):
        for scope in ("global", "own"):
            assert f"| {scope} {split} | 1,234 | 50.0 % | 62.5 % |" in page
    for fact in ("small_cnn, 6,138 parameters", "1 x 8 x 8", "[0.25]", "[0.5]", "zero, one", "ab" * 32, "torch 2.11.0"):
        assert fact in page
    assert 'load_file("student-003.safetensors")' in page
    assert "- Alpha is the weight of D: w = alpha." in page


@pytest.mark.parametrize(("name", "title"), [(None, "3"), ("3", "3"), ("north", "3: north")])
def test_the_page_is_titled_with_the_name_that_the_user_knows(name, title):
    assert replace(CARD, student_name=name).to_markdown().startswith(f"# Student {title}\n")


def test_a_control_is_called_fine_tuning_and_shows_no_loss_of_a_teacher():
    page = replace(CARD, decision="fine_tune", setting=CONTROL).to_markdown()
    assert "was fine-tuned without a teacher on transfer set both of peer 7; 3 epochs" in page
    assert "CE" not in page


def test_a_training_towards_the_old_self_names_no_teacher():
    setting = replace(CARD.setting, transfer_set="student_and_public", target="student")
    words = "learned from its old self, without a teacher, with transfer set student_and_public, T=4, alpha=0.5, target"
    assert setting.in_words() == f"{words} student; 3 epochs, learning rate 0.02"
    of_peer = replace(setting, transfer_set="both").in_words()
    assert "target student, data of peer 7; 3 epochs" in of_peer


@pytest.mark.parametrize(
    ("card", "sentence"),
    [
        (replace(CARD, setting=None, decision="leave", is_reproduced=None), "The student was left unchanged: on valid"),
        (replace(CARD, is_reproduced=False), "ends in other bits, and the accuracies below are those of this file"),
        (replace(CARD, is_reproduced=None), "The study had not trained this trial as far"),
    ],
)
def test_the_page_says_how_far_the_study_judged_this_network(card, sentence):
    assert sentence in card.to_markdown()


def test_the_page_says_how_the_training_was_chosen():
    assert "The choice was made by the student's global accuracy on validation; test data" in CARD.to_markdown()
    limited = replace(CARD, max_own_drop=0.025).to_markdown()
    assert "on validation, under the limit that its own accuracy drops by at most 2.5 points; test data" in limited
    assert "A person has named this training" in replace(CARD, chosen_by=None).to_markdown()
