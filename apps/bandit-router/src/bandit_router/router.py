"""The Seldon component: `seldon-core-microservice bandit_router.router.BanditRouter --service-type ROUTER`."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import flask
import numpy as np
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.proto import prediction_pb2
from seldon_core.user_model import SeldonResponse

from bandit_router import metrics
from bandit_router.client import open_client
from bandit_router.feedback import Feedback, FeedbackError, Report, RewardReporter
from bandit_router.messages import Default, branch_of, context_of, select_options, unit_of
from bandit_router.parameters import Parameters
from bandit_sdk import AwayError, BanditError, Client, RefusedError
from bandit_sdk.requests import SelectOptions

PUID_HEADER = "Seldon-Puid"
API_KEY = "BANDIT_API_KEY"
UNIT_ID_TAG = "unit_id"
log = logging.getLogger(__name__)


class BanditRouter:
    """Routes each request to the child that bandit-service decides for, and reports the rewards of feedback."""

    def __init__(self, **parameters: Any) -> None:  # noqa: ANN401 - the wrapper hands over what the graph says
        self._parameters = _parameters(parameters)
        self._node = os.environ.get("PREDICTIVE_UNIT_ID", "0")
        self._client: Client
        self._rewards: RewardReporter

    def load(self) -> None:
        """Open connections: called in each worker, after the fork. A service that is away does not keep it waiting."""
        settings = self._parameters
        self._client = _client(settings)
        self._rewards = RewardReporter(settings.experiment_id, self._client)
        try:
            self._rewards.load()
        except BanditError as error:
            log.warning("experiment %s cannot be looked up yet: %s", settings.experiment_id, error)

    def route(self, features: object, names: Sequence[str], meta: Mapping[str, Any] | None = None) -> SeldonResponse:
        """Return the child to ask, in 0 to `branches` - 1. No failure of bandit-service is one of the request."""
        meta = meta or {}
        options = select_options(
            puid=_puid(meta.get("puid")),
            unit_id=_unit_id(meta.get("tags") or {}),
            context=self._context(features, names),
        )
        found = self._select(options)
        if isinstance(found, Default):
            branch = self._parameters.default_arm
            return SeldonResponse(branch, metrics=metrics.routed(branch, found))
        return SeldonResponse(found, metrics=metrics.routed(found, None))

    def send_feedback_raw(self, feedback: prediction_pb2.Feedback) -> prediction_pb2.SeldonMessage:
        """Report the reward; the answer's jsonData says what became of it.

        Raises:
            SeldonMicroserviceException: 503 if it may be sent again, 400 if it cannot become a reward.
        """
        routing = feedback.response.meta.routing
        said = Feedback(
            puid=_puid(feedback.response.meta.puid or feedback.request.meta.puid),
            reward=feedback.reward,
            branch=routing[self._node] if routing.get(self._node, -1) >= 0 else None,
        )
        try:
            report = self._rewards.report(said)
        except AwayError as error:
            raise _failure(str(error), may_pass=True) from error
        except (RefusedError, FeedbackError) as error:
            raise _failure(str(error), may_pass=False) from error
        return _message(report, said.reward)

    def _context(self, features: object, names: Sequence[str]) -> dict[str, Any] | None:
        if not self._parameters.sends_context:
            return None
        return context_of(features.tolist() if isinstance(features, np.ndarray) else features, names)

    def _select(self, options: SelectOptions) -> int | Default:
        try:
            selection = self._client.select(self._parameters.experiment_id, **options)
        except AwayError as error:
            log.warning("bandit-service gives no answer, the default arm serves: %s", error)
            return Default.UNAVAILABLE
        except RefusedError as error:
            log.error("bandit-service refused to decide, the default arm serves: %s", error)  # noqa: TRY400 - no traceback for each request
            return Default.REFUSED
        branch = branch_of(selection, self._parameters.branches)
        if branch is Default.OUT_OF_RANGE:
            log.error(
                "bandit-service named arm %s, and the router has children 0 to %d: the default arm serves",
                selection.arm_index,
                self._parameters.branches - 1,
            )
        return branch


def _parameters(given: Mapping[str, Any]) -> Parameters:
    """Return the parameters, or end the process: the wrapper shows a traceback of whatever else is raised."""
    try:
        parameters = Parameters(**given)
        _client(parameters).close()
    except (TypeError, ValueError) as error:
        raise SystemExit(f"bandit-router: {error}; see the parameters of the node, and {API_KEY}") from None
    return parameters


def _client(parameters: Parameters) -> Client:
    return open_client(parameters.service_url, timeout=parameters.timeout, api_key=os.environ.get(API_KEY))


def _unit_id(tags: Mapping[str, Any]) -> str | None:
    """Return the unit that the tags name. A tag that names none is logged; the service says whether it is needed."""
    try:
        return unit_of(tags.get(UNIT_ID_TAG))
    except ValueError as error:
        log.warning("tag %s is left out: it %s", UNIT_ID_TAG, error)
        return None


def _puid(in_message: object) -> str | None:
    """Return the prediction's id: what its caller wrote into the message, else the header that Seldon adds (REST)."""
    if isinstance(in_message, str) and in_message:
        return in_message
    return (flask.request.headers.get(PUID_HEADER) or None) if flask.has_request_context() else None


def _message(report: Report, reward: float) -> prediction_pb2.SeldonMessage:
    message = prediction_pb2.SeldonMessage()
    outcome = message.jsonData.struct_value.fields
    outcome["status"].string_value = report.status
    outcome["fallback"].string_value = report.fallback.value
    if report.arm is not None:
        outcome["arm"].string_value = report.arm
    if report.reward is not None:
        outcome["reward"].number_value = report.reward
    for increment in metrics.rewarded(report, reward):
        message.meta.metrics.add(key=increment["key"], value=increment["value"], tags=increment["tags"])
    return message


def _failure(message: str, *, may_pass: bool) -> SeldonMicroserviceException:
    if may_pass:
        return SeldonMicroserviceException(message, status_code=503, reason="BANDIT_SERVICE_UNAVAILABLE")
    return SeldonMicroserviceException(message, status_code=400, reason="BANDIT_REWARD_REFUSED")
