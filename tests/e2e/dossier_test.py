"""dossier: what is written for whom, figures that can be recomputed, and an archive that tells when it was touched."""
import json, os, re, shutil, unittest, zipfile
from common import SAMPLE, Case

class Dossier(Case):
    @classmethod
    def setUpClass(cls):
        cls.whole = Case()
        cls.whole.setUp()
        cls.scanned = cls.whole.path("out")
        cls.whole.run_it("scan", "--accounts", f"{SAMPLE}/accounts.jsonl", "--permits", f"{SAMPLE}/permits.yaml", "--out", cls.scanned, f"{SAMPLE}/exchanges.jsonl.zst")
        cls.campaigns = [c for c in json.load(open(f"{cls.scanned}/campaigns.json"))["campaigns"] if c["verdict"] == "distillation"]

    @classmethod
    def tearDownClass(cls):
        cls.whole.doCleanups()

    def render(self, *args, code=0):
        return self.run_it("dossier", "render", "--out", self.scanned, "--to", self.path("to"), "--no-pdf", *args, code=code)

    def folder(self, campaign, audience="internal"):
        return self.path(f"to/{campaign['name']}-{audience}")

    def test_every_distillation_and_each_audience(self):
        self.assertGreater(len(self.campaigns), 0)
        accounts = [line.split(",")[0] for line in open(f"{self.scanned}/accounts.csv")][1:]
        for audience in ("internal", "partner", "public"):
            self.render("--audience", audience)
            for c in self.campaigns:
                inside = {name: open(f"{self.folder(c, audience)}/{name}").read() for name in os.listdir(self.folder(c, audience))}
                everything = "".join(inside.values())
                named = [a for a in accounts if a in everything]
                self.assertEqual(bool(named), audience == "internal", named[:3])
                self.assertEqual("accounts.csv" in inside, audience != "public")
                self.assertEqual("SELECT" in everything, audience == "internal")
                for word in ("http://", "https://", "<script", "src="):
                    self.assertNotIn(word, inside["index.html"])
                self.assertEqual(json.loads(inside["campaign.json"])["campaigns"][0]["exchanges"], c["exchanges"])

    def test_each_figure_can_be_recomputed(self):
        c = self.campaigns[0]
        self.render(c["id"])
        page = open(f"{self.folder(c)}/index.html").read()
        sql = re.search(r"training examples and tokens by model</h3><pre>(.*?)</pre>", page, re.S).group(1)
        sql = sql.replace("&gt;", ">").replace("&lt;", "<").replace("&#39;", "'").replace("&quot;", '"').replace("&amp;", "&")
        rows = [line.split("\t") for line in self.run_it("query", "--lake", f"{self.scanned}/lake", "--output-format", "TSV", sql)[0].splitlines()]
        self.assertEqual(sum(int(r[1]) for r in rows), c["exchanges"])
        self.assertEqual(sum(int(r[3]) for r in rows), c["input_tokens"])
        answered = sum(int(r[2]) for r in rows)
        self.assertIn(f"<b>{answered:,}</b><span>training examples obtained", page)

    def test_the_same_bytes_twice(self):
        c = self.campaigns[0]
        self.render(c["name"])
        first = open(self.folder(c) + ".zip", "rb").read()
        shutil.rmtree(self.path("to"))
        self.render(c["id"])
        self.assertEqual(first, open(self.folder(c) + ".zip", "rb").read())

    def test_files_of_the_provider(self):
        prices = self.write("prices.yaml", "currency: USD\nmodels: {" + ", ".join(f"{m}: {{input: 3, output: 15}}" for m in self.campaigns[0]["models"]) + "}\n")
        milestones = self.write("milestones.yaml", "- {date: 2026-06-01, event: A rival is released, source: its maker}\n")
        self.render(self.campaigns[0]["id"], "--prices", prices, "--milestones", milestones)
        page = open(f"{self.folder(self.campaigns[0])}/index.html").read()
        self.assertRegex(page, r"these tokens cost [\d,]+ USD")
        self.assertIn("A rival is released", page)
        _, err = self.render("--prices", self.write("bad.yaml", "currency: USD\nprices: 3\n"), code=2)
        self.assertIn("bad.yaml:2: prices: unknown", err)

    def test_preview_writes_nothing(self):
        out, _ = self.render("--audience", "public", "--preview")
        self.assertIn("stays", out)
        self.assertFalse(os.path.exists(self.path("to")))

    def test_an_archive_tells_when_it_was_touched(self):
        self.run_it("dossier", "key", self.path("k"))
        self.assertEqual(os.stat(self.path("k")).st_mode & 0o777, 0o600)
        self.run_it("dossier", "key", self.path("k"), code=2)
        c = self.campaigns[0]
        self.render(c["id"], "--key", self.path("k"))
        good = self.folder(c) + ".zip"
        out, _ = self.run_it("dossier", "verify", good, "--key", self.path("k.pub"))
        self.assertIn("signed by the key given", out)
        self.run_it("dossier", "key", self.path("other"))
        self.assertIn("another key", self.run_it("dossier", "verify", good, "--key", self.path("other.pub"), code=2)[1])
        files = {i.filename: zipfile.ZipFile(good).read(i) for i in zipfile.ZipFile(good).infolist()}

        def touched(change):
            inside = dict(files)
            change(inside)
            with zipfile.ZipFile(self.path("bad.zip"), "w") as z:
                for name, data in inside.items():
                    z.writestr(name, data)
            return self.run_it("dossier", "verify", self.path("bad.zip"), code=2)[1]

        self.assertIn("campaign.json: was changed", touched(lambda f: f.update({"campaign.json": f["campaign.json"] + b" "})))
        self.assertIn("evidence.csv: is missing", touched(lambda f: f.pop("evidence.csv")))
        self.assertIn("more.txt: was added", touched(lambda f: f.update({"more.txt": b"x"})))
        self.assertIn("does not sign", touched(lambda f: f.update({"manifest.json": f["manifest.json"].replace(b"internal", b"public")})))
        self.assertIn("manifest.sig: is missing", touched(lambda f: f.pop("manifest.sig")))
        self.assertIn("no manifest.json", touched(lambda f: f.pop("manifest.json")))
        with zipfile.ZipFile(self.path("twice.zip"), "w") as z:
            for name, data in files.items():
                z.writestr(name, data)
            z.writestr("evidence.csv", b"other")
        self.assertIn("evidence.csv: is there twice", self.run_it("dossier", "verify", self.path("twice.zip"), code=2)[1])

    def test_what_it_refuses(self):
        self.assertIn("no campaign of", self.render("nobody", code=2)[1])
        self.assertIn("--audience", self.render("--audience", "everyone", code=2)[1])
        self.assertIn("name the folder of a finished scan", self.run_it("dossier", "render", "--out", self.path("none"), code=2)[1])
        self.assertIn("cannot be read", self.run_it("dossier", "verify", self.path("none.zip"), code=2)[1])

if __name__ == "__main__":
    unittest.main()
