"""Schedules in plain English: the same for a text and for the rows it makes."""

import pytest

pytestmark = pytest.mark.needs("plpython")

SENTENCES = {
    "30 2 * * mon-fri": "at 02:30, on Mondays to Fridays (UTC)",
    "*/5 * * * *": "every 5 minutes (UTC)",
    "* * * * *": "every minute (UTC)",
    "@hourly": "every hour (UTC)",
    "15 * * * *": "at minute 15 of every hour (UTC)",
    "@daily": "at 00:00 (UTC)",
    "0 9,17 * * *": "at 09:00 and 17:00 (UTC)",
    "*/15 8-17 * * *": "every 15 minutes in the hours 08 to 17 (UTC)",
    "5,35 8-17 * jan,mar *": (
        "at minutes 5 and 35 of the hours 08 to 17, in January and March (UTC)"
    ),
    "0 9 1-7 * &mon": (
        "at 09:00, on the 1st to 7th of the month, if that is among Mondays (UTC)"
    ),
    "0 0 1 * 1": (
        "at 00:00, on the 1st of the month (UTC); and at 00:00, on Mondays (UTC)"
    ),
    "0 0 L * *": "at 00:00, on the last day of the month (UTC)",
    "0 0 2,22,L 6 *": (
        "at 00:00, on the 2nd and 22nd and the last day of the month, in June (UTC)"
    ),
    "30 seconds": "every 30 seconds",
    "@every 1 second": "every second",
    "@every 2 hours": "every 2 hours",
    "@at 2031-05-01 09:00 Europe/Berlin": "once, at 2031-05-01 09:00:00 (Europe/Berlin)",
    "@reboot": "when a runner starts",
}


@pytest.mark.parametrize("schedule", SENTENCES)
def test_a_schedule_is_described(ask, conn, schedule):
    sentence = SENTENCES[schedule]
    assert ask("pgagent.describe_schedule(%s)", schedule) == sentence

    conn.execute("SELECT pgagent.create_job('a')")
    ids = ask("pgagent.add_schedule('a', %s)", schedule)
    stored = [ask("pgagent.describe_schedule(%s::bigint)", number) for number in ids]
    assert "; and ".join(stored) == sentence


def test_the_zone_is_named(ask):
    sentence = ask("pgagent.describe_schedule('@daily', 'Europe/Berlin')")
    assert sentence == "at 00:00 (Europe/Berlin)"


def test_what_cannot_be_read_is_refused(refused):
    assert "field 1" in refused("22023", "pgagent.describe_schedule('61 * * * *')")
