"""The parts of the stage ``improve_peers``: the candidates for each student, and the model cards."""
