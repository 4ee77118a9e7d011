"""A small server that speaks the Hugging Face hub's API, for its own library to be tested against without a network."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_digest(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Files at /OWNER/NAME/resolve/REVISION/FILE, lists at /api/models/OWNER/NAME/..., commits to them."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, content=b"", head=False, **headers):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
            headers["Content-Type"] = "application/json"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not head:
            self.wfile.write(content)

    def do_HEAD(self):
        self.do_GET(head=True)

    def do_GET(self, head=False):
        hub = self.server.hub
        path = urllib.parse.unquote(self.path.partition("?")[0])
        hub.asked.append((self.command, path))
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.file(match[1], match[2], match[3], head)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            return self.known(match[1], match[2]) and self.answer(200, self.tree(match[1]))
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
            files = [{"rfilename": name} for name in hub.repositories.get(match[1], {})]
            info = {"id": match[1], "sha": COMMIT, "siblings": files}
            return self.known(match[1], match[2]) and self.answer(200, info)
        return self.answer(404, {"error": path})

    def known(self, repository, revision):
        if repository not in self.server.hub.repositories:
            self.answer(
                401, {"error": "not found"}, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found"
            )
        elif revision not in (None, "main", COMMIT):
            self.answer(404, {"error": "no such"}, X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
        else:
            return True
        return False

    def tree(self, repository):
        files = self.server.hub.repositories[repository].items()
        return [{"type": "file", "path": name, "size": len(it), "oid": git_digest(it)} for name, it in files]

    def file(self, repository, revision, name, head):
        hub = self.server.hub
        if not self.known(repository, revision):
            return
        content = hub.repositories[repository].get(name)
        if content is None:
            self.answer(404, X_Repo_Commit=COMMIT, X_Error_Code="EntryNotFound", X_Error_Message="Entry not found")
            return
        headers = {"X_Repo_Commit": COMMIT, "ETag": f'"{git_digest(content)}"'}
        if name.endswith(hub.large):  # these files have another digest, and are elsewhere
            headers |= {"X_Linked_Etag": f'"{hashlib.sha256(content).hexdigest()}"', "X_Linked_Size": str(len(content))}
        self.answer(200, hub.sent.get(name, content), head=head, **headers)

    def do_POST(self):
        hub = self.server.hub
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urllib.parse.unquote(self.path.partition("?")[0])
        hub.asked.append((self.command, path))
        if path == "/api/repos/create":
            given = json.loads(body)
            repository = f"{given.get('organization') or 'someone'}/{given['name']}"
            hub.repositories.setdefault(repository, {})
            self.answer(200, {"url": f"{hub.url}/{repository}", "name": repository, "id": repository})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = [{"path": item["path"], "uploadMode": "regular"} for item in json.loads(body)["files"]]
            self.answer(200, {"files": [{**item, "shouldIgnore": False, "oid": None} for item in files]})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            for line in body.splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    hub.repositories[match[1]][row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            self.answer(200, {"commitUrl": f"{hub.url}/{match[1]}/commit/{COMMIT}", "commitOid": COMMIT})
        elif path == "/api/validate-yaml":
            self.answer(200, {"errors": [], "warnings": []})
        else:
            self.answer(404, {"error": path})


class Hub:
    """What the server has: `repositories`, name -> {file: contents}; `sent`, contents sent in place of a file's own;
    `large`, ends of the names of files that the hub keeps by their SHA-256; `asked`, the requests."""

    def __init__(self):
        self.repositories, self.sent, self.asked = {}, {}, []
        self.large = (".safetensors", ".h5", ".bin")
        self.url = ""


@contextlib.contextmanager
def serve():
    hub = Hub()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub = hub
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def use(hub, cache, monkeypatch):
    """Has huggingface_hub ask this server, and keep its files in this folder.

    This is what HF_ENDPOINT and HF_HUB_CACHE do, which it reads once, when it is imported.
    """
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_TOKEN", "hf_none")
