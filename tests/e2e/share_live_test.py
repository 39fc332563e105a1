"""What another says acts in a running service, and stops when it is taken back: over TAXII, from `push` to the evidence of a campaign."""
import json, os, re, time, unittest

import serve_test
from common import PATIENCE, Case

CONFIG = "passes: {interval_s: 1, window_days: 0, threads: 2}\n"


class Live(Case):
    start, log, events, wait_for, ask, end = (getattr(serve_test.Serve, m) for m in ("start", "log", "events", "wait_for", "ask", "end"))

    def until(self, what, seconds=120):
        end = time.monotonic() + seconds * PATIENCE
        while time.monotonic() < end:
            if found := what():
                return found
            time.sleep(.1)
        self.fail(self.log()[-3000:])

    def api(self, path, token):
        status, text, _ = self.ask("GET", "/api/v1" + path, headers={"Authorization": f"Bearer {token}"})
        self.assertEqual(status, 200, text)
        return json.loads(text)

    def test_from_a_bundle_to_the_evidence_and_back(self):
        world, out, data = self.path("world"), self.path("out"), self.path("data")
        os.mkdir(data)
        self.run_it("simulate", "mixed", "--scale", ".0005", "--seed", "5", "--quiet", "--out", world)
        # North has scanned the same accounts, and tells of the largest campaign.
        self.run_it("scan", "--quiet", "--accounts", f"{world}/accounts.jsonl", "--out", out, f"{world}/exchanges.jsonl")
        campaigns = [c for c in json.load(open(f"{out}/campaigns.json"))["campaigns"] if c["verdict"] == "distillation"]
        largest = max(campaigns, key=lambda c: c["exchanges"])["id"]
        said = ("--out-of", out, "--issuer", "North", "--alone", "a test")
        self.run_it("share", "export", *said, "--audience", "provider", "--at", "2026-11-01T00:00:00Z", "--to", self.path("said.json"), largest)
        # The world is of another time: what is said of it holds for longer.
        text = re.sub(r'"valid_until":"20\d\d', '"valid_until":"2099', open(self.path("said.json")).read())
        self.write("said.json", text)
        self.assertIn("template-sketch", text)
        self.run_it("share", "export", *said, "--revoke", "--previous", self.path("said.json"), "--at", "2026-11-02T00:00:00Z", "--to", self.path("gone.json"))

        peer = self.run_it("token", "create", "north", "--role", "share", "--data", data)[0].strip()
        ada = self.run_it("token", "create", "ada", "--role", "analyst", "--role", "ingest", "--data", data)[0].strip()
        self.run_it("share", "collection", "Peers", "--add", "--alias", "peers", "--read", "person:north", "--write", "person:north", "--data", data)
        self.run_it("share", "sources", "North", "--reliability", "A", "--data", data)
        config = serve_test.QUIET.format(dir=self.dir).replace("passes: {enabled: false}\n", CONFIG)
        # A key that is not there keeps it from starting; with one, what can be guessed leaves under it.
        key = self.path("group.key")
        config += f"sharing: {{keys: {{provider: {key}}}}}\n"
        _, err = self.run_it("serve", "--config", self.write("serve.yaml", config), code=2)
        self.assertIn("group.key", err)
        key_id = self.run_it("share", "key", key)[0].strip()
        child = self.start(self.write("serve.yaml", config))
        def share(verb, *args):
            env = {**os.environ, "STILLWATCH_PEER_TOKEN": peer}
            return self.run_it("share", verb, f"http://127.0.0.1:{self.port}/taxii2/", "--collection", "peers", "--data", data, *args, env=env)[0]
        def matched():
            """Current campaigns here, and the indicators of North's that their evidence names."""
            rows = self.api("/campaigns?limit=100", ada)["rows"]
            whole = [self.api(f"/campaigns/{c['id']}", ada) for c in rows]
            return rows, [i for c in whole for i in c["finding"].get("imports", [])], whole
        for path, file in (("/v1/accounts", "accounts"), ("/v1/exchanges", "exchanges")):
            with open(f"{world}/{file}.jsonl", encoding="utf-8") as f:
                self.post_as(ada, path, f.readlines())
        self.until(lambda: len(self.api("/campaigns?limit=100", ada)["rows"]) >= 3)
        self.assertEqual(matched()[1], [])

        share("push", "--alone", "a test", self.path("said.json"))
        self.assertIn("new", share("pull", "--source", "North"))
        found = self.until(lambda: matched()[1] and matched())
        self.assertEqual({i["origin"] for i in found[1]}, {"North"})
        ids = {i["id"] for i in found[1]}
        self.assertLessEqual(ids, {o["id"] for o in json.loads(text)["objects"]})
        evidence = json.dumps([c["finding"] for c in found[2] if c["finding"].get("imports")])
        self.assertIn("North", evidence)
        self.assertIn('"shared"', evidence)
        hits = self.until(lambda: [s for s in self.api("/sharing/sources", ada)["rows"] if s["campaigns"] > 0])
        self.assertEqual([s["name"] for s in hits], ["North"])

        def preview(audience):
            """Of the first campaign that may be acted upon and has something that can be guessed."""
            for c in self.api("/campaigns?limit=100", ada)["rows"]:
                status, text, _ = self.ask("GET", f"/api/v1/sharing/preview?campaign={c['id']}&audience={audience}", headers={"Authorization": f"Bearer {ada}"})
                if status == 200 and any(s["type"] in ("address", "mail-domain", "referrer") for s in json.loads(text)["stays"] + json.loads(text)["leaves"]):
                    return json.loads(text)
        under = [i for i in self.until(lambda: preview("provider"))["items"] if i["form"] == "blinded"]
        self.assertTrue(under)
        self.assertTrue(all(re.fullmatch(f"{key_id}:[0-9a-f]{{64}}", i["value"]) for i in under), under[:3])
        without = self.until(lambda: preview("government"))
        self.assertNotIn("blinded", {l["form"] for l in without["leaves"]})
        self.assertIn("sharing.keys", json.dumps(without["stays"]))

        # And North is told that its indicators were seen here, in figures that say nothing of anybody.
        tell = ("share", "export", "--audience", "provider", "--issuer", "South", "--alone", "a test", "--data", data, "--at", "2026-11-01T00:00:00Z", "--to", self.path("seen.json"), "--audit", self.path("told"))
        self.run_it(*tell, "--sightings", "North")
        self.run_it("share", "validate", self.path("seen.json"))
        seen = [o for o in json.load(open(self.path("seen.json")))["objects"] if o["type"] == "sighting"]
        self.assertTrue(seen)
        self.assertLessEqual({o["sighting_of_ref"] for o in seen}, ids)
        self.assertTrue(all(re.fullmatch("[1-9][0-9]?0*", str(o["count"])) and o["first_seen"].endswith("T00:00:00.000Z") for o in seen), seen)
        self.assertIn("there is nothing of West", self.run_it(*tell, "--sightings", "West", code=2)[1])
        os.mkdir(self.path("north"))
        north = ("--data", self.path("north"))
        self.assertIn(f"; {len(seen)} sightings", self.run_it("share", "import", self.path("seen.json"), "--source", "South", *north)[0])
        self.assertIn("0 as they were\n", self.run_it("share", "import", self.path("seen.json"), "--source", "South", *north)[0])
        out, _ = self.run_it("share", "sightings", *north)
        self.assertRegex(out, rf"South +{seen[0]['count']} ")
        self.assertEqual(len(out.splitlines()), 1 + len(seen))

        # Taken back. By the end of the pull nothing of it is active; with the next pass nothing of it is in the evidence.
        self.assertGreater(self.api("/sharing/imports?status=active", ada)["total"], 0)
        share("push", "--alone", "a test", self.path("gone.json"))
        self.assertRegex(share("pull", "--source", "North"), r"0 new, 0 changed, [1-9]\d* revoked")
        self.assertEqual(self.api("/sharing/imports?status=active", ada)["total"], 0)
        self.until(lambda: json.load(open(f"{data}/indicators.json"))["indicators"] == [])
        rows, still, _ = self.until(lambda: not matched()[1] and matched())
        self.assertGreaterEqual(len(rows), 3)  # they stand on what was seen here
        self.assertIn("nothing of theirs was seen here", self.run_it(*tell, "--sightings", "North", code=2)[1])
        # A replay revives nothing.
        self.assertIn("0 new, 0 changed, 0 revoked", share("pull", "--source", "North", "--after", "1971-01-01T00:00:00Z"))
        self.run_it("share", "import", self.path("said.json"), "--source", "North", "--data", data)
        self.assertEqual(self.api("/sharing/imports?status=active", ada)["total"], 0)
        self.end(child)

    def post_as(self, token, path, lines):
        size = 4000
        for at in range(0, len(lines), size):
            end = time.monotonic() + 60 * PATIENCE
            while True:
                status, text, _ = self.ask("POST", path, "".join(lines[at:at + size]).encode(), {"Authorization": f"Bearer {token}"})
                if status != 503 or time.monotonic() > end:
                    break
                time.sleep(.2)
            self.assertEqual(status, 200, text)


if __name__ == "__main__":
    unittest.main()
