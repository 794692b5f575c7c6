"""What may be asked of a stream app, by the form of its DAG or on the command line; pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import attrs

from mysimbdp import errors, naming
from mysimbdp.pipelines.registration import StreamApp
from mysimbdp.registry import RegisteredTenant

_MOST_ARGUMENTS = 100
_LONGEST_ARGUMENT = 4096


class Action(enum.StrEnum):
    """What is asked for."""

    START = "start"
    STOP = "stop"
    SCALE = "scale"
    RESTART = "restart"


@attrs.frozen(kw_only=True)
class Request:
    """One action on one app.

    Attributes:
        instances: how many there shall be; None means as registered.
        arguments: for a script; None means as registered.

    """

    tenant: str
    app: str
    action: Action
    instances: int | None = None
    arguments: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """Name the app among those of all tenants."""
        return naming.stream_app(self.tenant, self.app)


def read(tenant: str, app: str, fields: dict[str, Any]) -> Request:
    """Read a filled-in form, or the `conf` of a run, whose keys nobody may have checked.

    Raises:
        UsageError: a field is not what it has to be.

    """
    action, instances = fields.get("action", Action.START), fields.get("instances")
    arguments = fields.get("arguments")
    if action not in list(Action):
        raise _wrong(tenant, app, f"action has to be one of {', '.join(Action)}", action)
    if instances is not None and (not isinstance(instances, int) or isinstance(instances, bool)):
        raise _wrong(tenant, app, "instances has to be a whole number", instances)
    if arguments is not None and not (
        isinstance(arguments, Sequence)
        and not isinstance(arguments, str)
        and all(isinstance(one, str) for one in arguments)
    ):
        raise _wrong(tenant, app, "arguments have to be a list of texts", arguments)
    return Request(
        tenant=tenant,
        app=app,
        action=Action(action),
        instances=instances,
        arguments=None if arguments is None else tuple(arguments),
    )


def check(request: Request, registered: RegisteredTenant, app: StreamApp) -> None:
    """Refuse what goes beyond the agreement or the registration.

    Raises:
        UsageError: with the figures.

    """
    limits = registered.agreement.streams if registered.agreement else None
    if limits is None:
        raise errors.UsageError(
            f"{request.name} cannot run: the agreement of {request.tenant} has no streams.",
            tenant=request.tenant,
        )
    if request.action is Action.SCALE and request.instances is None:
        raise _wrong(request.tenant, request.app, "scale needs instances", None)
    if request.instances is not None and not 1 <= request.instances <= limits.max_instances:
        expected = f"instances has to be between 1 and {limits.max_instances}, as agreed"
        raise _wrong(request.tenant, request.app, expected, request.instances)
    arguments = request.arguments or ()
    if arguments and app.script is None:
        expected = "arguments are for scripts only, and this app has a callable; none"
        raise _wrong(request.tenant, request.app, expected, list(arguments))
    if len(arguments) > _MOST_ARGUMENTS or any(map(_is_no_argument, arguments)):
        expected = f"arguments: at most {_MOST_ARGUMENTS} of {_LONGEST_ARGUMENT} characters"
        raise _wrong(request.tenant, request.app, expected, f"{len(arguments)} of them")


def start_wish(request: Request, app: StreamApp) -> dict[str, Any]:
    """Return what a start wishes for, with what is registered where nothing was given."""
    arguments = app.arguments if request.arguments is None else request.arguments
    return {
        "state": "running",
        "instances": app.instances if request.instances is None else request.instances,
        "arguments": list(arguments),
    }


def _is_no_argument(text: str) -> bool:
    return len(text) > _LONGEST_ARGUMENT or "\0" in text


def _wrong(tenant: str, app: str, expected: str, found: object) -> errors.UsageError:
    return errors.UsageError(
        f"{naming.stream_app(tenant, app)}: {expected}; found {str(found)[:100]!r}.",
        tenant=tenant,
        app=app,
    )
