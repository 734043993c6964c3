"""What assets are divided by."""

import dagster as dg

CAMPAIGNS = ("all", "men", "women")
LOGGING_POLICIES = ("random", "bts")

campaigns = dg.StaticPartitionsDefinition(list(CAMPAIGNS))
logs = dg.MultiPartitionsDefinition(
    {"campaign": campaigns, "policy": dg.StaticPartitionsDefinition([*LOGGING_POLICIES])}
)


def log_partition(context: dg.AssetExecutionContext) -> tuple[str, str]:
    """Return the campaign and the logging policy of a run's partition."""
    key = context.partition_key
    if not isinstance(key, dg.MultiPartitionKey):
        raise TypeError(f"{key!r} is not a partition of a campaign and a logging policy")
    return key.keys_by_dimension["campaign"], key.keys_by_dimension["policy"]
