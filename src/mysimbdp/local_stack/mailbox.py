"""The local mailbox: a mail server that keeps each mail as a file and sends none on."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox

ADDRESS = "127.0.0.1"


def serve(port: int, folder: Path) -> None:
    """Take mails on `port` into the maildir `folder` until the process is told to end."""
    for name in ("tmp", "new", "cur"):  # the library makes them only with the folder itself
        (folder / name).mkdir(parents=True, exist_ok=True)
    endings = {signal.SIGTERM, signal.SIGINT}
    # Blocked before the server's thread starts, so that the wait below gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, endings)
    controller = Controller(Mailbox(folder), hostname=ADDRESS, port=port)
    controller.start()
    signal.sigwait(endings)
    controller.stop()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description="Keep mails in a maildir.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    serve(arguments.port, arguments.folder)


if __name__ == "__main__":
    main()
