#!/usr/bin/env python3
"""`dino-vk fetch` against a hub on the loopback interface: test_fetch.py COMMAND SYNTH_MODEL [PATTERN...]

No test here leaves the machine: the only address that the command gets is 127.0.0.1, and proxies are switched off."""
import fcntl
import json
import os
import pathlib
import resource
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import harness
import server
from server import COMMIT, Hub, etag_of

NAME = "someone/tiny-vit"
FOLDER = "models--someone--tiny-vit"
USAGE, MODEL, OUTPUT = 1, 3, 5
SMALL = ("config.json", "preprocessor_config.json", "README.md")
WEIGHTS = "model.safetensors"


class Fetching(harness.Case):
    def setUp(self):
        super().setUp()
        model = harness.setup.model
        self.files = {name: (model / name).read_bytes() for name in (*SMALL[:2], WEIGHTS)}
        self.files["README.md"] = b"---\nlicense: apache-2.0\n---\n# A tiny model\n"
        self.use_cache("hub")

    def use_cache(self, name):
        self.cache = self.folder / name
        self.repository = self.cache / FOLDER

    def serve(self, faults=None, **options):
        hub = Hub(options.pop("name", NAME), options.pop("files", self.files), faults, **options)
        self.addCleanup(hub.close)
        return hub

    def environment(self, hub, **more):
        return {"HF_HUB_CACHE": str(self.cache), "HF_ENDPOINT": hub if isinstance(hub, str) else hub.address,
                "NO_PROXY": "*", "http_proxy": None, "all_proxy": None, "ALL_PROXY": None, "HF_HUB_DOWNLOAD_TIMEOUT": "1",
                "DINO_VK_MODEL": None, "TRANSFORMERS_OFFLINE": None, "HUGGING_FACE_HUB_TOKEN": None,
                "HUGGINGFACE_HUB_CACHE": None, **more}

    def fetch(self, hub, *arguments, environment=None, **options):
        return self.run_command("fetch", *(arguments or (NAME,)), environment=self.environment(hub, **(environment or {})),
                                **options)

    def fetch_good(self, hub, *arguments, **options):
        result = self.fetch(hub, *arguments, **options)
        self.assertEqual((result.code, result.err), (0, ""))
        return result

    def check_sentence(self, result, code, words):
        self.assertEqual(result.code, code, result.err)
        self.assertRegex(result.err, r"\Adino-vk: [^\n]*\n\Z")
        self.assertNotIn("\x1b", result.err)
        self.assertEqual(result.out, b"")
        for word in words:
            self.assertIn(word, result.err)
        print("# " + result.err, end="")

    def check_refused(self, code, words, hub, *arguments, **options):
        self.check_sentence(self.fetch(hub, *arguments, **options), code, words)

    def check_complete(self, files=None, commit=COMMIT, refs={"main": COMMIT}):
        """The layout of huggingface_hub, and nothing besides."""
        files = self.files if files is None else files
        snapshot = self.repository / "snapshots" / commit
        self.assertEqual({path.name for path in snapshot.iterdir()}, set(files))
        for name, data in files.items():
            etag = etag_of(name, data)
            self.assertEqual(os.readlink(snapshot / name), "../../blobs/" + etag)
            self.assertEqual((self.repository / "blobs" / etag).read_bytes(), data)
        self.assertEqual(self.blobs(), {etag_of(name, data) for name, data in files.items()})
        found = {str(path.relative_to(self.repository / "refs")): path.read_text()
                 for path in (self.repository / "refs").rglob("*") if path.is_file()} if refs else {}
        self.assertEqual(found, refs)
        self.assertEqual({path.name for path in self.repository.iterdir()}, {"blobs", "snapshots"} | ({"refs"} if refs else set()))
        self.assertEqual({path.name for path in self.cache.iterdir()}, {FOLDER, ".locks"})

    def blobs(self):
        return {path.name for path in (self.repository / "blobs").glob("*")}

    def incomplete(self):
        return self.repository / "blobs" / (etag_of(WEIGHTS, self.files[WEIGHTS]) + ".incomplete")


class Fetch(Fetching):
    def test_layout(self):
        hub = self.serve()
        result = self.fetch_good(hub)
        snapshot = self.repository / "snapshots" / COMMIT
        self.assertEqual(result.out.decode(), f"{snapshot}\n")
        self.check_complete()
        locks = {path.name for path in (self.cache / ".locks" / FOLDER).iterdir()}
        self.assertEqual(locks, {name + ".lock" for name in self.blobs()})
        info, = self.run_good("info", "--json", NAME, environment=self.environment(hub)).lines()
        self.assertEqual((info["model"], info["architecture"], info["stored"]), (NAME, "ViTModel", "F32"))
        self.assertEqual(len(hub.of("cdn", "GET")), 1)

    def test_second_time(self):
        hub = self.serve()
        self.fetch_good(hub)
        hub.requests.clear()
        first = self.fetch_good(hub)
        self.assertEqual(hub.sent(), 0)
        self.assertFalse(hub.of("hub", "GET") + hub.of("cdn", "GET"))
        # A commit never changes, so nobody need be asked.
        hub.requests.clear()
        self.assertEqual(self.fetch_good(hub, NAME, "--revision", COMMIT).out, first.out)
        self.assertEqual(hub.requests, [])
        self.check_complete()

    def test_new_commit(self):
        self.fetch_good(self.serve())
        files, commit = dict(self.files, **{"README.md": b"changed\n"}), "f" * 40
        hub = self.serve(files=files, commit=commit)
        self.fetch_good(hub)
        self.assertEqual({request.file for request in hub.requests if request.sent}, {"README.md"})
        self.assertEqual((self.repository / "refs" / "main").read_text(), commit)
        self.assertEqual({path.name for path in (self.repository / "snapshots").iterdir()}, {COMMIT, commit})
        self.assertEqual((self.repository / "snapshots" / commit / "README.md").read_bytes(), b"changed\n")
        info, = self.run_good("info", "--json", NAME, environment=self.environment(hub)).lines()
        self.assertEqual(info["architecture"], "ViTModel")

    def test_revisions(self):
        hub = self.serve(revisions=("main", "v1.0", "refs/pr/3"))
        for revision, refs in (("v1.0", {"v1.0": COMMIT}), ("refs/pr/3", {"v1.0": COMMIT, "refs/pr/3": COMMIT})):
            self.fetch_good(hub, "--revision", revision, NAME)
            self.check_complete(refs=refs)
        self.assertTrue(any("/resolve/refs%2Fpr%2F3/" in request.path for request in hub.requests))
        hub = self.serve(files=dict(self.files), commit="e" * 40)
        self.fetch_good(hub, "--revision", "e" * 40, NAME)
        self.assertEqual({path.name for path in (self.repository / "refs").iterdir()}, {"v1.0", "refs"})
        self.check_refused(MODEL, [NAME, "no revision 'v9'"], hub, NAME, "--revision", "v9")

    def test_one_commit_for_all(self):
        # The branch is looked up once: a push in between cannot mix two commits.
        hub = self.serve()
        self.fetch_good(hub)
        self.assertIn(f"/{NAME}/resolve/{COMMIT}/{WEIGHTS}", {request.path for request in hub.requests})
        self.assertEqual({request.file for request in hub.requests if "/resolve/main/" in request.path}, {"config.json"})

    def test_renamed(self):
        hub = self.serve(name="someone/new-name", renamed_from=NAME)
        self.fetch_good(hub)
        self.check_complete()

    def test_forms_of_weights(self):
        index = {"metadata": {}, "weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors",
                                                "c": "model-1-of-2.safetensors"}}
        small = {name: self.files[name] for name in SMALL}
        forms = {"shards": {"model.safetensors.index.json": json.dumps(index).encode(),
                            "model-1-of-2.safetensors": b"one", "model-2-of-2.safetensors": b"two"},
                 "pytorch": {"pytorch_model.bin": b"pickle"},
                 "shards of pytorch": {"pytorch_model.bin.index.json": b'{"weight_map": {"a": "part.bin"}}', "part.bin": b"one"}}
        for case, weights in forms.items():
            with self.subTest(case=case):
                self.use_cache(case)
                self.fetch_good(self.serve(files={**small, **weights}))
                self.check_complete(files={**small, **weights})

    def test_optional_files(self):
        del self.files["README.md"]
        self.fetch_good(self.serve())
        self.check_complete()
        del self.files["preprocessor_config.json"]
        self.use_cache("other")
        result = self.fetch(self.serve())
        self.assertEqual(result.code, 0)
        self.assertRegex(result.err, r"\Adino-vk: note: [^\n]*preprocessor_config.json[^\n]*\n\Z")

    def test_offline(self):
        hub = self.serve()
        self.check_refused(MODEL, [NAME, "HF_HUB_OFFLINE", str(self.cache)], hub, environment={"HF_HUB_OFFLINE": "1"})
        path = self.fetch_good(hub).out
        hub.requests.clear()
        self.assertEqual(self.fetch_good(hub, environment={"HF_HUB_OFFLINE": "true"}).out, path)
        self.assertEqual(self.fetch_good(hub, environment={"TRANSFORMERS_OFFLINE": "1"}).out, path)
        self.assertEqual(hub.requests, [])
        self.fetch_good(hub, environment={"TRANSFORMERS_OFFLINE": "1", "HF_HUB_OFFLINE": "0"})
        self.assertTrue(hub.requests)

    def test_model_that_is_not_there(self):
        result = self.run_command("info", NAME, environment=self.environment(self.serve()))
        self.check_sentence(result, MODEL, [f"fetch it with: dino-vk fetch {NAME}, or with: hf download {NAME}"])

    def test_empty_file(self):
        self.files["README.md"] = b""
        self.fetch_good(self.serve())
        self.check_complete()

    def test_progress_on_a_terminal(self):
        hub = self.serve({("cdn", "GET", WEIGHTS): [server.slowly(1.5)]})
        before = dict(harness.setup.environment)
        harness.setup.environment.update({k: v for k, v in self.environment(hub).items() if v})
        self.addCleanup(lambda: (harness.setup.environment.clear(), harness.setup.environment.update(before)))
        code, shown = self.run_terminal("fetch", NAME)
        self.assertEqual(code, 0, shown)
        self.assertRegex(shown, r"\r\x1b\[Kmodel\.safetensors \[#+-+\] \d+ % of [\d.]+ MB, [\d.]+ MB/s")
        self.assertTrue(shown.endswith(f"\r\x1b[K{self.repository}/snapshots/{COMMIT}\n"), shown[-300:])


class Interruptions(Fetching):
    def test_cut_connection(self):
        size = len(self.files[WEIGHTS])
        hub = self.serve({("cdn", "GET", WEIGHTS): [server.cut_after(size * 6 // 10), None]})
        self.fetch_good(hub)
        self.check_complete()
        self.assertEqual([request.range for request in hub.of("cdn", "GET")], [None, f"bytes={size * 6 // 10}-"])
        self.assertEqual(hub.sent("cdn"), size)

    def test_interrupted_by_the_user(self):
        size = len(self.files[WEIGHTS])
        hub = self.serve({("cdn", "GET", WEIGHTS): [server.stall_after(size // 2), None]})
        # A shell's background jobs ignore SIGINT, and so would the command.
        with self.start("fetch", NAME, environment=self.environment(hub, HF_HUB_DOWNLOAD_TIMEOUT="60"),
                        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
            end = time.monotonic() + 20
            while time.monotonic() < end and not (self.incomplete().exists() and self.incomplete().stat().st_size == size // 2):
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(10), -signal.SIGINT)
        self.assertEqual({name for name in self.blobs() if "." in name}, {self.incomplete().name})
        self.assertFalse((self.repository / "refs").exists())
        hub.requests.clear()
        self.fetch_good(hub)
        self.check_complete()
        self.assertEqual(hub.sent("cdn"), size - size // 2)
        self.assertEqual({request.file for request in hub.requests if request.sent}, {WEIGHTS})

    def test_what_passes(self):
        """Each of these is got over by itself."""
        size = len(self.files[WEIGHTS])
        get, head = ("cdn", "GET", WEIGHTS), ("hub", "HEAD", WEIGHTS)
        cases = {
            "500, then right": {get: [server.status(500), None]},
            "429 with a time to wait": {get: [server.status(429, Retry_After="0"), server.status(429, Retry_After="0"), None]},
            "503 to HEAD": {head: [server.status(503), None]},
            "dropped without a word": {get: [server.drop, None], head: [server.drop, None]},
            "silent for longer than the limit": {get: [server.stall_after(size // 3), None]},
            "the rest is refused, all is sent": {get: [server.cut_after(1000), server.other_bytes(lambda data: data)]},
            "every answer is cut": {get: [server.cut_after(size // 4)] * 3 + [None]},
        }
        hubs = {case: self.serve(faults) for case, faults in cases.items()}
        processes = {}
        for index, (case, hub) in enumerate(hubs.items()):
            environment = self.environment(hub, HF_HUB_CACHE=str(self.folder / str(index)))
            processes[case] = self.start("fetch", NAME, environment=environment, stdout=-1, stderr=-1)
        for index, (case, process) in enumerate(processes.items()):
            with self.subTest(case=case):
                out, err = process.communicate(timeout=60)
                self.assertEqual((process.returncode, err), (0, b""))
                self.use_cache(str(index))
                self.check_complete()

    def test_what_does_not_pass(self):
        size = len(self.files[WEIGHTS])
        get, head = ("cdn", "GET", WEIGHTS), ("hub", "HEAD", "config.json")
        cases = {
            "500 always": ({get: [server.status(500)]}, MODEL, ["500", WEIGHTS, "later"]),
            "a wrong length": ({get: [server.other_bytes(lambda data: data[:-5])]}, MODEL, [WEIGHTS]),
            "cut again and again": ({get: [server.cut_after(10)]}, MODEL, ["5 times", "continue"]),
            "silence": ({head: [server.stall]}, MODEL, ["config.json", "5 times"]),
        }
        started = []
        for index, (case, (faults, code, words)) in enumerate(cases.items()):
            hub = self.serve(faults)
            environment = self.environment(hub, HF_HUB_CACHE=str(self.folder / str(index)))
            started.append((case, code, words, self.start("fetch", NAME, environment=environment, stdout=-1, stderr=-1)))
        nobody = self.serve()
        address = nobody.address
        nobody.close()
        started.append(("nobody listens", MODEL, [address, "5 times"],
                        self.start("fetch", NAME, environment=self.environment(address), stdout=-1, stderr=-1)))
        for case, code, words, process in started:
            with self.subTest(case=case):
                out, err = process.communicate(timeout=60)
                self.check_sentence(harness.Result(process.returncode, out, err.decode()), code, words)
        self.assertFalse(list(self.folder.rglob("refs")) + list(self.folder.rglob(WEIGHTS)))

    def test_wrong_checksum(self):
        def flip(data):
            return data[:-1] + bytes([data[-1] ^ 1])

        for server_name, file in (("cdn", WEIGHTS), ("hub", "config.json")):
            with self.subTest(case=file):
                self.use_cache(server_name)
                hub = self.serve({(server_name, "GET", file): [server.other_bytes(flip)]})
                self.check_refused(MODEL, [file, "damaged", etag_of(file, self.files[file])], hub)
                self.assertFalse(self.incomplete().exists())
                self.assertFalse((self.repository / "snapshots" / COMMIT / file).is_symlink())
                self.assertFalse((self.repository / "refs").exists())
        self.fetch_good(self.serve())
        self.check_complete()

    def test_bad_remains(self):
        """What an earlier run left may be damaged, complete, or too long."""
        data = self.files[WEIGHTS]
        cases = {"damaged": (bytes(1000), len(data) - 1000 + len(data)), "complete": (data, 0),
                 "complete and damaged": (bytes(len(data)), len(data)), "too long": (data + b"x", len(data))}
        for case, (left, sent) in cases.items():
            with self.subTest(case=case):
                self.use_cache(case)
                self.incomplete().parent.mkdir(parents=True)
                self.incomplete().write_bytes(left)
                hub = self.serve()
                self.fetch_good(hub)
                self.check_complete()
                self.assertEqual(hub.sent("cdn"), sent)

    def test_broken_links(self):
        hub = self.serve()
        self.fetch_good(hub)
        snapshot = self.repository / "snapshots" / COMMIT
        (self.repository / "blobs" / etag_of(WEIGHTS, self.files[WEIGHTS])).unlink()
        (snapshot / "config.json").unlink()
        (snapshot / "README.md").unlink()
        (snapshot / "README.md").symlink_to("../../blobs/nothing")
        self.fetch_good(hub)
        self.check_complete()

    def test_two_at_once(self):
        hub = self.serve({("cdn", "GET", WEIGHTS): [server.slowly(0.6)]})
        processes = [self.start("fetch", NAME, environment=self.environment(hub), stdout=-1, stderr=-1) for _ in range(3)]
        results = [process.communicate(timeout=60) + (process.returncode,) for process in processes]
        self.assertEqual([result[1:] for result in results], [(b"", 0)] * 3)
        self.assertEqual(len({result[0] for result in results}), 1)
        self.assertEqual(hub.sent("cdn"), len(self.files[WEIGHTS]))
        self.check_complete()

    def test_waits_for_the_lock(self):
        lock = self.cache / ".locks" / FOLDER / (etag_of(WEIGHTS, self.files[WEIGHTS]) + ".lock")
        lock.parent.mkdir(parents=True)
        hub = self.serve()
        with open(lock, "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            process = self.start("fetch", NAME, environment=self.environment(hub), stdout=-1, stderr=-1)
            time.sleep(1)
            self.assertIsNone(process.poll())
            self.assertFalse(hub.of("cdn", "GET"))
            lock.unlink()  # as some lockers do when they let go
        self.assertEqual(process.communicate(timeout=20)[1], b"")
        self.check_complete()


class Refusals(Fetching):
    def test_statuses(self):
        head = ("hub", "HEAD", "config.json")
        cases = {
            "401, no such model": (server.status(401, "RepoNotFound"), ["no model " + NAME, "private", "HF_TOKEN"]),
            "404, no such model": (server.status(404, "RepoNotFound"), ["no model " + NAME]),
            "401, gated": (server.status(401, "GatedRepo"), ["gated", "accept its terms", "HF_TOKEN"]),
            "403, gated": (server.status(403, "GatedRepo"), ["gated", "accept its terms"]),
            "403": (server.status(403), ["403", "token"]),
            "404, no such file": (server.status(404, "EntryNotFound"), ["no config.json"]),
            "404": (server.status(404), ["no config.json"]),
            "418": (server.status(418), ["418"]),
        }
        for case, (fault, words) in cases.items():
            with self.subTest(case=case):
                self.check_refused(MODEL, words, self.serve({head: [fault]}))
                self.assertFalse(self.cache.exists())
        with self.subTest(case="a bad token"):
            self.check_refused(MODEL, ["does not let this token", "HF_TOKEN"], self.serve({head: [server.status(401)]}),
                               environment={"HF_TOKEN": "hf_x"})
        with self.subTest(case="no weights"):
            del self.files[WEIGHTS]
            self.check_refused(MODEL, [WEIGHTS, "pytorch_model.bin"], self.serve())
        with self.subTest(case="the second server says no"):
            self.setUp()
            self.check_refused(MODEL, ["403"], self.serve({("cdn", "GET", WEIGHTS): [server.status(403)]}))

    def test_token(self):
        hub = self.serve()
        self.fetch_good(hub, environment={"HF_TOKEN": " hf_Secret \n"})
        self.assertEqual({request.token for request in hub.requests if request.server == "hub"}, {"Bearer hf_Secret"})
        self.assertEqual([request.token for request in hub.of("cdn", "GET")], [None])
        home = self.folder / "home"
        home.mkdir()
        (home / "token").write_text("hf_FromFile\n")
        for environment, token in (({"HF_HOME": str(home)}, "Bearer hf_FromFile"), ({"HF_TOKEN_PATH": str(home / "token")},
                                   "Bearer hf_FromFile"), ({}, None)):
            with self.subTest(case=str(token) + " " + " ".join(environment)):
                hub.requests.clear()
                self.fetch_good(hub, environment=environment)
                self.assertEqual({request.token for request in hub.requests}, {token})
        for token in ("hf_a\nX-Evil: 1", "hf_ä", "x" * 2000):
            with self.subTest(case=f"no token: {token[:10]!r}"):
                self.check_refused(USAGE, ["HF_TOKEN"], hub, environment={"HF_TOKEN": token})

    def test_hf_home(self):
        hub = self.serve()
        self.fetch_good(hub, environment={"HF_HUB_CACHE": None, "HF_HOME": str(self.folder)})
        self.check_complete()

    def test_hostile_server(self):
        escape = "../../../../../escaped"
        head = lambda **headers: {("hub", "HEAD", WEIGHTS): [server.with_headers(**headers)]}
        get = lambda *faults: {("cdn", "GET", WEIGHTS): list(faults)}
        loop = server.with_headers(Location=f"/{NAME}/resolve/main/config.json")
        size = len(self.files[WEIGHTS])
        cases = {
            "an etag that is a path": (head(X_Linked_Etag=f'"{escape}"'), ["checksum"]),
            "an etag of 64 other characters": (head(X_Linked_Etag='"' + "../" * 21 + '/"'), ["checksum"]),
            "an etag in capitals": (head(X_Linked_Etag='"' + "A" * 64 + '"'), ["checksum"]),
            "no etag": (head(X_Linked_Etag=None), ["checksum"]),
            "a long etag": (head(X_Linked_Etag='"' + "a" * 5000 + '"'), ["checksum"]),
            "no size": (head(X_Linked_Size=None), ["size"]),
            "a negative size": (head(X_Linked_Size="-1"), ["size"]),
            "a size beyond everything": (head(X_Linked_Size="9" * 30), ["size"]),
            "a commit that is a path": (head(X_Repo_Commit=escape), ["commit"]),
            "another commit": (head(X_Repo_Commit="b" * 40), ["commit"]),
            "no commit": (head(X_Repo_Commit=None), ["commit"]),
            "a loop in HEAD": ({("hub", "HEAD", "config.json"): [loop]}, ["redirects more than ten times"]),
            "a loop in GET": ({("hub", "GET", "config.json"): [loop]}, ["redirects more than ten times"]),
            "a redirect to a file": ({("hub", "GET", WEIGHTS): [server.with_headers(Location="file:///etc/passwd")]}, [WEIGHTS]),
            "a redirect to nothing": ({("hub", "GET", WEIGHTS): [server.with_headers(Location=None)]}, ["302"]),
            "more than the size": (get(server.other_bytes(lambda data: data + b"more")), ["more than the size"]),
            "without an end": (get(server.endless), ["more than the size"]),
            "another part": (get(server.cut_after(10), server.with_headers(Content_Range=f"bytes 5-{size - 1}/{size}")),
                             ["another part"]),
            "no part": (get(server.cut_after(10), server.with_headers(Content_Range=None)), ["another part"]),
        }
        for case, (faults, words) in cases.items():
            with self.subTest(case=case):
                self.use_cache(case)
                self.check_refused(MODEL, [NAME, *words], self.serve(faults))
                self.assertFalse((self.repository / "refs").exists())
                self.assertFalse(list(self.repository.rglob(WEIGHTS)))
                self.assertFalse([path for path in harness.setup.root.rglob("escaped*")])
        with self.subTest(case="a size that fits on no disk"):
            self.use_cache("full")
            self.check_refused(OUTPUT, ["needs 10000.00 GB", "free"], self.serve(head(X_Linked_Size=10**13)))

    def test_hostile_index(self):
        for case, shard in {"path": "../../x.safetensors", "absolute": "/etc/x.safetensors", "number": 5, "hidden": ".safetensors",
                            "other": "preprocessor_config.json", "nul": "a\0.safetensors", "missing": "gone.safetensors"}.items():
            with self.subTest(case=case):
                index = json.dumps({"weight_map": {"tensor\x1b[31m": shard}}).encode()
                files = {**{name: self.files[name] for name in SMALL}, "model.safetensors.index.json": index}
                self.use_cache(case)
                self.check_refused(MODEL, ["index.json"], self.serve(files=files))
        for case, index in {"no JSON": b"{", "no map": b"{}", "a list": b"[]"}.items():
            with self.subTest(case=case):
                files = {**{name: self.files[name] for name in SMALL}, "model.safetensors.index.json": index}
                self.use_cache(case)
                self.check_refused(MODEL, ["weight_map"], self.serve(files=files))

    def test_no_room(self):
        hub = self.serve()
        limit = len(self.files[WEIGHTS]) // 2

        def limited():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        result = self.fetch(hub, preexec_fn=limited)
        self.check_sentence(result, OUTPUT, [self.incomplete().name, "File too large", "continue"])
        self.assertEqual(self.incomplete().stat().st_size, limit)
        hub.requests.clear()
        self.fetch_good(hub)
        self.assertEqual(hub.sent("cdn"), len(self.files[WEIGHTS]) - limit)
        self.check_complete()

    def test_no_permission(self):
        (self.folder / "file").write_bytes(b"")
        self.check_refused(OUTPUT, ["cannot be made", "HF_HUB_CACHE"], self.serve(),
                           environment={"HF_HUB_CACHE": str(self.folder / "file" / "hub")})
        if os.getuid() == 0:
            return
        self.cache.mkdir(mode=0o555)
        self.check_refused(OUTPUT, ["Permission denied", "HF_HUB_CACHE"], self.serve())

    def test_command_line(self):
        hub = self.serve()
        for case, arguments in {"two": ("a/b", "c/d"), "path": ("../x",), "three parts": ("a/b/c",), "empty": ("",),
                                "revision": (NAME, "--revision", "../main"), "empty revision": (NAME, "--revision", ""),
                                "foreign option": (NAME, "--json"), "long": ("a" * 97,)}.items():
            with self.subTest(case=case):
                self.check_refused(USAGE, [], hub, *arguments)
        for endpoint in ("ftp://127.0.0.1", "file:///etc", "127.0.0.1", "http://127.0.0.1/?", "http://a@127.0.0.1"):
            with self.subTest(case=endpoint):
                self.check_refused(USAGE, ["HF_ENDPOINT"], endpoint)
        self.assertEqual(hub.requests, [])
        self.assertFalse(self.cache.exists())


if __name__ == "__main__":
    harness.main(__name__)
