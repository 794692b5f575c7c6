"""The configuration file of the process supervisor."""

from __future__ import annotations

import hashlib
import resource
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mysimbdp.local_stack.programs import PASSED_ON, Program
from mysimbdp.settings import Settings

_WANTED_FILES = 64000

_DAEMON = """\
; settings {fingerprint}
[supervisord]
pidfile = {run}/supervisord.pid
logfile = {logs}/supervisord.log
logfile_maxbytes = 5MB
logfile_backups = 1
childlogdir = {logs}
directory = {run}
minfds = {files}

[unix_http_server]
file = {socket}
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[eventlistener:reaper]
command = {python} -m mysimbdp.local_stack.reaper
events = PROCESS_STATE_EXITED,PROCESS_STATE_BACKOFF,PROCESS_STATE_FATAL
stderr_logfile = {logs}/reaper.log
stderr_logfile_maxbytes = 1MB
"""

_PROGRAM = """
[program:{name}]
command = {command}
autostart = false
autorestart = true
startsecs = {start_seconds}
startretries = 20
stopwaitsecs = {stop_seconds}
stopasgroup = true
killasgroup = true
redirect_stderr = true
stdout_logfile = {log}
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 2
"""


def write(
    path: Path,
    settings: Settings,
    socket: Path,
    programs: Sequence[Program],
    environment: Mapping[str, str],
) -> None:
    """Write the file, for its owner only; the environment itself is not in it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    daemon = _DAEMON.format(
        fingerprint=_fingerprint(environment),
        run=_escape(path.parent),
        logs=_escape(settings.logs),
        socket=_escape(socket),
        python=_escape(shlex.quote(sys.executable)),
        files=_most_files(),
    )
    path.write_text(daemon + "".join(map(_section, programs)))


def was_written_for(path: Path, environment: Mapping[str, str]) -> bool:
    """Tell whether the file was written for an environment with the same settings."""
    return path.is_file() and f"; settings {_fingerprint(environment)}\n" in path.read_text()


def _section(program: Program) -> str:
    return _PROGRAM.format(
        name=program.name,
        command=_escape(shlex.join(program.command)),
        start_seconds=program.start_seconds,
        stop_seconds=program.stop_seconds,
        log=_escape(program.log),
    )


def _fingerprint(environment: Mapping[str, str]) -> str:
    own = sorted((name, value) for name, value in environment.items() if name not in PASSED_ON)
    return hashlib.sha256(repr(own).encode()).hexdigest()


def _most_files() -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _WANTED_FILES if most == resource.RLIM_INFINITY else min(most, _WANTED_FILES)


def _escape(text: Path | str) -> str:
    # supervisord expands %(name)s.
    return str(text).replace("%", "%%")
