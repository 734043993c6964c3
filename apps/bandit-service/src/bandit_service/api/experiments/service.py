"""What people do with experiments: checked, written in one transaction, then brought into force."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import structlog

from bandit_core.rules import transitions
from bandit_core.rules.experiment import Experiment, namespace_of
from bandit_core.rules.experiment_requests import (
    Absence,
    Because,
    ConclusionRequest,
    ExperimentChange,
    NewArm,
    NewExperiment,
)
from bandit_core.rules.problems import Conflict, NotFound
from bandit_core.stopping import Verdict
from bandit_service.api.experiments import git
from bandit_service.api.experiments.schemas import ChangesFilter, Filter
from bandit_service.domain.api_key import ALL_NAMESPACES, Principal
from bandit_service.ledger.experiments import (
    AlreadyExistsError,
    Change,
    ExperimentsRepository,
    Page,
    Reason,
)

RULE = "stopping rule"
_SALT_BYTES = 16
log = structlog.get_logger(__name__)

type Transition = Callable[[Experiment], Experiment]


class DefinitionPublisher(Protocol):
    """Brings a committed definition into force."""

    async def publish(self, experiment: Experiment) -> None:
        """Copy it to where it is served from; an outage there is no error, it is repaired later."""
        ...


class Conclusions(Protocol):
    """Knows what the stopping rule says now."""

    async def verdict(self, experiment: Experiment) -> Verdict | None:
        """Return the verdict, None without a stopping rule; raise StoreUnavailableError if beliefs cannot be read."""
        ...


class Experiments:
    """Creates, reads and changes experiments.

    Whether a caller may see the namespace of an existing experiment is checked before a method is called. Every method
    raises PostgresUnavailableError while Postgres is away, and then nothing was changed.
    """

    def __init__(
        self,
        repository: ExperimentsRepository,
        mirror: DefinitionPublisher,
        conclusions: Conclusions,
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._repository = repository
        self._mirror = mirror
        self._conclusions = conclusions
        self._clock = clock
        self._entropy = entropy

    async def create(self, request: NewExperiment, principal: Principal) -> Experiment:
        """Create an experiment, which runs at once.

        Raises:
            Forbidden: another namespace; Invalid: fields that do not fit together; Conflict: the id is taken.
        """
        principal.require("admin", namespace_of(request.experiment_id))
        return await self._create(request, Reason(principal.name, "created", self._clock()))

    async def apply(self, file: git.File, why: str, principal: Principal) -> tuple[Experiment, bool]:
        """Make an experiment what a file in Git says, whatever its status, which stays.

        Returns:
            The experiment, and whether it was created.

        Raises:
            Forbidden: another namespace; Invalid: fields that do not fit together; Conflict: what cannot be changed.
        """
        experiment_id = file.experiment.experiment_id
        principal.require("admin", namespace_of(experiment_id))
        reason = Reason(principal.name, why, self._clock())
        try:
            return await self._write(
                "apply", experiment_id, lambda experiment: git.applied(experiment, file), reason
            ), False
        except NotFound:
            return await self._create(file.experiment, reason, git_fields=file.named), True

    async def _create(self, request: NewExperiment, reason: Reason, *, git_fields: tuple[str, ...] = ()) -> Experiment:
        draft = transitions.created(request, now=reason.at, salt=self._entropy(_SALT_BYTES).hex())
        draft = msgspec.structs.replace(draft, git_fields=git_fields)
        try:
            experiment = await self._repository.create(draft, reason, unit_salt=self._entropy(_SALT_BYTES))
        except AlreadyExistsError:
            raise Conflict(f"there is an experiment {draft.id!r} already") from None
        log.info("experiment_created", experiment_id=experiment.id, who=reason.who)
        await self._mirror.publish(experiment)
        return experiment

    async def read(self, experiment_id: str) -> Experiment:
        """Return an experiment; NotFound if there is none."""
        experiment = await self._repository.get(experiment_id)
        if experiment is None:
            raise _unknown(experiment_id)
        return experiment

    async def search(self, wanted: Filter, principal: Principal) -> tuple[list[Experiment], str | None]:
        """Return a page of the experiments that the caller may see, and the cursor of the next page."""
        namespace = wanted.namespace
        if principal.namespace != ALL_NAMESPACES:
            if namespace not in (None, principal.namespace):
                return [], None
            namespace = principal.namespace
        page = Page(wanted.limit + 1, namespace, wanted.status, wanted.cursor)
        found = await self._repository.search(page)
        shown = found[: wanted.limit]
        return shown, shown[-1].id if len(found) > len(shown) else None

    async def changes(self, experiment_id: str, wanted: ChangesFilter) -> list[Change]:
        """Return what was changed, newest first; NotFound if there is no such experiment."""
        changes = await self._repository.changes(experiment_id, limit=wanted.limit, before=wanted.before)
        if not changes:
            await self.read(experiment_id)
        return changes

    async def change(self, experiment_id: str, request: ExperimentChange, principal: Principal) -> Experiment:
        """Replace settings; Conflict if it is over or they are kept in Git, Invalid if they do not fit together."""
        return await self._apply(
            "change", experiment_id, request, principal, lambda experiment: transitions.changed(experiment, request)
        )

    async def add_arm(self, experiment_id: str, request: NewArm, principal: Principal) -> Experiment:
        """Add an arm; Conflict if it does not fit."""
        return await self._apply(
            "add_arm", experiment_id, request, principal, lambda experiment: transitions.with_arm(experiment, request)
        )

    async def retire_arm(self, experiment_id: str, arm_id: str, request: Absence, principal: Principal) -> Experiment:
        """Serve an arm no longer; Conflict if it cannot be spared."""

        def transition(experiment: Experiment) -> Experiment:
            return transitions.without_arm(experiment, arm_id, request)

        return await self._apply("retire_arm", experiment_id, request, principal, transition)

    async def pause_arm(self, experiment_id: str, arm_id: str, request: Absence, principal: Principal) -> Experiment:
        """Serve an arm no longer until it is resumed; Conflict if it cannot be spared."""

        def transition(experiment: Experiment) -> Experiment:
            return transitions.without_arm(experiment, arm_id, request, "paused")

        return await self._apply("pause_arm", experiment_id, request, principal, transition)

    async def resume_arm(self, experiment_id: str, arm_id: str, request: Because, principal: Principal) -> Experiment:
        """Serve a paused or retired arm again; Conflict if it does not fit."""

        def transition(experiment: Experiment) -> Experiment:
            return transitions.with_arm_back(experiment, arm_id)

        return await self._apply("resume_arm", experiment_id, request, principal, transition)

    async def pause(self, experiment_id: str, request: Because, principal: Principal) -> Experiment:
        """Serve the default arm until resumed; Conflict for an experiment that is over."""
        return await self._apply("pause", experiment_id, request, principal, transitions.paused)

    async def resume(self, experiment_id: str, request: Because, principal: Principal) -> Experiment:
        """Go on after a pause; Conflict for an experiment that is over."""
        return await self._apply("resume", experiment_id, request, principal, transitions.resumed)

    async def archive(self, experiment_id: str, request: Because, principal: Principal) -> Experiment:
        """Put an experiment away for good."""
        return await self._apply("archive", experiment_id, request, principal, transitions.archived)

    async def conclude(self, experiment_id: str, request: ConclusionRequest, principal: Principal) -> Experiment:
        """End an experiment: from then on its winner is served. `by_rule`: only if its stopping rule ends it now.

        Raises:
            Conflict: it is over, the stopping rule names no winner either, or the winner is not served.
            Invalid: `by_rule` with a winner, or there is no such arm.
        """
        experiment = await self.read(experiment_id)
        verdict = await self._conclusions.verdict(experiment)
        transitions.check_conclusion(request)
        if request.by_rule:
            if verdict is None or not verdict.stop or not experiment.concludes_by_rule:
                return experiment
            return await self.conclude_by_rule(experiment, verdict)
        now = self._clock()

        def transition(experiment: Experiment) -> Experiment:
            return transitions.concluded_as_asked(experiment, request, verdict, now, principal.name)

        return await self._apply("conclude", experiment_id, request, principal, transition)

    async def conclude_by_rule(self, experiment: Experiment, verdict: Verdict) -> Experiment:
        """End an experiment because its stopping rule says so, unless it was changed since it was judged."""
        now, why = self._clock(), verdict.sentence()

        def transition(current: Experiment) -> Experiment:
            if current.revision != experiment.revision or current.status != "running":
                return current
            return transitions.concluded(current, winner=verdict.arm, verdict=verdict, now=now, who=RULE, why=why)

        return await self._write("conclude", experiment.id, transition, Reason(RULE, why, now))

    async def _apply(
        self, action: str, experiment_id: str, request: Because, principal: Principal, transition: Transition
    ) -> Experiment:
        def checked(experiment: Experiment) -> Experiment:
            transitions.check_revision(experiment, request.expected_revision)
            after = transition(experiment)
            git.check_untouched(experiment, after)
            return after

        return await self._write(action, experiment_id, checked, Reason(principal.name, request.reason, self._clock()))

    async def _write(self, action: str, experiment_id: str, transition: Transition, reason: Reason) -> Experiment:
        def describe(before: Experiment, after: Experiment) -> dict[str, Any]:
            return transitions.described(action, before, after)

        written = await self._repository.change(experiment_id, transition, describe, reason)
        if written is None:
            raise _unknown(experiment_id)
        experiment, has_changed = written
        if has_changed:
            log.info("experiment_changed", experiment_id=experiment_id, action=action, who=reason.who)
            await self._mirror.publish(experiment)
        return experiment


def _unknown(experiment_id: str) -> NotFound:
    return NotFound(f"there is no experiment {experiment_id!r}")
