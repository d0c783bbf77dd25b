"""Telling somebody else's service that a runner is alive: it notices if nobody does."""

import threading
import time

from pgagent_runner.configuration import Configuration
from pgagent_runner.sending import webhook
from pgagent_runner.sending.channels import channel_of_url
from pgagent_runner.sending.failures import NotSentError


def ping(configuration: Configuration, seconds: float = 10.0) -> str:
    """Ask for the URL of [alive]; return what went wrong, or ''."""
    url = str(configuration.table("alive").get("url", ""))
    found: list[str] = []

    def work() -> None:
        try:
            webhook.post(url, "", {}, time.monotonic() + seconds, "GET")
        except NotSentError as e:
            found.append(str(e))
        except Exception as e:  # noqa: BLE001 (it is told)
            found.append(f"{type(e).__name__}: {e}")
        else:
            found.append("")

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(seconds + 1)
    told = found[0] if found else f"it has taken more than {seconds:g} s"
    return channel_of_url(url).hidden(told)
