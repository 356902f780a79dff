"""The HTTP server of the service: where it listens, and what it needs before it may listen to others."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from finpipe.settings import Settings, SettingsError

_GRACE = 3
_IDLE = 30


def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    settings
        Name the home, address and port.
    ready
        Called with the address of the page when it can be asked.

    Raises
    ------
    SettingsError
        The address is beyond loopback and there is no token, or cannot be listened on.
    """
    listening = listen(settings)
    host, port = listening.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host

    import uvicorn

    from finpipe.serve.access_log import log_as_json
    from finpipe.serve.app import create_app

    log_as_json()
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=_IDLE,
        backlog=512,
    )
    server = uvicorn.Server(config)
    started = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await started(sockets=sockets)
        if server.started:
            ready(f"http://{name}:{port}/")

    server.startup = startup  # type: ignore[method-assign]
    with listening:
        server.run(sockets=[listening])


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens at the address of the settings.

    Raises
    ------
    SettingsError
        As :func:`serve`.
    """
    host = "127.0.0.1" if settings.serve_host == "localhost" else settings.serve_host
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError as error:
        raise SettingsError(
            f"serve_host {settings.serve_host!r} is no address to listen on: give 127.0.0.1, ::1 or 0.0.0.0"
        ) from error
    if not address.is_loopback and settings.serve_token is None:
        raise SettingsError(
            f"{host} can be reached from other machines: set FINPIPE_SERVE_TOKEN (16 characters or more), "
            "which every request must then carry, or listen on 127.0.0.1"
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((str(address), settings.serve_port))
    except OSError as error:
        found.close()
        raise SettingsError(
            f"{host}:{settings.serve_port} cannot be listened on ({error.strerror}): "
            "is another finpipe serving there? Choose another --port"
        ) from error
    return found
