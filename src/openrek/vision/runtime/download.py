"""Plain HTTP downloads: resumed after a break, kept to https, never larger than announced by the caller."""

import ipaddress
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests

from openrek.vision.runtime.pipconfig import PipConfig

log = logging.getLogger(__name__)

CHUNK = 16 * 1024
"""Bytes read at a time; a connection that breaks loses at most so many."""
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadError(Exception):
    """A file could not be had; the message is a clause without a full stop, safe to show (no credentials)."""


def shown(url: str) -> str:
    """The address without credentials, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def is_loopback(host: str | None) -> bool:
    if host in {"localhost", "ip6-localhost"}:
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


class NotThereError(DownloadError):
    """The server answers, but not with this file."""


class Client(requests.Session):
    """A session that speaks https only, or http with this machine and with hosts that pip is told to trust.

    pip's certificate bundle, client certificate and proxy are used; `REQUESTS_CA_BUNDLE`, the `*_PROXY` variables and
    `.netrc` work as in every requests program. `timeout` is (connect, read) in seconds.
    """

    def __init__(self, pip: PipConfig | None = None, *, timeout: tuple[float, float] = (10.0, 30.0)) -> None:
        super().__init__()
        self._pip = pip or PipConfig()
        self._timeout = timeout
        self.max_redirects = 10
        self.cert = self._pip.client_cert
        if self._pip.proxy:
            self.proxies = {"http": self._pip.proxy, "https": self._pip.proxy}
        self._credentials: dict[str, tuple[str, str]] = {}

    def check(self, url: str) -> None:
        """Raise DownloadError unless the address may be opened."""
        parts = urlsplit(url)
        if parts.scheme == "https" and parts.hostname:
            return
        trusted = {parts.netloc.rpartition("@")[2], parts.hostname} & set(self._pip.trusted_hosts)
        if parts.scheme == "http" and parts.hostname and (is_loopback(parts.hostname) or trusted):
            return
        raise DownloadError(f"{shown(url)} is not an https address")

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        if self._pip.cert and settings["verify"] is not False:
            settings["verify"] = self._pip.cert  # pip's setting is the more specific one
        return settings

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None:
            self.check(urljoin(resp.url, target))
        return target

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        self.check(str(url))
        if options.get("timeout") is None:
            options["timeout"] = self._timeout
        parts = urlsplit(str(url))
        host = parts.netloc.rpartition("@")[2]
        if parts.username:
            self._credentials[host] = requests.utils.get_auth_from_url(str(url))
        elif host in self._credentials and options.get("auth") is None:
            options["auth"] = self._credentials[host]  # as pip: an index's credentials serve its files on the same host
        return super().request(method, url, *args, **options)


Report = Callable[[int, int | None], None]  # bytes so far, bytes in all where known


def download(
    client: Client, url: str, part: Path, *, limit: int, report: Report, attempts: int = 4, pause: float = 0.5
) -> bool:
    """Fetch `url` into `part`, going on where an earlier try stopped. Returns True where it did go on.

    `limit` is the largest number of bytes taken. Raises DownloadError after `attempts` tries, at once on an answer that
    another try would not change.
    """
    resumed = False
    failure = "no answer"
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        have = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        try:
            with client.get(url, headers=headers, stream=True) as answer:
                if answer.status_code == 416:  # all of it is here already, or the file has changed: begin again
                    if have and answer.headers.get("Content-Range", "") == f"bytes */{have}":
                        return True
                    part.unlink(missing_ok=True)
                    failure = "the server refuses to resume"
                    continue
                if answer.status_code in RETRIED:
                    failure = f"{shown(url)} answers {answer.status_code} {answer.reason}"
                    continue
                if answer.status_code not in {200, 206}:
                    raise NotThereError(f"{shown(url)} answers {answer.status_code} {answer.reason}")
                going_on = answer.status_code == 206
                if going_on and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                    part.unlink(missing_ok=True)
                    failure = "the server resumes at another place"
                    continue
                resumed = resumed or going_on
                if _take(answer, part, have if going_on else 0, url=url, limit=limit, report=report):
                    return resumed
                failure = f"{shown(url)} broke off"
        except requests.exceptions.Timeout:
            failure = f"{urlsplit(url).hostname} does not answer in time"
        except requests.exceptions.SSLError as error:
            raise DownloadError(
                f"{urlsplit(url).hostname} has no certificate that is trusted here ({cause(error)})"
            ) from error
        except requests.exceptions.TooManyRedirects as error:
            raise DownloadError(f"{shown(url)} redirects in circles") from error
        except requests.exceptions.RequestException as error:
            failure = f"{urlsplit(url).hostname} cannot be reached ({cause(error)})"
        log.info("download of %s, try %d of %d: %s", shown(url), attempt + 1, attempts, failure)
    raise DownloadError(failure)


def _take(answer: requests.Response, part: Path, have: int, *, url: str, limit: int, report: Report) -> bool:
    """Write the body; True where it is complete."""
    length = answer.headers.get("Content-Length", "")
    total = have + int(length) if length.isdecimal() else None
    if total is not None and total > limit:
        raise DownloadError(f"{shown(url)} is {total} bytes long where at most {limit} are expected")
    report(have, total)
    with part.open("ab" if have else "wb") as file:
        for chunk in answer.iter_content(CHUNK):
            have += len(chunk)
            if have > limit:
                part.unlink(missing_ok=True)
                raise DownloadError(f"{shown(url)} is longer than the {limit} bytes expected")
            file.write(chunk)
            report(have, total)
    return total is None or have == total


def cause(error: BaseException) -> str:
    """The innermost reason in a few words: `Connection refused` rather than five nested class names."""
    reason: BaseException = error
    while True:
        inner = next((arg for arg in reason.args if isinstance(arg, BaseException)), None)
        inner = getattr(reason, "reason", None) if isinstance(getattr(reason, "reason", None), BaseException) else inner
        if inner is None or inner is reason:
            break
        reason = inner
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    text = re.sub(r"\[Errno -?\d+\] ", "", text).rpartition(": ")[2].strip(" .<>'\"")
    return text or type(reason).__name__
