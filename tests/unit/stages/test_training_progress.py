from peerkd.metrics.progress import Progress
from peerkd.metrics.recorder import recording_to
from peerkd.stages.training_progress import TrainingProgress
from tests.unit.metrics.recorded import Recorded


def test_trainings_that_resume_diverge_or_were_done_before_add_up_to_all_steps() -> None:
    recorded = Recorded()
    with recording_to(recorded):
        total = Progress("pretrain_peers", unit="epochs", total=5 * 4, write=lambda stage, text: None)
        progress = TrainingProgress(total, num_steps=4)
        progress.recover(1)
        progress.follow(1)
        assert recorded.values["epochs_done"] == 8
        # The first training resumes after its second epoch.
        progress.advance("resumed", num_done=3, num_samples=100, gpu_bytes=(10, 20))
        assert (recorded.values["epochs_done"], recorded.values["epochs_total"]) == (11, 1)
        progress.advance("diverged", num_done=1, num_samples=50, gpu_bytes=(5, 6))
        assert (recorded.values["gpu_memory_used_bytes"], recorded.values["gpu_memory_peak_bytes"]) == (15, 26)
        assert progress.end("diverged") == 1
        assert recorded.values["epochs_done"] == 15
        progress.advance("resumed", num_done=4, num_samples=100, gpu_bytes=(11, 21))
        assert (recorded.values["gpu_memory_used_bytes"], recorded.values["gpu_memory_peak_bytes"]) == (11, 21)
        assert progress.end("resumed") == 4
        assert progress.end("not necessary") == 0
    assert recorded.values["epochs_done"] == 20
    assert recorded.values["epochs_left"] == 0
    assert recorded.values["samples_total"] == 250
