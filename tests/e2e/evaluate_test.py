"""evaluate on the sample: measures, replay, and what it refuses."""
import json, os, shutil, unittest
from common import SAMPLE, Case

class Evaluate(Case):
    def setUp(self):
        super().setUp()
        self.run_it("scan", "--accounts", f"{SAMPLE}/accounts.jsonl", "--permits", f"{SAMPLE}/permits.yaml", "--out", self.path("out"),
                    f"{SAMPLE}/exchanges.jsonl.zst")

    def evaluate(self, *args, code=0):
        return self.run_it("evaluate", "--truth", SAMPLE, "--found", self.path("out"), *args, code=code)

    def test_measures_and_page(self):
        score = json.loads(self.evaluate("--json", "--html", self.path("page.html"))[0])
        for key in ("exchange_recall", "exchange_precision", "account_recall", "innocents", "innocents_accused", "innocents_by_class", "min_campaign_recall"):
            self.assertIn(key, score)
        for campaign in score["campaigns"].values():
            for key in ("recall", "in_best", "purity", "pieces", "volume_error", "capability_right"):
                self.assertIn(key, campaign)
        self.assertEqual(score["calibration"]["candidates"], json.load(open(self.path("out/run.json")))["candidates"])
        page = open(self.path("page.html")).read()
        self.assertIn("<svg", page)
        for word in ("http://", "https://", "<script", "src="):
            self.assertNotIn(word, page)

    def test_worlds_together(self):
        one = json.loads(self.evaluate("--json")[0])
        two = json.loads(self.evaluate("--truth", SAMPLE, "--found", self.path("out"), "--json")[0])
        self.assertEqual(two["innocents"], 2 * one["innocents"])
        self.assertEqual(two["exchange_recall"], one["exchange_recall"])
        self.assertIsNone(one["intervals"]["exchange_recall"])
        self.assertEqual(two["intervals"]["exchange_recall"], [one["exchange_recall"]] * 2)
        _, err = self.evaluate("--truth", SAMPLE, code=2)
        self.assertIn("2 --truth and 1 --found", err)

    def test_reviewers(self):
        rows = [{"campaign_id": f"c{i}", "value": value, "look_alike": "school" if value == "dismissed" else "", "verdict": "distillation",
                 "families": ["rhythm", "text"] if i % 2 else ["rhythm"], "probability": .995} for i, value in enumerate(["confirmed", "confirmed", "dismissed", "unsure"])]
        said = self.write("said.json", json.dumps({"total": 4, "rows": rows}))
        told = json.loads(self.run_it("evaluate", "--dispositions", said, "--json")[0])
        families = {f["family"]: f for f in told["families"]}
        self.assertAlmostEqual(families["rhythm"]["precision"], 2 / 3)
        self.assertEqual(families["text"]["precision"], 1)
        self.assertEqual(told["look_alikes"], [{"look_alike": "school", "dismissed": 1}])
        self.assertRegex(self.run_it("evaluate", "--dispositions", said)[0], r"family rhythm +2 +1 +1 +0\.667  0\.208 to 0\.939")
        # A service's folder says the same as its API; an empty one that nobody has judged anything.
        os.makedirs(self.path("data"))
        self.assertIsNone(json.loads(self.run_it("evaluate", "--dispositions", self.path("data"), "--json")[0])["all"]["precision"])
        for bad, words in ((self.write("bad.json", "{}"), "GET /api/v1/dispositions"), (self.path("none"), "none")):
            self.assertIn(words, self.run_it("evaluate", "--dispositions", bad, code=2)[1])
        self.assertIn("--dispositions", self.run_it("evaluate", "--dispositions", said, "--truth", SAMPLE, code=2)[1])
        self.assertIn("--truth", self.run_it("evaluate", code=2)[1])

    def test_replay(self):
        before = open(self.path("out/campaigns.json")).read()
        query = ("query", "--lake", self.path("out/lake"), "--output-format", "TSV", "SELECT exchange_id, campaign_id FROM attributed ORDER BY exchange_id, campaign_id")
        attributed = self.run_it(*query)[0]
        replay = json.loads(self.evaluate("--replay", "--out", self.path("replay"), "--json")[0])["replay"][0]["campaigns"]
        truth = {r.split(",")[0]: r.split(",")[1] for r in open(f"{SAMPLE}/truth_exchanges.csv").read().splitlines()[1:]}
        birch = replay["birch-thought"]
        self.assertEqual(birch["exchanges"], sum(c == "birch-thought" for c in truth.values()))
        self.assertLess(birch["first_correct_verdict"], .5)
        self.assertLess(birch["not_by_first_correct_verdict"], birch["first_correct_verdict"])
        self.assertGreaterEqual(birch["nine_tenths_named"], birch["first_correct_verdict"])
        self.assertIsNone(replay["fir-code"]["first_correct_verdict"])
        for campaign in replay.values():
            shares = [m["harvested"] for m in campaign["moments"]]
            self.assertEqual(shares, sorted(shares))
            for share in (.01, .1, .25, .5, 1):
                self.assertTrue(any(0 <= s - share <= 1 / campaign["exchanges"] + 1e-9 for s in shares), share)
        # The last moment is the whole campaign; the scan's own results and lake are as before.
        last = [m for m in birch["moments"] if m["harvested"] == 1][-1]
        self.assertTrue(last["correct"])
        self.assertEqual(open(self.path("out/campaigns.json")).read(), before)
        self.assertEqual(self.run_it(*query)[0], attributed)
        # What a moment's folder says is what scan --until says then.
        moment = sorted(os.listdir(self.path("replay/replay/sample")))[5]
        self.run_it("scan", "--until", moment, "--permits", f"{SAMPLE}/permits.yaml", "--lake", self.path("out/lake"), "--out", self.path("then"))
        for name in ("campaigns.json", "accounts.csv", "exchanges.csv"):
            self.assertEqual(open(self.path(f"then/{name}")).read(), open(self.path(f"replay/replay/sample/{moment}/{name}")).read())

    def test_refusals(self):
        _, err = self.evaluate("--replay", code=2)
        self.assertIn("--out", err)
        shutil.move(self.path("out/lake"), self.path("lake"))
        _, err = self.evaluate("--replay", "--out", self.path("replay"), code=2)
        self.assertIn("lake: is missing", err)
        os.remove(self.path("out/campaigns.json"))
        _, err = self.evaluate(code=2)
        self.assertIn("not complete", err)
        self.assertEqual(len(err.strip().splitlines()), 1)
        _, err = self.run_it("evaluate", "--truth", self.path("nowhere"), "--found", self.path("out"), code=2)
        self.assertIn("nowhere: is not a folder", err)

if __name__ == "__main__":
    unittest.main()
