"""Fixtures shared by all layers."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parent.parent

# servers of tests are on this machine, whatever proxy leads elsewhere
for name in ("NO_PROXY", "no_proxy"):
    os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1,localhost")))

# a slow machine is no failed test
settings.register_profile("openrek", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("openrek")


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real test media: OPENREK_TEST_MEDIA, or `shared/media` beside the checkout. Skips where absent."""
    folder = Path(os.environ.get("OPENREK_TEST_MEDIA") or ROOT.parent / "shared" / "media")
    if not folder.is_dir():
        pytest.skip("the test media are not here; set OPENREK_TEST_MEDIA to their folder")
    return folder


@pytest.fixture(scope="session")
def photos() -> dict[str, Path]:
    """Real photos that come inside dependencies of the `demo` extra, by name."""
    import matplotlib
    import skimage
    import sklearn.datasets

    science = Path(skimage.__file__).parent / "data"
    scikit = Path(sklearn.datasets.__file__).parent / "images"
    return {
        "astronaut": science / "astronaut.png",
        "chelsea": science / "chelsea.png",
        "coffee": science / "coffee.png",
        "rocket": science / "rocket.jpg",
        "page": science / "page.png",
        "text": science / "text.png",
        "china": scikit / "china.jpg",
        "flower": scikit / "flower.jpg",
        "hopper": Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg",
    }


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "LoadScopeScheduling":
    """Keep a module that starts servers on one worker, so that each starts once and not on every worker."""
    from xdist.scheduler import LoadScopeScheduling

    class Modules(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return path if path.startswith(("tests/acceptance/", "tests/congruence/")) else nodeid

    return Modules(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the numbers that tests recorded with `record_property`."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
