"""Indicators between a service and its peers over TAXII: `share collection`, `push`, `pull` and /taxii2/ itself."""
import json, os, subprocess, unittest, uuid

import serve_test
from common import BINARY, PATIENCE, Case

RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"
WHO = "identity--" + str(uuid.UUID(int=1, version=4))
IDENTITY = {"type": "identity", "spec_version": "2.1", "id": WHO, "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
            "created_by_ref": WHO, "name": "us", "identity_class": "organization"}


def indicator(n, version=1, **more):
    made = f"2026-01-0{version}T00:00:00.000Z"
    return {"type": "indicator", "spec_version": "2.1", "id": f"indicator--{uuid.UUID(int=n, version=4)}", "created": "2026-01-01T00:00:00.000Z",
            "modified": made, "created_by_ref": WHO, "name": f"n{n}", "indicator_types": ["malicious-activity"], "pattern": f"[ipv4-addr:value = '198.51.{n // 250}.{n % 250}']",
            "pattern_type": "stix", "valid_from": "2026-01-01T00:00:00Z", **more}


class Taxii(Case):
    config, start, log, events, wait_for, ask, end = (
        getattr(serve_test.Serve, m) for m in ("config", "start", "log", "events", "wait_for", "ask", "end"))

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("data"))
        self.us, self.acme, self.eve = (self.run_it("token", "create", who, "--role", "share", "--data", self.path("data"))[0].strip()
                                        for who in ("us", "acme", "eve"))
        self.id = self.collection("Peers", "--add", "--alias", "peers", "--read", "person:acme", "--read", "person:us", "--write", "person:us").strip()

    def collection(self, *args, code=0):
        return self.run_it("share", "collection", *args, "--data", self.path("data"), code=code)[code and 1]

    def bundle(self, name, objects):
        return self.write(name, json.dumps({"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": [IDENTITY, *objects]}))

    def share(self, token, verb, *args, code=0):
        env = {**os.environ, "STILLWATCH_PEER_TOKEN": token}
        return self.run_it("share", verb, f"http://127.0.0.1:{self.port}/taxii2/", *args, code=code, env=env)[code and 1]

    def push(self, token, *files, code=0, alone=("--alone", "a test")):
        return self.share(token, "push", "--collection", "peers", "--data", self.path("data"), *files, *alone, code=code)

    def pull(self, token, *args, code=0):
        return self.share(token, "pull", "--collection", self.id, "--out", self.path("in.json"), *args, code=code)

    def pulled(self):
        with open(self.path("in.json"), encoding="utf-8") as f:
            got = json.load(f)
        os.unlink(self.path("in.json"))
        self.assertEqual(got["type"], "bundle")
        return got["objects"]

    def actions(self):
        out = self.run_it("audit", "verify", self.path("data/audit"))
        with open(os.path.join(self.path("data/audit"), "audit-000001.jsonl"), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def test_from_one_to_the_other(self):
        child = self.start(self.config())
        objects = [indicator(n) for n in range(2500)]
        self.assertIn("2502 of 2502", self.push(self.us, self.bundle("a.json", objects[:1200]), self.bundle("b.json", objects[1200:])))
        told = self.pull(self.acme)
        self.assertEqual(self.pulled(), [IDENTITY, *objects])
        after = told.split("--after ")[1].strip()
        self.assertIn("no file was written", self.pull(self.acme, "--after", after))
        self.assertFalse(os.path.exists(self.path("in.json")))
        # A replay changes nothing; a new version and a new object are what comes next.
        self.push(self.us, self.path("a.json"))
        self.assertIn("0 objects", self.pull(self.acme, "--after", after))
        new = [indicator(7, 2, revoked=True), indicator(2500)]
        self.push(self.us, self.bundle("c.json", new))
        self.pull(self.acme, "--after", after, "--type", "indicator")
        self.assertEqual(self.pulled(), new)
        self.assertIn("0 objects", self.pull(self.acme, "--after", after, "--type", "malware"))
        # Rights: what may not be seen is not there, and a right that goes goes at once.
        self.assertIn("r-    peers", self.share(self.acme, "pull"))
        self.assertIn("may not add", self.push(self.acme, self.path("c.json"), code=2))
        self.assertNotIn(self.id, self.share(self.eve, "pull"))
        self.assertIn("no collection", self.pull(self.eve, code=2))
        self.assertIn("is the secret right", self.pull("stw_wrong", code=2))
        self.collection("peers", "--deny", "person:acme")
        self.assertIn("no collection", self.pull(self.acme, code=2))
        self.assertIn("rw  person:us", self.collection())
        self.assertNotIn("acme", self.collection())
        self.end(child)
        # One sentence when nobody is there, and no file.
        self.assertIn(f"127.0.0.1:{self.port}", self.pull(self.us, code=2))
        self.assertFalse(os.path.exists(self.path("in.json")))
        records = self.actions()
        self.assertEqual(sum(r["details"]["objects"] for r in records if r["action"] == "taxii.read" and r["actor"] == "acme"), 2503)
        self.assertEqual([r["details"]["objects"] for r in records if r["action"] == "share.push"], ["2502", "1201", "3"])
        self.assertEqual([r["details"]["may"] for r in records if r["action"] == "taxii.collection.right" and r["details"]["subject"] == "person:acme"], ["r-", "--"])
        for secret in (self.us, self.acme, self.eve):
            self.assertNotIn(secret[13:], self.log() + json.dumps(records))
        self.assertIn("its 2503 objects", self.collection("peers", "--remove"))
        self.assertIn("no collection", self.collection("peers", "--remove", code=2))

    def imports(self, *args):
        return self.run_it("share", "imports", "--data", self.path("data"), *args)[0].splitlines()[1:]

    def test_pulled_into_the_state(self):
        child = self.start(self.config())
        take = ("--collection", "peers", "--source", "north", "--data", self.path("data"))
        own = {"pattern_type": "stillwatch"}
        sketch = [indicator(n, pattern=f"template-sketch = '2:{n:08x}{n + 1:08x}'", **own) for n in range(1, 4)]
        self.push(self.us, self.bundle("a.json", sketch))
        self.assertIn("--source", self.share(self.acme, "pull", "--collection", "peers", code=2))
        self.assertIn("3 new, 0 changed, 0 revoked, 0 as they were", self.share(self.acme, "pull", *take))
        # Again: nothing is asked for twice, so nothing comes; a replay of all of it changes nothing.
        self.assertEqual(self.share(self.acme, "pull", *take), "0 objects in 1 pages\n")
        self.assertIn("0 new, 0 changed, 0 revoked, 3 as they were", self.share(self.acme, "pull", *take, "--after", "1971-01-01T00:00:00Z"))
        # What is new alone, though who says so and under which marking came with the first.
        self.push(self.us, self.bundle("b.json", [{**sketch[0], "modified": "2026-01-02T00:00:00.000Z", "revoked": True}, indicator(9, pattern="payment blinded '00112233aabbccdd:" + "0f" * 32 + "'", **own)]))
        told = self.share(self.acme, "pull", *take, "--issuer", "us", "--out", self.path("new.json"))
        self.assertIn("2 objects", told)
        self.assertIn("1 new, 0 changed, 1 revoked, 0 as they were", told)
        self.assertEqual(len(json.load(open(self.path("new.json")))["objects"]), 2)
        self.assertIn("0 new, 0 changed, 0 revoked, 0 as they were; 3 by others than me", self.share(self.acme, "pull", "--collection", "peers", "--source", "other", "--issuer", "me",
                                                                                                          "--type", "indicator", "--data", self.path("data"), "--after", "1971-01-01T00:00:00Z").replace("4 by", "3 by"))
        self.assertEqual(len(self.imports("--status", "active")), 3)
        self.assertEqual(len(self.imports("--status", "revoked")), 1)
        # One object that nobody answers for: nothing of that pull is taken, and the next one sees it all again.
        nobody = {k: v for k, v in indicator(20).items() if k != "created_by_ref"}
        body = json.dumps({"objects": [nobody, indicator(21, pattern="template-sketch = '2:00000001'", **own)]})
        status = self.ask("POST", f"/taxii2/share/collections/{self.id}/objects/", body,
                          {"Authorization": f"Bearer {self.us}", "Content-Type": "application/taxii+json;version=2.1", "Accept": "application/taxii+json;version=2.1"})[0]
        self.assertEqual(status, 202)
        for _ in range(2):
            err = self.share(self.acme, "pull", *take, code=2)
            self.assertRegex(err, r"/objects/\d+/created_by_ref: is missing: nobody answers for this object; nothing was imported")
        self.assertEqual(len(self.imports("--status", "active")), 3)
        self.assertIn("local:", json.dumps([r for r in self.actions() if r["action"] == "share.import"][0]["actor"]))
        marks = [r["details"]["added_after"] for r in self.actions() if r["action"] == "share.import" and r["subject"] == "north"]
        self.assertEqual(len(marks), 3)
        self.assertLess(marks[0], marks[2])
        self.end(child)

    def test_what_is_sent_was_approved(self):
        child = self.start(self.config())
        file = self.bundle("a.json", [indicator(1)])
        err = self.push(self.us, file, alone=(), code=2)
        self.assertIn("a.json: no two persons answer for it", err)
        self.assertEqual(err.count("\n"), 1)
        self.assertIn("no file was written", self.pull(self.us))
        self.push(self.us, file)
        alone = [r for r in self.actions() if r["action"] == "share.alone"]
        self.assertEqual([(r["subject"], r["details"]["why"]) for r in alone], [(file, "a test")])
        self.end(child)

    def test_what_is_wrong_is_sent_to_nobody(self):
        child = self.start(self.config())
        good = self.bundle("good.json", [indicator(1)])
        for name, text, says in (("none.json", "nonsense", "none.json"), ("list.json", "[]", "list.json"), ("envelope.json", '{"objects":[]}', "envelope.json"),
                                 ("odd.json", json.dumps({"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": [IDENTITY, {**indicator(1), "pattern": "[x"}]}), "/objects/1/pattern")):
            self.assertIn(says, self.push(self.us, good, self.write(name, text), code=2))
        red = self.bundle("red.json", [indicator(1), indicator(2, object_marking_refs=[RED])])
        self.assertIn("/objects/2: is marked TLP:RED", self.push(self.us, good, red, code=2))
        self.assertIn("no-such-file", self.push(self.us, self.path("no-such-file"), code=2))
        self.assertIn("no file was written", self.pull(self.us))
        # The peer refuses one of two: the other is there, and the refusal is told.
        told = self.push(self.us, self.bundle("one.json", [indicator(3)]), self.bundle("two.json", [indicator(3, confidence=15)]), code=2)
        self.assertIn(f"refused: {indicator(3)['id']}: this version is there already with other content", told)
        self.pull(self.us)
        self.assertEqual(self.pulled(), [IDENTITY, indicator(3)])
        for bad in (["--add"], ["X", "--add", "--alias", "A B"], ["peers", "--read", "acme"], ["--deny", "*"], ["nothing"]):
            self.collection(*bad, code=2)
        for url in ("http://example.com/taxii2/", "ftp://127.0.0.1/", "nonsense"):
            done = subprocess.run([BINARY, "share", "pull", url], capture_output=True, timeout=60 * PATIENCE)
            self.assertEqual((done.returncode, done.stderr.count(b"\n")), (2, 1), done.stderr)
        self.end(child)


if __name__ == "__main__":
    unittest.main()
