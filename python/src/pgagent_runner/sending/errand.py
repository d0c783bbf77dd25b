"""One errand: decide what people are told, send what waits, and end."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pgagent_runner.catalog.alerts import open_alerts
from pgagent_runner.sending.channels import Channels
from pgagent_runner.sending.deliveries import Deliveries, where

SEND_TIME = 45  # seconds in which attempts begin
LIFE_TIME = 60  # seconds after which the kernel ends this process


@dataclass(slots=True)
class Outcome:
    """What has become of it.

    left: messages that wait all the same: for channels that are not known here, or have
    just failed.
    """

    sent: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    left: int = 0


def send_waiting(
    conninfo: str,
    channels: Channels,
    say: Callable[[str], object],
    note: Callable[[str], object],
) -> Outcome:
    """Send what waits for these channels; raises CatalogError.

    `say` is called with sentences about what went wrong, `note` with what went well.
    SIGTERM has it claim no more.
    """
    with open_alerts(conninfo, say) as alerts:
        watched = alerts.watch()
        if not (watched.claimable and channels.found):
            return Outcome(left=watched.claimable)
        known = where(alerts.host, alerts.database)
        deliveries = Deliveries(alerts, channels.found, known, say, note)
        signal.signal(signal.SIGTERM, lambda *_: deliveries.stop())
        report = deliveries.run(SEND_TIME)
        if report.error is not None:
            raise report.error
        return Outcome(report.sent, report.failed, alerts.watch().claimable)


def live_shortly(say: Callable[[], object]) -> None:
    """Have this process end, whatever hangs; `say` is called then, if that goes."""

    def end() -> None:
        say()
        os._exit(1)

    last_resort = threading.Timer(LIFE_TIME - 2, end)
    last_resort.daemon = True
    last_resort.start()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LIFE_TIME)
