"""Models to and from the hub, which is a server of the tests' own."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants
from sklearn.exceptions import NotFittedError

from swae import SWAE, sharing
from swae.manifest import CorruptError
from swae.storage import CARD, FILES, WEIGHTS

X = np.random.default_rng(0).random((60, 4), dtype=np.float32)
COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """The few calls that one model needs: make, list, fetch and commit."""

    def do_GET(self):
        name, files = self.repository()
        if files is None:
            return self.answer(404, {}, {"X-Error-Code": "RepoNotFound"})
        if "/tree/" in self.path:
            entries = [
                {"type": "file", "path": path, "size": len(content), "oid": sha1(content)}
                for path, content in files.items()
            ]
            return self.answer(200, entries)
        if "/resolve/" in self.path:
            return self.give(files.get(self.path.split("/")[-1].split("?")[0]))
        return self.answer(200, {"id": name, "sha": COMMIT, "siblings": []})

    def do_HEAD(self):
        self.do_GET()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization', 'me')}/{asked['name']}"
            self.server.private[name] = asked.get("visibility", asked.get("private"))
            self.server.repositories.setdefault(name, {})
            return self.answer(200, {"url": self.url(name), "id": name, "name": name})
        if self.path == "/api/validate-yaml":  # of the card
            return self.answer(200, {"errors": [], "warnings": []})
        name, files = self.repository()
        if "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]
            return self.answer(200, {"files": modes})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        url = f"{self.url(name)}/commit/{COMMIT}"
        return self.answer(200, {"commitUrl": url, "commitOid": COMMIT, "success": True})

    def repository(self):
        parts = self.path.removeprefix("/api/models").strip("/").split("/")
        name = "/".join(parts[:2]).split("?")[0]
        return name, self.server.repositories.get(name)

    def url(self, name):
        return f"http://127.0.0.1:{self.server.server_port}/{name}"

    def give(self, content):
        if content is None:
            return self.answer(404, {}, {"X-Error-Code": "EntryNotFound"})
        self.server.given.append(self.path.split("/")[-1])
        return self.send(200, content, {"ETag": f'"{sha1(content)}"', "X-Repo-Commit": COMMIT})

    def answer(self, code, value, headers=()):
        self.send(code, json.dumps(value).encode(), dict(headers))

    def send(self, code, content, headers):
        self.send_response(code)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args):
        pass


def sha1(content):
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.repositories, server.private, server.seen, server.given = {}, {}, [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    home, template = (
        f"http://127.0.0.1:{server.server_port}",
        constants.HUGGINGFACE_CO_URL_TEMPLATE,
    )
    monkeypatch.setattr(constants, "ENDPOINT", home)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", home + template[template.index("/{repo_id}") :]
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield server
    huggingface_hub.close_session()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def model():
    return SWAE(n_projections=5, max_epochs=1, batch_size=20, network="mlp").fit(X)


def test_a_model_comes_back(hub, model, tmp_path):
    evaluation = model.evaluate(X)
    url = model.push_to_hub("ants/ring", private=True, token="hf_x", evaluation=evaluation)
    assert url.endswith(f"/ants/ring/commit/{COMMIT}")
    assert hub.repositories["ants/ring"].keys() == set(FILES)
    assert hub.private["ants/ring"] in (True, "private")
    assert {token for _, token in hub.seen} == {"Bearer hf_x"}
    card = hub.repositories["ants/ring"][CARD].decode()
    assert 'SWAE.from_pretrained("ants/ring")' in card

    hub.repositories["ants/ring"]["malware.py"] = b"1 / 0"
    again = SWAE.from_pretrained("ants/ring", device="cpu")
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    assert again.evaluation_ == evaluation.flat()
    assert set(hub.given) == set(FILES)  # and nothing else

    hub.shutdown()
    hub.server_close()  # what was fetched before needs no network
    offline = SWAE.from_pretrained("ants/ring")
    np.testing.assert_array_equal(offline.transform(X), model.transform(X))


def test_nothing_is_believed(hub, model):
    model.push_to_hub("ants/ring")
    hub.repositories["ants/ring"][WEIGHTS] = b"something else"
    with pytest.raises(CorruptError, match=r"model\.safetensors"):
        SWAE.from_pretrained("ants/ring")


def test_what_is_no_model(hub):
    hub.repositories["ants/text"] = {"pytorch_model.bin": b"pickle"}
    with pytest.raises(ValueError, match=r"ants/text on the hub holds no config\.json"):
        SWAE.from_pretrained("ants/text")
    assert hub.given == []


@pytest.mark.parametrize("name", ["ants/none", "ants/none@x y", "runs/../none"])
def test_a_name_of_nothing(hub, name):
    with pytest.raises(ValueError, match=r"The hub has no 'ants/none'|neither a folder that is"):
        SWAE.from_pretrained(name)


def test_without_a_network(monkeypatch, tmp_path, model):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(OSError, match="The hub did not give or take 'ants/ring': "):
        SWAE.from_pretrained("ants/ring")
    with pytest.raises(OSError, match="The hub did not give or take 'ants/ring': "):
        model.push_to_hub("ants/ring")


def test_there_is_nothing_to_push(hub):
    with pytest.raises(NotFittedError):
        SWAE().push_to_hub("ants/ring")
    assert hub.seen == []


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"not installed: `pip install 'swae\[hub\]'`"):
        sharing.download("ants/ring")
