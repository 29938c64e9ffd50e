"""One service, one provider and one Chromium for all tests of a process."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright

from demo import postgres
from demo.provider import Provider
from demo.service import Service, copy_prepared
from recordings.tests.browser.house import House, Visit, visit

Visiting = Callable[..., AbstractContextManager[Visit]]


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A real Chromium, without a window."""
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # root has none
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Its loop may count as running in this thread between its calls: to whatever test comes next in this process,
        # Django would refuse the database.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=chromium, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def house(
    prepared_var: Path, prepared_database: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """A service that serves, and the provider that its business records at."""
    var = tmp_path_factory.mktemp("house") / "var"
    copy_prepared(prepared_var, var)
    with ExitStack() as stack:
        url = None
        if prepared_database is not None:
            url = stack.enter_context(postgres.fresh_database(os.environ["DATABASE_URL"], template=prepared_database))
        provider = stack.enter_context(Provider(auth="none"))
        allowed = {"RECORDINGS_ALLOW_PRIVATE_HOSTS": urlsplit(provider.base_url).netloc}
        service = Service(var, database_url=url, environment=allowed)
        stack.callback(service.kill)
        stack.callback(service.stop)
        house = House(service, provider)
        house.settle()
        service.start()
        yield house


@pytest.fixture
def visiting(browser: Browser, house: House) -> Callable[..., AbstractContextManager[Visit]]:
    """`with visiting() as here:` a person's browser; options are those of a Playwright context."""
    return partial[Any](visit, browser, house)
