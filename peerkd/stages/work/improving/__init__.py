"""The parts of the stage ``improve_peers``: the trial of each student, and the model cards."""
