"""Passwords that stand in no table: services, and files of the runner's own folder."""

import os

import pytest
from cluster import Cluster
from pgagent_runner.model import Ending, Run, Step
from pgagent_runner.steps import StepSettings
from pgagent_runner.steps.sql.connecting import connection_parameters

RUN = Run(id=7, job_id=3, job_name="nightly", steps=())


@pytest.fixture(scope="module")
def guarded():
    """A server that wants a password."""
    with Cluster(tcp=True, is_twin=True) as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "secrets"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def execute(executor_of, server, folder):
    """Execute a step at a connection string, with these settings."""

    def execute(conninfo, code="SELECT 1", **settings):
        kept = {"passfiles": folder} | settings
        with executor_of(StepSettings(server, **kept), RUN) as executor:
            return executor.execute(Step(5, "step", "s", code, "", conninfo, "f"))

    return execute


@pytest.fixture
def services(tmp_path, monkeypatch):
    """Write the file of services."""
    file = tmp_path / "services"
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    return file.write_text


def keep(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


def at(server, more=""):
    return (
        f"host=127.0.0.1 port={server.port} user={server.user} dbname=postgres {more}"
    )


# --- files of the folder


def test_a_password_may_stand_in_a_file_of_the_folder(execute, guarded, folder):
    keep(folder / "mine", f"*:*:*:*:{guarded.password}\n")

    for conninfo in (
        at(guarded, "passfile=secrets/mine"),
        f"postgresql://{guarded.user}@127.0.0.1:{guarded.port}/postgres?passfile=secrets%2Fmine",
    ):
        assert execute(conninfo).ending is Ending.SUCCEEDED
    assert execute(at(guarded)).ending is Ending.FAILED


def spoil_mode(folder):
    keep(folder / "mine", "", 0o640)


def spoil_folder(folder):
    keep(folder / "mine", "")
    folder.chmod(0o750)


def link(folder):
    outside = keep(folder.parent / "outside", "*:*:*:*:x\n")
    (folder / "mine").symlink_to(outside)


def link_folder(folder):
    folder.rename(folder.parent / "elsewhere")
    keep(folder.parent / "elsewhere/mine", "")
    folder.symlink_to(folder.parent / "elsewhere")


def no_folder(folder):
    folder.rmdir()


def file_instead(folder):
    folder.rmdir()
    folder.write_text("")


def pipe(folder):
    os.mkfifo(folder / "mine", 0o600)


def unreadable(folder):
    keep(folder / "mine", "", 0o200)


def leave(folder):
    """Change nothing."""


@pytest.mark.parametrize(
    ("spoil", "name", "reason"),
    [
        (leave, "mine", "{folder}/mine: No such file or directory"),
        (leave, "", "after secrets/ comes the name of a file there, and no more"),
        (leave, "..", "after secrets/ comes the name of a file there, and no more"),
        (leave, ".", "after secrets/ comes the name of a file there, and no more"),
        (leave, "../secrets/mine", "after secrets/ comes the name of a file there"),
        (leave, "/etc/passwd", "after secrets/ comes the name of a file there"),
        (leave, "x" * 300, "File name too long"),
        (
            spoil_mode,
            "mine",
            "others have rights on {folder}/mine: chmod 0600 {folder}/mine",
        ),
        (spoil_folder, "mine", "others have rights on {folder}: chmod 0700 {folder}"),
        (link, "mine", "{folder}/mine is a symbolic link, which may lead out of"),
        (link_folder, "mine", "{folder} is no folder"),
        (file_instead, "mine", "{folder} is no folder"),
        (no_folder, "mine", "{folder}: No such file or directory"),
        (pipe, "mine", "{folder}/mine is no ordinary file"),
        (
            unreadable,
            "mine",
            "the runner's user may not read {folder}/mine: chmod 0600",
        ),
    ],
)
def test_what_is_wrong_with_such_a_file_is_said(execute, folder, spoil, name, reason):
    spoil(folder)

    outcome = execute(f"host=127.0.0.1 port=1 passfile='secrets/{name}'")

    assert outcome.ending is Ending.FAILED
    start = f"the connection string sets passfile=secrets/{name}: "
    assert outcome.reason.startswith(start)
    assert reason.format(folder=folder) in outcome.reason
    assert "\n" not in outcome.reason


def test_a_file_of_another_user_is_refused(execute, folder, monkeypatch):
    keep(folder / "mine", "")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    outcome = execute("host=127.0.0.1 port=1 passfile=secrets/mine")

    assert f"{folder} does not belong to the runner's user" in outcome.reason


def test_without_a_file_of_options_there_is_no_folder(execute):
    outcome = execute("host=127.0.0.1 port=1 passfile=secrets/mine", passfiles=None)

    assert (
        "the runner has no pgagent.toml, beside which that folder is" in outcome.reason
    )


@pytest.mark.parametrize(
    "value", ["/etc/passwd", "./secrets/x", "secrets", "~/.pgpass"]
)
def test_other_files_are_refused_as_ever(execute, folder, value):
    outcome = execute(f"host=127.0.0.1 port=1 passfile={value}")

    assert outcome.reason.startswith(
        "the connection string sets passfile, which it may not: "
    )
    assert "passfile=secrets/NAME" in outcome.reason
    assert "--allow-parameter passfile allows it" in outcome.reason


# --- services


def test_a_service_says_all_that_a_step_has_to_know(execute, guarded, services):
    lines = "\n".join(at(guarded, f"password={guarded.password}").split())
    services(f"[mine]\n{lines}\noptions=-cwork_mem=7MB\n")

    code = "DO $$ BEGIN ASSERT current_setting('work_mem') = '7MB'; END $$"
    assert execute("service=mine", code).ending is Ending.SUCCEEDED
    code = "DO $$ BEGIN ASSERT current_database() = 'template1'; END $$"
    for conninfo in (
        "service=mine dbname=template1",
        "postgresql:///template1?service=mine",
    ):
        assert execute(conninfo, code).ending is Ending.SUCCEEDED


@pytest.mark.parametrize(
    "more",
    [
        "host=127.0.0.1",
        "port=1",
        "user=u",
        "password=x",
        "sslmode=disable",
        "options=-E",
    ],
)
def test_nothing_but_a_database_may_stand_beside_a_service(execute, services, more):
    services("[mine]\nhost=127.0.0.1\nport=1\n")

    outcome = execute(f"service=mine dbname=d {more}")

    assert outcome.ending is Ending.FAILED
    name = more.partition("=")[0]
    assert outcome.reason == (
        "the connection string sets service, which it may not: beside it only dbname is"
        f" permitted, not {name}; the runner's option --allow-parameter service allows it"
    )


def test_a_user_can_allow_more_beside_a_service(execute, guarded, services):
    services(f"[mine]\nhost=127.0.0.1\nport=1\npassword={guarded.password}\n")

    outcome = execute(
        at(guarded, "service=mine"), allowed_parameters=frozenset({"service"})
    )

    assert outcome.ending is Ending.SUCCEEDED


def test_a_service_that_there_is_not_is_named(execute, services):
    services("[other]\nhost=h\n")

    outcome = execute("service=mine")

    assert outcome.reason == 'could not connect: definition of service "mine" not found'


def test_the_database_can_not_smuggle_another_connection_string(execute, services):
    services("[mine]\nhost=127.0.0.1\nport=1\n")

    outcome = execute("service=mine dbname='host=127.0.0.2 port=2'")

    assert "127.0.0.1" in outcome.reason
    assert "127.0.0.2" not in outcome.reason


def parameters(conninfo, **settings):
    step = Step(5, "step", "s", "SELECT 1", "", conninfo, "f")
    return connection_parameters(step, StepSettings("", **settings))


def test_the_way_to_a_service_is_known_before_it_is_taken(services):
    """Names of hosts are looked up where nothing waits for that, and each is tried."""
    services(
        "[mine]\nhost=a.invalid,b.invalid\nport=1,2\npassword=x\nconnect_timeout=3\n"
    )

    found = parameters("service=mine")

    assert found["host"] == "a.invalid,b.invalid"
    assert found["port"] == "1,2"
    assert found["connect_timeout"] == "3"
    assert found["service"] == "mine"
    assert "password" not in found


@pytest.mark.parametrize(
    ("variable", "name"), [("PGHOSTADDR", "hostaddr"), ("PGOPTIONS", "options")]
)
def test_what_the_environment_says_counts_for_no_service(
    services, monkeypatch, variable, name
):
    services(f"[mine]\nhost=h\n[its]\nhost=h\n{name}=-cx.y=1\n")
    monkeypatch.setenv(variable, "-cx.secret=1")

    assert parameters("service=mine")[name] == ""
    assert parameters("service=its")[name] == "-cx.y=1"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", "!password"),
        ("require_auth=scram-sha-256", "scram-sha-256"),
        ("require_auth=scram-sha-256,password", "scram-sha-256"),
        ("require_auth=password", "!password"),
    ],
)
def test_no_password_goes_to_a_service_in_clear(services, line, wanted):
    services(f"[mine]\nhost=h\n{line}\n")

    assert parameters("service=mine")["require_auth"] == wanted


def test_a_service_may_permit_less_than_the_runner(services):
    services("[mine]\nhost=h\nrequire_auth=scram-sha-256\n")

    found = parameters("service=mine", clear_password=True)

    assert "require_auth" not in found  # what the service says counts
