"""Materialize everything by command: `python -m bandit_pipeline.materialize [JOB] [--campaign NAME]`.

Runs are recorded in the Dagster instance of DAGSTER_HOME, where the UI shows them. The exit code is 1 when one failed.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence

import dagster as dg

from bandit_pipeline.definitions import defs
from bandit_pipeline.partitions import CAMPAIGNS, LOGGING_POLICIES

BY_LOG = ("ingest_obp",)
BY_CAMPAIGN = ("obp_replay_simulator", "compute_regret", "evaluate_ope")
WHOLE = (
    "conclude_experiments",
    "snapshot_posteriors",
    "export_decisions",
    "monitor_experiments",
    "ingest_online_retail",
)


def runs(campaigns: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield every job with each of its partitions, in the order of the graph."""
    for job in BY_LOG:
        for campaign in campaigns:
            for policy in LOGGING_POLICIES:
                yield job, dg.MultiPartitionKey({"campaign": campaign, "policy": policy})
    for job in BY_CAMPAIGN:
        for campaign in campaigns:
            yield job, campaign
    for job in WHOLE:
        yield job, None


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for, one run after the other, and say how each ended."""
    parser = argparse.ArgumentParser(prog="python -m bandit_pipeline.materialize", description=__doc__)
    parser.add_argument("job", nargs="*", metavar="JOB", help="only these jobs")
    parser.add_argument("--campaign", choices=CAMPAIGNS, action="append", help="only this campaign (repeatable)")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.job) - {*BY_LOG, *BY_CAMPAIGN, *WHOLE}:
        parser.error(
            f"there is no job {', '.join(sorted(unknown))}; there are {', '.join([*BY_LOG, *BY_CAMPAIGN, *WHOLE])}"
        )
    failed = 0
    with dg.DagsterInstance.get() as instance:
        for job, partition in runs(chosen.campaign or CAMPAIGNS):
            if chosen.job and job not in chosen.job:
                continue
            ended = _run(instance, job, partition)
            failed += not ended
    return int(failed > 0)


def _run(instance: dg.DagsterInstance, job: str, partition: str | None) -> bool:
    name = job if partition is None else f"{job} [{partition}]"
    result = defs.resolve_job_def(job).execute_in_process(
        partition_key=partition, instance=instance, raise_on_error=False
    )
    sys.stdout.write(f"{'done' if result.success else 'FAILED'}: {name}\n")
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.user_failure_data:
            sys.stdout.write(f"  {event.step_failure_data.user_failure_data.description}\n")
    sys.stdout.flush()
    return result.success


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
