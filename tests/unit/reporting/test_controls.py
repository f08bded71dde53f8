from peerkd.reporting import controls


def test_a_control_is_one_with_labels_and_exists_only_there():
    assert controls.control(("student",)) == "its fine-tuning without a teacher on the best transfer set"
    assert controls.control(("student", "public_unlabelled")).endswith("on the best transfer set with labels")
    assert controls.control(("public_unlabelled",)) == ""


def test_a_control_that_imitates_exists_without_labels_too():
    assert controls.control(("public_unlabelled",), num_imitations=1) == "its best training without a teacher"
    assert controls.control_name(0) == "fine-tuning without a teacher"
    assert controls.kinds_of_controls(0, 12) == ""
    assert controls.kinds_of_controls(5, 12).endswith("old self for 5 of 12 pairs, and fine-tuning for 7.")
