"""What may go wrong outside the code: a failure of an asset says which asset, what happened and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg


class PipelineError(RuntimeError):
    """Something outside is not as an asset needs it; the message says what, and what to do about it."""


@contextmanager
def clear_failure(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Turn a PipelineError into a Dagster failure that names the asset, without trying again: it would fail alike."""
    try:
        yield
    except PipelineError as error:
        where = f" [{context.partition_key}]" if context.has_partition_key else ""
        name = context.op_execution_context.op_def.name
        raise dg.Failure(f"{name}{where}: {error}", allow_retries=False) from error
