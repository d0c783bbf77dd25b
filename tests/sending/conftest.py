import forking
import pytest
from alerts.conftest import agent
from daemon.runner_process import PGAGENT
from pgagent_runner.configuration import load
from pgagent_runner.sending.channels import read_channels
from receivers import context_of, made_certificates

__all__ = ["agent"]


@pytest.fixture(scope="session")
def certificates():
    """Certificates of 127.0.0.1 and of another host, which is trusted as well."""
    with made_certificates() as directory:
        yield directory


@pytest.fixture
def trusted(certificates, monkeypatch):
    """Have this process trust both."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "trusted"))
    return lambda host: context_of(certificates, host)


@pytest.fixture
def written(tmp_path):
    """Write pgagent.toml, and return what is read there."""

    def written(text, mode=0o600):
        path = tmp_path / "pgagent.toml"
        path.write_text(text)
        path.chmod(mode)
        return load(path, {})

    return written


@pytest.fixture
def channel(written):
    """Return the channel that these lines make."""

    def channel(text):
        found, complaints = read_channels(written(f"[channels.ops]\n{text}"))
        assert complaints == []
        return found["ops"]

    return channel


@pytest.fixture
def senders(cluster, conn, tmp_path):
    """Call pgagent send-alerts with these channels; return the process."""

    def call(channels, *options, name="pgagent.toml", **environ):
        file = tmp_path / name
        file.write_text(channels)
        file.chmod(0o600)
        return forking.run(
            [PGAGENT, "send-alerts", "--config", file, *options],
            env=cluster.client_environ(conn.info.dbname) | environ,
            timeout=65,
        )

    return call
