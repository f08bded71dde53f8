"""Measurements reach every sink from a thread of its own, and a sink that fails is left out with one warning."""

import threading

from peerkd.metrics import names, recorder
from peerkd.metrics.progress import Progress
from peerkd.metrics.tracking.recorder import TrackingRecorder
from peerkd.metrics.tracking.sinks import TrackedRun

RUN = TrackedRun(name="digits-c0ffee00", stage="distill_pairs", config={"seed": 0}, folder=None)


class ListSink:
    """A sink that keeps what it gets. It fails at the value ``fails_at``."""

    def __init__(self, fails_at=None):
        self.fails_at, self.scalars, self.summary, self.is_closed = fails_at, [], {}, False

    def log_scalar(self, name, value, *, step):
        if value == self.fails_at:
            raise ConnectionError("the server is gone")
        self.scalars.append((name, value, step))

    def log_summary(self, values):
        self.summary = values

    def close(self):
        self.is_closed = True


def tracker(sinks, **options):
    return TrackingRecorder(RUN, sinks, open_=lambda name, _: sinks[name], **options)


def test_curves_have_the_steps_of_the_stage_and_the_rest_is_ignored():
    sinks = {"a": ListSink()}
    tracking = tracker(sinks, interval_seconds=0)
    with recorder.also_recording_to(tracking):
        recorder.progress("trials", num_new=3, num_done=3, num_left=7)
        recorder.losses({"loss": 0.5, "loss/kd": 0.25})
        recorder.samples(100)
        recorder.diverged()
        recorder.diverged()
    tracking.summarise({"gain_points": 1.5})
    tracking.close()
    assert sinks["a"].scalars == [
        ("distill_pairs/trials_done", 3, 3),
        ("distill_pairs/loss/loss", 0.5, 3),
        ("distill_pairs/loss/kd", 0.25, 3),
        ("distill_pairs/diverged_total", 1, 3),
        ("distill_pairs/diverged_total", 2, 3),
    ]
    assert sinks["a"].summary == {"gain_points": 1.5}
    assert sinks["a"].is_closed


def test_each_method_of_rounds_has_a_curve_over_the_rounds():
    sinks = {"a": ListSink()}
    tracking = tracker(sinks, interval_seconds=0)
    with recorder.also_recording_to(tracking):
        progress = Progress("collaborate_peers", unit="rounds", total=4, write=lambda stage, text: None)
        for method, share in (("fedavg", 0.5), ("alone", 0.25), ("fedavg", 0.75)):
            progress.advance()
            recorder.accuracy("validation", share, method=method)
    tracking.close()
    assert sinks["a"].scalars == [
        ("distill_pairs/accuracy_ratio/validation/fedavg", 0.5, 1),
        ("distill_pairs/accuracy_ratio/validation/alone", 0.25, 2),
        ("distill_pairs/accuracy_ratio/validation/fedavg", 0.75, 3),
    ]


def test_a_fast_stage_has_few_points_and_its_last_value():
    sinks, now = {"a": ListSink()}, [0.0]
    tracking = tracker(sinks, clock=lambda: now[0])
    for num in range(1, 101):
        now[0] = num / 64
        tracking.set(names.TRIALS_DONE, num)
    tracking.close()
    assert [value for _, value, _ in sinks["a"].scalars] == [1, 65, 100]


def test_a_sink_that_fails_is_left_out_with_one_warning(capsys):
    sinks = {"gone": ListSink(fails_at=2), "a": ListSink()}
    tracking = tracker(sinks, interval_seconds=0)
    for num in (1, 2, 3, 4):
        tracking.set(names.TRIALS_DONE, num)
    tracking.close()
    assert [value for _, value, _ in sinks["gone"].scalars] == [1]
    assert [value for _, value, _ in sinks["a"].scalars] == [1, 2, 3, 4]
    assert capsys.readouterr().out == (
        "peerkd | distill_pairs: warning: tracking with gone stopped, which affects no result: the server is gone\n"
    )


def test_a_sink_that_cannot_be_opened_does_not_stop_the_others(capsys):
    sinks = {"a": ListSink()}
    tracking = TrackingRecorder(RUN, ("missing", "a"), open_=lambda name, _: sinks[name])
    tracking.step(1)
    tracking.set(names.EPOCHS_DONE, 1)
    tracking.close()
    assert sinks["a"].scalars == [("distill_pairs/epochs_done", 1, 1)]
    assert "warning: tracking with missing stopped" in capsys.readouterr().out


def test_a_sink_that_hangs_delays_the_end_for_a_limited_time(capsys):
    released = threading.Event()

    class Hanging(ListSink):
        def log_scalar(self, name, value, *, step):
            released.wait(30)

    tracking = tracker({"a": Hanging()}, interval_seconds=0)
    tracking.set(names.TRIALS_DONE, 1)
    tracking.close(timeout_seconds=0.05)
    released.set()
    assert "warning: tracking did not end within 0.05 seconds" in capsys.readouterr().out


def test_a_slow_sink_loses_values_but_neither_the_last_ones_nor_the_summary(capsys):
    is_open, released = threading.Event(), threading.Event()
    sink = ListSink()

    def open_slowly(name, run):
        is_open.set()
        released.wait(30)
        return sink

    tracking = TrackingRecorder(RUN, ("a",), interval_seconds=0, open_=open_slowly, max_waiting=2)
    is_open.wait(30)
    for num in range(1, 8):
        tracking.set(names.TRIALS_DONE, num)
    tracking.summarise({"gain_points": 1.5})
    threading.Timer(0.05, released.set).start()
    tracking.close()
    # Two values wait, the last one is kept, and the four between them are lost.
    assert [value for _, value, _ in sink.scalars] == [1, 2, 7]
    assert sink.summary == {"gain_points": 1.5}
    assert capsys.readouterr().out == (
        "peerkd | distill_pairs: warning: tracking was too slow for 4 values, which no sink has received\n"
    )


def test_a_full_queue_delays_the_end_for_no_longer_than_the_limit(capsys):
    is_open, released = threading.Event(), threading.Event()

    def hang(name, run):
        is_open.set()
        released.wait(30)
        return ListSink()

    tracking = TrackingRecorder(RUN, ("a",), interval_seconds=0, open_=hang, max_waiting=1)
    is_open.wait(30)
    for num in (1, 2):
        tracking.set(names.TRIALS_DONE, num)
    tracking.close(timeout_seconds=0.05)
    released.set()
    assert "warning: tracking did not end within 0.05 seconds" in capsys.readouterr().out


def test_measurements_still_reach_the_recorder_before():
    first, second = ListSink(), ListSink()
    outer, inner = (tracker({"a": sink}, interval_seconds=0) for sink in (first, second))
    with recorder.recording_to(outer), recorder.also_recording_to(inner):
        recorder.accuracy("test", None)
    for each in (outer, inner):
        each.close()
    for sink in (first, second):
        ((name, value, step),) = sink.scalars
        assert (name, step) == ("distill_pairs/accuracy_ratio/test", 0)
        assert value != value
