"""Posting JSON to a URL from the database server."""

import http.client


def post(
    url: str,
    payload: str,
    authorization: "str | None",
    timeout: "float | None",
) -> int:
    """Post the payload; return the status."""
    headers = {"Authorization": authorization} if authorization else {}
    deadline = deadline_of(timeout)
    return request("POST", url, payload, headers, deadline, bool(authorization))


def post_webhook(
    url: "str | None",
    payload: "str | None",
    credentials: "str | None",
    timeout: "float | None",
) -> int:
    """Post JSON and return the status, or raise an error of the database."""
    try:
        told = secret(credentials, may_read_secrets())
        status = post(url or "", payload or "null", told, timeout)
    except RefusalError as e:
        plpy.error(f"pgagent: post_webhook: {e}", detail=e.detail, sqlstate="22023")
    except (OSError, http.client.HTTPException) as e:
        plpy.error(
            f"pgagent: post_webhook: {type(e).__name__}: {e}",
            sqlstate="08000",
            detail=f"The time limit is {timeout:g} s.",
        )
    if status >= 300:
        plpy.error(
            f"pgagent: post_webhook: the answer is {status}",
            sqlstate="08000",
            detail="Redirections are not followed."
            if status < 400
            else "The receiver refuses or fails.",
        )
    return status
