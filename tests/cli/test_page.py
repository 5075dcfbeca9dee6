"""The server of the page: what it serves, what it refuses, and what it says when something is missing."""

import contextlib
import http.client
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from cspn_tf.cli import page
from cspn_tf.console import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def web(tmp_path):
    """A page of a few files, with a secret beside it that a link in it leads to."""
    web = tmp_path / "web"
    runtime = web / "node_modules" / "@litertjs" / "core"
    runtime.mkdir(parents=True)
    (web / "index.html").write_text("the page")
    (web / "app.js").write_text("the program")
    (runtime / "a.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret.txt").write_text("a secret")
    (tmp_path / "web-beside").mkdir()
    (tmp_path / "web-beside" / "secret.txt").write_text("a secret")
    (web / "link.txt").symlink_to(tmp_path / "secret.txt")
    return web


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(b"the model")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("cspn.json", "{}")
    return path


@pytest.fixture
def ask(web, model):
    """A function of a path, and a method, that returns status, headers and content of the server's answer."""
    with page.make_server(web, model) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()

        def ask(path, method="GET", **headers):
            with contextlib.closing(http.client.HTTPConnection(page.HOST, server.server_port)) as connection:
                connection.request(method, path, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.headers, answer.read()

        yield ask
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "content_type", "content"),
    [
        ("/", "text/html; charset=utf-8", b"the page"),
        ("/app.js?v=1", "text/javascript; charset=utf-8", b"the program"),
        ("/node_modules/@litertjs/core/a.wasm", "application/wasm", b"\0asm"),
        ("/model/cspn.tflite", "application/octet-stream", None),
    ],
)
def test_files_have_the_types_that_browsers_ask_for_and_isolate_the_page(ask, model, path, content_type, content):
    status, headers, found = ask(path)
    assert (status, headers["Content-Type"], found) == (200, content_type, content or model.read_bytes())
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Content-Security-Policy"].startswith("default-src 'self'; ")


@pytest.mark.parametrize(
    "path",
    [
        *("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/node_modules/../../secret.txt", "//secret.txt"),
        *("/../web-beside/secret.txt", "/link.txt", "/node_modules/", "/app.js/", "/gone.js", "/%00", "/model/"),
    ],
)
def test_nothing_else_is_served(ask, path):
    assert ask(path)[0] == 404


def test_a_browser_that_has_another_model_of_a_later_date_gets_this_one(ask, model):
    status, _, found = ask("/model/cspn.tflite", **{"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"})
    assert (status, found) == (200, model.read_bytes())


def test_nothing_is_taken(ask):
    assert ask("/", "POST")[0] == ask("/photo.jpg", "PUT")[0] == 501


def test_what_is_missing_is_named_with_its_remedy(web, model, tmp_path):
    page.check_files(web, model)
    with pytest.raises(UserError, match=r"gone is missing: run this in a checkout of cspn-tf"):
        page.check_files(tmp_path / "gone", model)
    with pytest.raises(UserError, match=r"gone.tflite is missing: write one by `cspn-tf export-tflite`"):
        page.check_files(web, tmp_path / "gone.tflite")
    other = tmp_path / "detector.tflite"
    for content in (b"no model", model.read_bytes().replace(b"cspn.json", b"part.json")):
        other.write_bytes(content)
        with pytest.raises(
            UserError, match=r"detector.tflite is not a cspn.tflite of .*: it has no cspn.json attached"
        ):
            page.check_files(web, other)
    (web / "node_modules").rename(tmp_path / "away")
    with pytest.raises(UserError, match=r"core is missing: run npm ci in .*web$"):
        page.check_files(web, model)


def command(web, *arguments):
    """Return a call of the command with another folder for the page, which fails if TensorFlow is imported."""
    code = f"""
import pathlib, sys
from cspn_tf.cli import page
from cspn_tf.console import run
page.WEB = pathlib.Path({str(web)!r})
code = run(page.main, {list(map(str, arguments))!r})
assert "tensorflow" not in sys.modules
sys.exit(code)
"""
    return [sys.executable, "-c", code]


def test_a_port_in_use_is_one_line(web, model, free_address):
    port = free_address.split(":")[1]
    call = command(web, "--model", model, "--port", port)
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, f"error: port {port} on 127.0.0.1 is already in use\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_where_it_is_and_stops_on_signals(web, model, number):
    call = command(web, "--model", model, "--port", 0)
    with subprocess.Popen(call, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        line = server.stdout.readline()
        server.send_signal(number)
        try:
            out, err = server.communicate(timeout=30)
        finally:
            server.kill()
    assert line.startswith("ready on http://127.0.0.1:") and line.endswith("/\n")
    assert (server.returncode, out, err) == (0, "", "")
