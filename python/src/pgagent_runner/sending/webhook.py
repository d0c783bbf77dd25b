"""A webhook: JSON that is posted to a URL."""

import http.client
from collections.abc import Mapping
from typing import Any

from pgagent_runner.sending.channels import Channel
from pgagent_runner.sending.failures import NotSentError, in_words
from pgagent_runner.sending.messages import Message, as_json, payload, values
from pgagent_runner.sending.posting import request
from pgagent_runner.sending.refusal import RefusalError
from pgagent_runner.sending.templates import Template

_OK = range(200, 300)
_ELSEWHERE = range(300, 400)


def send(
    channel: Channel, message: Message, subject: str, text: str, deadline: float
) -> str:
    """Post a message; raises NotSentError."""
    if "template" in channel.values:
        body = _filled(channel.values["template"], values(message))
    else:
        body = payload(message, subject, text)
    headers = {"Idempotency-Key": message.id} | channel.values.get("headers", {})
    post(channel.values["url"], as_json(body), headers, deadline)
    return ""


def post(
    url: str,
    body: str,
    headers: Mapping[str, str],
    deadline: float,
    method: str = "POST",
) -> None:
    """Have a server take something; raises NotSentError."""
    try:
        status = request(method, url, body, headers, deadline)
    except RefusalError as e:
        raise NotSentError(f"{e}: {e.detail}") from None
    except (OSError, http.client.HTTPException) as e:
        raise NotSentError(in_words(e)) from None
    if status in _ELSEWHERE:
        raise NotSentError(f"the answer is {status}, and redirections are not followed")
    if status not in _OK:
        raise NotSentError(f"the answer is {status}")


def _filled(part: Any, found: Mapping[str, str]) -> Any:  # noqa: ANN401
    if isinstance(part, Template):
        return part.fill(found)
    if isinstance(part, dict):
        return {key: _filled(one, found) for key, one in part.items()}
    if isinstance(part, list):
        return [_filled(one, found) for one in part]
    return part
