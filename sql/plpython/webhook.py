"""Posting JSON to a URL."""

import http.client
import ssl
import urllib.error
import urllib.request

LONGEST = 65536  # bytes of an answer that are read


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follow nobody elsewhere: what is posted is for the one who was named."""

    def redirect_request(self, *_: object) -> None:
        """Refuse."""


def post(
    url: str,
    payload: str,
    authorization: "str | None",
    timeout: float,
    context: "ssl.SSLContext | None" = None,
) -> int:
    """Post the payload; return the status, an error's too."""
    if not url.lower().startswith(("https://", "http://")):
        raise RefusalError("the URL is not allowed", "Wanted is https://… or http://….")
    if authorization and not url.lower().startswith("https://"):
        raise RefusalError(
            "credentials are sent through https only", "The URL begins with http://."
        )
    headers = {"Content-Type": "application/json", "User-Agent": "pgagent"}
    if authorization:
        headers["Authorization"] = authorization
    try:
        request = urllib.request.Request(url, payload.encode(), headers)  # noqa: S310
        opener = urllib.request.build_opener(
            NoRedirect,
            urllib.request.HTTPSHandler(context=context),
            urllib.request.ProxyHandler({}),
        )
        with opener.open(request, timeout=timeout) as answer:
            answer.read(LONGEST)
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)
    except (ValueError, http.client.InvalidURL) as error:  # an odd header or port
        raise RefusalError(
            f"the request is not allowed: {type(error).__name__}",
            "The URL or the credentials hold something odd.",
        ) from None
