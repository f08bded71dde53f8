"""Sinks of measurements for people: TensorBoard, MLflow and Weights & Biases, each in the module of its name.

A library is imported only if the config asks for its sink. A sink that fails never stops a run.
"""
