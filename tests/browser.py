"""A real browser for tests of pages: Chromium without a window, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

#: Set by CI: what is missing fails instead of being skipped.
REQUIRED = bool(os.environ.get("REQUIRE_BROWSER"))
#: Milliseconds that a page gets for anything.
WAIT = 120_000
#: WebGPU computed by SwiftShader, on the CPU.
WEBGPU = (
    *("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"),
    *("--enable-features=Vulkan", "--ignore-gpu-blocklist"),
)


def missing(reason: str) -> None:
    """Skip, or fail in CI."""
    if REQUIRED:
        pytest.fail(f"REQUIRE_BROWSER is set, and {reason}")
    pytest.skip(reason)


@contextmanager
def launched(*flags: str) -> Iterator[Any]:
    """A browser; skipped where Chromium or Playwright is missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("there is no Chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", *flags])
        yield browser
        browser.close()


def opened(browser: Any, address: str) -> Any:
    """A page in a window of its own, which may say nothing wrong to its console (`complaints`)."""
    page = browser.new_page()
    page.set_default_timeout(WAIT)
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.goto(address)
    return page


def upload(page: Any, content: bytes, name: str = "me.png", kind: str = "image/png") -> None:
    """Choose a photo."""
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})


def move(page: Any, slider: str, value: float) -> None:
    """Move a slider as a hand does."""
    script = "(input, value) => { input.value = value; input.dispatchEvent(new Event('input', {bubbles: true})); }"
    page.eval_on_selector(f"input[data-name={slider}]", script, value)


def shown_picture(page: Any) -> bytes:
    """What the stage shows of the result, at its own size, as a PNG file."""
    script = """async (image) => {
      await image.decode();
      const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
      canvas.getContext('2d').drawImage(image, 0, 0);
      const bytes = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
      return Array.from(bytes);
    }"""
    return bytes(page.eval_on_selector("#result", script))
