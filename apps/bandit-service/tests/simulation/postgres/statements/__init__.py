"""A model in Python for each statement: what it reads, what it waits for, what it writes, what it returns."""

# The models of a file are there once it is imported.
from . import batches, events, experiments, leases, periods, producers, reading, settling, units, weights
from .registry import Model, Result, UnmodelledStatementError, model_of

__all__ = [
    "Model",
    "Result",
    "UnmodelledStatementError",
    "batches",
    "events",
    "experiments",
    "leases",
    "model_of",
    "periods",
    "producers",
    "reading",
    "settling",
    "units",
    "weights",
]
