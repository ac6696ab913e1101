"""pip's own configuration, as far as fetching a published file needs it.

Files and environment variables in pip's order of precedence: system, user, the environment's prefix,
`PIP_CONFIG_FILE`, then `PIP_*` variables (https://pip.pypa.io/en/stable/topics/configuration/). Read by ourselves
because pip has no interface for it and need not be installed.
"""

import configparser
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SECTIONS = ("global", "download")  # the second overrides the first, as for `pip download`


@dataclass(frozen=True, slots=True)
class PipConfig:
    """Where pip looks for packages and how it reaches them. None and empty mean: not configured."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    trusted_hosts: tuple[str, ...] = ()


def config_files(environ: Mapping[str, str]) -> list[Path]:
    """The files that pip would read, from the weakest to the strongest. They need not exist."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = Path(environ.get("HOME") or Path.home())
    if sys.platform == "darwin":
        shared = [Path("/Library/Application Support/pip/pip.conf")]
        support = home / "Library/Application Support/pip"
        own = support if support.is_dir() else home / ".config/pip"
    else:
        folders = [Path(folder) for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep) if folder]
        shared = [*(folder / "pip/pip.conf" for folder in folders), Path("/etc/pip.conf")]
        own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
    files = [*shared, home / ".pip/pip.conf", own / "pip.conf", Path(sys.prefix) / "pip.conf"]
    return [*files, Path(named)] if named else files


def read_pip_config(environ: Mapping[str, str] | None = None) -> PipConfig:
    """Read pip's configuration. A file that cannot be read or parsed counts as absent: this is not pip's doctor."""
    environ = os.environ if environ is None else environ
    values: dict[str, str] = {}
    parser = configparser.RawConfigParser()
    for path in config_files(environ):
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue
    for section in SECTIONS:
        if parser.has_section(section):
            values |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    for key, value in environ.items():
        if key.startswith("PIP_") and value:
            values[key.removeprefix("PIP_").lower().replace("_", "-")] = value
    return PipConfig(
        index_url=values.get("index-url", "").strip() or None,
        extra_index_urls=tuple(values.get("extra-index-url", "").split()),
        find_links=tuple(values.get("find-links", "").split()),
        no_index=values.get("no-index", "").strip().lower() in {"1", "true", "yes", "on"},
        cert=values.get("cert", "").strip() or None,
        client_cert=values.get("client-cert", "").strip() or None,
        proxy=values.get("proxy", "").strip() or None,
        trusted_hosts=tuple(values.get("trusted-host", "").split()),
    )
