"""Temporal as a durable queue of errands: it finds a worker, notices a lost one, and has the errand done elsewhere.

Nothing of a run is kept there but the errand's name and its token; all else is in the database, so the loss of the
whole server loses no finished work. An errand is one activity, started in one of two ways: as a standalone activity, or
by a workflow of one activity, for servers that do not have the former.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import (
    ActivityIDConflictPolicy,
    ActivityIDReusePolicy,
    Priority,
    RetryPolicy,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ActivityAlreadyStartedError, WorkflowAlreadyStartedError
from temporalio.runtime import Runtime, TelemetryConfig

from counterpoint.errors import SettingsError, UsageError

Mode = Literal["activity", "workflow"]
QUEUE = "counterpoint."
ACTIVITY = "counterpoint-agent"
WORKFLOW = "counterpoint-errand"
WORKERS_LOST = 20
"""So many workers may be lost under one errand, or hand it back."""
SETTLES_S = 0.1
"""The library's threads still hand a failure over when it is here already: a program that ended then would crash."""
LONGEST = timedelta(days=7)
WAIT_FOR_WORKER = timedelta(days=1)
RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=1.5, maximum_interval=timedelta(minutes=1),
    maximum_attempts=WORKERS_LOST,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ticket:
    """What Temporal has of an errand."""

    errand: str
    run_id: str
    token: str


@workflow.defn(name=WORKFLOW, sandboxed=False)
class ErrandWorkflow:
    """One activity, for servers without standalone activities."""

    @workflow.run
    async def run(self, ticket: Ticket, lease_s: float) -> None:
        await workflow.execute_activity(
            ACTIVITY, ticket, start_to_close_timeout=LONGEST, schedule_to_start_timeout=WAIT_FOR_WORKER,
            heartbeat_timeout=timedelta(seconds=lease_s), retry_policy=RETRIES,
        )  # fmt: skip


async def connect(address: str, environ: Mapping[str, str]) -> Client:
    """Connects to ``host:port`` or ``host:port/namespace``.

    TLS, client certificates and keys come from Temporal's own variables and file (``TEMPORAL_TLS_CLIENT_CERT_PATH``,
    ``TEMPORAL_API_KEY``, …). Raises SettingsError, or UsageError where nobody answers.
    """
    host, namespace = _parsed(address)
    try:
        options = ClientConfig.load_client_connect_config(override_env_vars=dict(environ))
    except (RuntimeError, OSError, ValueError) as error:
        raise SettingsError(f"What TEMPORAL_… variables and Temporal's own file say cannot be used: {error}") from error
    options["target_host"] = host
    if namespace:
        options["namespace"] = namespace
    # Its library would write what it notices to our standard output.
    quiet = Runtime(telemetry=TelemetryConfig(logging=None))
    try:
        return await Client.connect(**options, runtime=quiet)
    except RuntimeError as error:
        await asyncio.sleep(SETTLES_S)
        raise _unreachable(host, str(error)) from error


def _parsed(address: str) -> tuple[str, str]:
    """Host with port, and namespace; "" where the address names none. Raises SettingsError."""
    parts = urlsplit(address if "//" in address else f"temporal://{address}")
    with contextlib.suppress(ValueError):  # of a port that is no number
        if parts.scheme == "temporal" and parts.hostname:
            return f"{parts.hostname}:{parts.port or 7233}", parts.path.strip("/")
    raise SettingsError(
        f"cluster is {address!r}; it takes the address of a Temporal server: temporal://host:7233/namespace"
    )


def _unreachable(host: str, said: str) -> UsageError:
    """The library has one class of error for all that can be wrong; only its text says more."""
    if "InvalidCertificate" in said:
        return UsageError(
            f"The Temporal server at {host} shows a certificate that is not trusted here: {said[:300]}",
            hint="TEMPORAL_TLS_SERVER_CA_CERT_PATH names the file with the certificate of its authority.",
        )
    return UsageError(
        f"The Temporal server at {host} cannot be reached: {said[:300]}",
        hint="Check the setting cluster, and TEMPORAL_TLS for a server that wants TLS.",
    )


def queue_of(pool: str) -> str:
    return f"{QUEUE}{pool}"


class Dispatcher:
    """Hands errands to whoever of a pool has room."""

    def __init__(self, client: Client, mode: Mode, *, pool: str, lease_s: float, priority: int) -> None:
        """`priority` is 1 (first) to 5. A worker that is silent for `lease_s` seconds is lost."""
        self.pool = pool
        """Of agents that need no other."""
        self._client = client
        self._mode = mode
        self._lease = timedelta(seconds=lease_s)
        self._priority = priority

    async def start(self, ticket: Ticket, pool: str) -> Any:
        """Starts the errand, or finds it started; gives a handle. Raises RPCError."""
        priority = Priority(priority_key=self._priority, fairness_key=ticket.run_id[:64])
        if self._mode == "workflow":
            return await self._start_workflow(ticket, pool, priority)
        try:
            return await self._client.start_activity(
                ACTIVITY, ticket, id=ticket.errand, task_queue=queue_of(pool), start_to_close_timeout=LONGEST,
                schedule_to_start_timeout=WAIT_FOR_WORKER, heartbeat_timeout=self._lease, retry_policy=RETRIES,
                priority=priority, id_conflict_policy=ActivityIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=ActivityIDReusePolicy.REJECT_DUPLICATE,
            )  # fmt: skip
        except ActivityAlreadyStartedError:
            return self._client.get_activity_handle(ticket.errand)

    async def _start_workflow(self, ticket: Ticket, pool: str, priority: Priority) -> Any:
        try:
            return await self._client.start_workflow(
                WORKFLOW, args=[ticket, self._lease.total_seconds()], id=ticket.errand,
                task_queue=queue_of(pool), priority=priority,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            )  # fmt: skip
        except WorkflowAlreadyStartedError:
            return self._client.get_workflow_handle(ticket.errand)
