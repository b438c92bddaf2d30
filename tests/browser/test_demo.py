"""The demo as a person meets it: three addresses, three passwords, a browser."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from tests.fleet import Fleet

LIMIT_SECONDS = 30
CHROMIUM = ("chromium", "chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """What the demo printed: address and password by shortname."""

    fleet: Fleet
    addresses: dict[str, str]
    passwords: dict[str, str]


@pytest.fixture(scope="module")
def demo() -> Iterator[Shown]:
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-demo-"))
    directory.chmod(0o755)
    fleet = Fleet(
        directory / "home",
        {
            "VMOODLE_MOODLE_TREES": str(directory / "none" / "*"),
            "VMOODLE_DEMO_HOME": str(directory / "home"),
        },
    )
    try:
        said = fleet.run("demo").stdout
        yield Shown(
            fleet,
            dict(re.findall(r"^(\w+) +yes .* (http://\S+)$", said, re.M)),
            dict(re.findall(r"^(\w+) +admin +(\S+)$", said, re.M)),
        )
    finally:
        fleet.run("demo", "remove", status=None)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    missing = [name for name in CHROMIUM if not shutil.which(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in FLAGS:
        options.add_argument(flag)
    with tempfile.TemporaryDirectory(prefix="vmoodle-chromium-") as profile:
        options.add_argument(f"--user-data-dir={profile}")
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
        driver = webdriver.Chrome(options=options, service=service)
        yield driver
        driver.quit()


def log_in(browser: webdriver.Chrome, address: str, password: str) -> None:
    browser.get(f"{address}/login/index.php")
    browser.find_element(By.NAME, "username").send_keys("admin")
    browser.find_element(By.NAME, "password").send_keys(password)
    browser.find_element(By.CSS_SELECTOR, "[type=submit]").click()
    WebDriverWait(browser, LIMIT_SECONDS).until(
        lambda found: (
            found.find_elements(By.PARTIAL_LINK_TEXT, "Log out")
            or "Invalid login" in found.page_source
        )
    )


def test_the_demo_shows_three_sites_with_addresses_and_passwords(demo: Shown) -> None:
    assert set(demo.addresses) == set(demo.passwords) == {"alpha", "beta", "gamma"}


def test_a_person_logs_in_to_each_site_with_its_own_password(
    demo: Shown, browser: webdriver.Chrome
) -> None:
    names = {"alpha": "Alpha School", "beta": "Lycée Bêta", "gamma": "Gamma's College"}
    for shortname, address in demo.addresses.items():
        log_in(browser, address, demo.passwords[shortname])
        assert names[shortname] in browser.page_source
        assert browser.find_elements(By.PARTIAL_LINK_TEXT, "Log out")


def test_a_person_does_not_log_in_with_the_password_of_another_site(
    demo: Shown, browser: webdriver.Chrome
) -> None:
    log_in(browser, demo.addresses["alpha"], demo.passwords["beta"])
    assert "Invalid login" in browser.page_source


def test_a_second_run_finds_everything_running(demo: Shown) -> None:
    said = demo.fleet.run("demo").stdout
    assert all(address in said for address in demo.addresses.values())
    assert all(password in said for password in demo.passwords.values())


def test_a_stopped_demo_answers_again_after_the_next_start(demo: Shown) -> None:
    demo.fleet.run("demo", "stop")
    said = demo.fleet.run("demo").stdout
    assert len(re.findall(r"^\w+ +yes ", said, re.M)) == 3
    demo.fleet.assert_clean()
