"""A model in Python for each statement: what it reads, what it waits for, what it writes, what it returns."""

from . import events
from .registry import Model, Result, UnmodelledStatementError, model_of

__all__ = ["Model", "Result", "UnmodelledStatementError", "events", "model_of"]
