"""Serve the page that finds garments and their keypoints in the browser, where the photos stay.

    cspn-tf page
    cspn-tf page --port 8600 --model phone/cspn.tflite

The page is the folder `web` of a checkout, and runs on the machine's own browser only: it listens on 127.0.0.1.
"""

import contextlib
import http
import http.server
import zipfile
from pathlib import Path

from cspn_tf.cli.local_server import port_number
from cspn_tf.console import Parser, UserError, termination_as_interrupt
from cspn_tf.models import checkpoints
from cspn_tf.serve.local_server import READY_PREFIX, check_address_is_free

HOST = "127.0.0.1"
MODEL_PATH = "/model/cspn.tflite"
WEB = Path(__file__).parents[2] / "web"
DEFAULT_MODEL = checkpoints.SHIPPED_PAIR / checkpoints.TFLITE
# For the page's worker, to which the policy in index.html does not apply: nothing is loaded from or sent elsewhere.
_POLICY = (
    "default-src 'self'; script-src 'self' blob: 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "img-src 'self' blob: data:"
)
# Attached to a TFLite file of the whole pipeline, see `cspn_tf.export.tflite_metadata`.
_DESCRIPTION = "cspn.json"
# What the runtime is made of; `npm ci` installs it.
_RUNTIME = Path("node_modules") / "@litertjs" / "core"


def main(argv=None):
    """Serve the page until interrupted."""
    parts = __doc__.split("\n\n")
    parser = Parser(any_names=("model",), description=parts[0], epilog=parts[2])
    parser.add_argument("--port", type=port_number, default=8600, help="port to listen on; 0 picks a free port")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, metavar="FILE", help=".tflite file to serve")
    args = parser.parse_args(argv)
    web = WEB if WEB.is_dir() else Path("web")  # the package may be installed, and the checkout the current folder
    check_files(web, args.model)
    check_address_is_free(HOST, args.port)
    with (
        termination_as_interrupt(),
        contextlib.suppress(KeyboardInterrupt),
        make_server(web, args.model, args.port) as server,
    ):
        print(f"{READY_PREFIX}http://{HOST}:{server.server_port}/", flush=True)
        server.serve_forever()


def check_files(web, model) -> None:
    """Check that the page, its runtime and the model are there.

    Raises:
        UserError: one of them is missing, or the model is another file; the message says where it comes from.
    """
    if not (web / "index.html").is_file():
        raise UserError(f"{web} is missing: run this in a checkout of cspn-tf, whose part the page is")
    if not (web / _RUNTIME).is_dir():
        raise UserError(f"{web / _RUNTIME} is missing: run npm ci in {web}")
    if not model.is_file():
        raise UserError(f"{model} is missing: write one by `cspn-tf export-tflite`, and name it by --model")
    if _DESCRIPTION not in _attached(model):
        raise UserError(f"{model} is not a cspn.tflite of `cspn-tf export-tflite`: it has no {_DESCRIPTION} attached")


def _attached(model):
    try:
        with zipfile.ZipFile(model) as archive:
            return archive.namelist()
    except zipfile.BadZipFile:
        return []


def make_server(web, model, port=0):
    """Return an HTTP server of the page, on 127.0.0.1, to be closed by the caller.

    Args:
        web: folder of the page.
        model: the `.tflite` file.
        port: port to listen on; 0 for a free one.
    """
    handler = type("Handler", (_Handler,), {"web": web.resolve(), "model": model.resolve()})
    return http.server.ThreadingHTTPServer((HOST, port), handler)


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the files of a folder, and one model."""

    web: Path
    model: Path
    # Not left to the machine's tables: browsers refuse modules and WebAssembly of another type.
    extensions_map = {  # noqa: RUF012
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".mjs": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".map": "application/json",
        ".wasm": "application/wasm",
        "": "application/octet-stream",
    }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, directory=str(self.web), **kwargs)

    def translate_path(self, path):
        """Return the file of a URL's path; one that leaves the folder, by a symlink too, has no file."""
        if path.partition("?")[0] == MODEL_PATH:
            return str(self.model)
        found = super().translate_path(path)
        return found if Path(found).resolve().is_relative_to(self.web) else ""

    def send_head(self):
        # Never answered by "not modified": another model may have an earlier date.
        del self.headers["If-Modified-Since"]
        try:
            return super().send_head()
        except ValueError:  # a zero byte in the path
            self.send_error(http.HTTPStatus.NOT_FOUND, "File not found")

    def list_directory(self, path):
        self.send_error(http.HTTPStatus.NOT_FOUND, "File not found")

    def end_headers(self):
        # An isolated page may use threads.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def handle(self):
        with contextlib.suppress(ConnectionError):  # the tab was closed or reloaded
            super().handle()

    def log_message(self, *args):
        """Do not log requests."""
