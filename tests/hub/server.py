"""A Hugging Face hub on the loopback interface: its addresses, headers and redirects, and the faults a test asks for.

Small files are answered after a redirect within the site, large ones after a redirect to a second server (another port),
as the hub does it. Every request is recorded with what it carried and how many bytes of body it was sent."""
import hashlib
import http.server
import threading
import time
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_hash(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def is_large(name):
    return name.endswith((".safetensors", ".bin"))


def etag_of(name, data):
    return sha256(data) if is_large(name) else git_hash(data)


class Request:
    def __init__(self, server, handler):
        self.server = server  # "hub" or "cdn"
        self.method = handler.command
        self.path = urllib.parse.urlsplit(handler.path).path
        self.file = self.path.rsplit("/", 1)[-1]
        self.range = handler.headers.get("Range")
        self.token = handler.headers.get("Authorization")
        self.sent = 0


class Hub:
    """files: name -> bytes, of one repository. faults: (server, method, file) -> a list with one entry a request, each None
    or a function that answers in place of the server; the last entry stays."""

    def __init__(self, name, files, faults=None, commit=COMMIT, revisions=("main",), renamed_from=None):
        self.name, self.files, self.commit = name, files, commit
        self.revisions = set(revisions) | {commit}
        self.renamed_from = renamed_from
        self.faults = faults or {}
        self.requests, self.lock = [], threading.Lock()
        self.closing = threading.Event()
        self.servers = {which: self.serve(which) for which in ("hub", "cdn")}
        self.address = "http://127.0.0.1:%d" % self.servers["hub"].server_port
        self.cdn = "http://127.0.0.1:%d" % self.servers["cdn"].server_port

    def serve(self, which):
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                hub.handle(which, self)

            do_GET = do_HEAD

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # a client that went away is no news
                pass

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def close(self):
        self.closing.set()
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    def handle(self, which, handler):
        request = Request(which, handler)
        with self.lock:
            self.requests.append(request)
            faults = self.faults.get((which, request.method, request.file), [])
            fault = faults[0] if faults else None
            if len(faults) > 1:
                faults.pop(0)
        answer = Answer(self, handler, request)
        if fault:
            fault(answer)
        else:
            answer.right()

    def sent(self, which=None):
        return sum(request.sent for request in self.requests if which in (None, request.server))

    def of(self, which, method, file=None):
        return [r for r in self.requests if (r.server, r.method) == (which, method) and file in (None, r.file)]


class Answer:
    """What a fault can do; right() is what the hub would do."""

    def __init__(self, hub, handler, request):
        self.hub, self.handler, self.request = hub, handler, request

    def head(self, status, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers.setdefault("Content-Length", "0")  # None: no such header
        self.handler.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.handler.send_header(name, str(value))
        self.handler.end_headers()

    def body(self, data):
        if self.request.method == "GET":
            for at in range(0, len(data), 65536):
                piece = data[at : at + 65536]
                self.handler.wfile.write(piece)
                self.request.sent += len(piece)

    def error(self, status, code=None, **headers):
        self.head(status, X_Error_Code=code, X_Error_Message="a sentence of the server\x1b[31m", **headers)

    def right(self, **changed):
        hub, request = self.hub, self.request
        if request.server == "cdn":
            return self.content(hub.files[request.file], changed)
        parts = urllib.parse.unquote(request.path).split("/resolve/")
        if len(parts) == 2 and hub.renamed_from and parts[0] == "/" + hub.renamed_from:
            return self.head(307, Location="/" + hub.name + "/resolve/" + parts[1])
        if request.path.startswith("/api/resolve-cache/"):
            data = hub.files[request.file]
            return self.content(data, changed, ETag=f'"{git_hash(data)}"', X_Repo_Commit=hub.commit)
        if len(parts) != 2 or parts[0] != "/" + hub.name:
            return self.error(401, "RepoNotFound")
        revision = parts[1].rsplit("/", 1)[0]
        if revision not in hub.revisions:
            return self.error(404, "RevisionNotFound")
        data = hub.files.get(request.file)
        if data is None:
            return self.error(404, "EntryNotFound", X_Repo_Commit=hub.commit)
        if is_large(request.file):
            headers = dict(X_Repo_Commit=hub.commit, X_Linked_Etag=f'"{sha256(data)}"', X_Linked_Size=len(data),
                           ETag='"of-the-pointer"', Location=f"{hub.cdn}/{request.file}?signature=x%2Fy&expires=1")
            return self.head(302, **{**headers, **changed})
        headers = dict(X_Repo_Commit=hub.commit, X_Linked_Etag=f'"{git_hash(data)}"', X_Linked_Size=len(data),
                       Location=f"/api/resolve-cache/models/{hub.name}/{hub.commit}/{request.file}?etag=x")
        return self.head(307, **{**headers, **changed})

    def content(self, data, changed, **headers):
        first = 0
        if self.request.range:
            first = int(self.request.range.removeprefix("bytes=").removesuffix("-"))
            if first >= len(data):
                return self.error(416)
            headers["Content_Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        headers["Content_Length"] = len(data) - first
        self.head(206 if first else 200, **{**headers, **changed})
        self.body(data[first:])


# ------------------------------------------------------------------------------------------------------- faults


def status(code, error=None, **headers):
    return lambda answer: answer.error(code, error, **headers)


def with_headers(**headers):
    """The right answer with some headers changed; None leaves one out."""
    return lambda answer: answer.right(**headers)


def drop(answer):
    """Closes the connection without a word."""
    answer.handler.close_connection = True


def cut_after(count):
    """Promises the rest of the file, sends `count` bytes of it, and closes."""

    def fault(answer):
        data = answer.hub.files[answer.request.file]
        first = int(answer.request.range[6:-1]) if answer.request.range else 0
        answer.head(206 if first else 200, Content_Length=len(data) - first,
                    Content_Range=f"bytes {first}-{len(data) - 1}/{len(data)}" if first else None)
        answer.body(data[first : first + count])
        answer.handler.close_connection = True

    return fault


def stall_after(count):
    """The same, but the connection stays open and silent."""

    def fault(answer):
        cut_after(count)(answer)
        answer.handler.wfile.flush()
        answer.hub.closing.wait(30)

    return fault


def stall(answer):
    answer.hub.closing.wait(30)
    answer.handler.close_connection = True


def slowly(seconds):
    """All of it, in twenty pieces over so many seconds."""

    def fault(answer):
        data = answer.hub.files[answer.request.file]
        answer.head(200, Content_Length=len(data))
        step = len(data) // 20 + 1
        for at in range(0, len(data), step):
            answer.body(data[at : at + step])
            time.sleep(seconds / 20)

    return fault


def other_bytes(change):
    """200 with change(data), and a length that fits."""

    def fault(answer):
        data = change(answer.hub.files[answer.request.file])
        answer.head(200, Content_Length=len(data))
        answer.body(data)

    return fault


def endless(answer):
    """A body without a length that does not end by itself."""
    answer.head(200, Content_Length=None, Connection="close")
    answer.handler.close_connection = True
    while not answer.hub.closing.is_set():
        answer.body(bytes(65536))
