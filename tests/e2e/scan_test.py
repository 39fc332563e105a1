"""The main job on the sample, and what it promises about its lake and its results."""
import gzip, html, json, os, pty, re, signal, subprocess, time, unittest
from common import BINARY, PATIENCE, ROOT, SAMPLE, Case, lake_bytes, record, sample_log, wait_until_handled, wait_until_reading

class Scan(Case):
    def sample(self, out="out", *extra, log=None, code=0):
        return self.run_it("scan", "--accounts", f"{SAMPLE}/accounts.jsonl", "--permits", f"{SAMPLE}/permits.yaml",
                           "--out", self.path(out), *extra, log or f"{SAMPLE}/exchanges.jsonl.zst", code=code)

    def results(self, out):
        return [open(f"{self.path(out)}/{name}", "rb").read() for name in ("campaigns.json", "accounts.csv", "accounts.index", "exchanges.csv")]

    def test_finds_the_campaigns_and_accuses_nobody_else(self):
        text, _ = self.sample()
        self.assertIn("distillation", text)
        score = json.loads(self.run_it("evaluate", "--truth", SAMPLE, "--found", self.path("out"), "--json")[0])
        self.assertEqual(score["innocents_accused"], 0)
        self.assertGreaterEqual(score["exchange_precision"], .99)
        for name in ("birch-thought", "cedar-marks", "delta-runs", "elm-calls"):
            self.assertGreaterEqual(score["campaigns"][name]["recall"], .95, name)
        self.assertEqual(score["campaigns"]["fir-code"]["verdict"], "unresolved")

    def test_every_figure_is_recomputed_by_its_query(self):
        self.sample()
        for campaign in json.load(open(self.path("out/campaigns.json")))["campaigns"]:
            if campaign["verdict"] != "distillation":
                continue
            ask = lambda sql: self.run_it("query", "--lake", self.path("out/lake"), "--output-format", "TSV", sql)[0].split()
            self.assertEqual(int(ask(campaign["queries"]["exchanges"])[0]), campaign["exchanges"])
            self.assertEqual(int(ask(campaign["queries"]["accounts"])[0]), campaign["accounts"])
            tokens = ask(campaign["queries"]["tokens"])
            self.assertEqual([int(t) for t in tokens], [campaign["input_tokens"], campaign["output_tokens"]])
            for evidence in campaign["evidence"]:
                self.assertTrue(ask(evidence["query"]), evidence["statement"])
            rhythm = next(e for e in campaign["evidence"] if e["family"] == "rhythm")
            self.assertIn(f"same hour {float(ask(rhythm['query'])[0]):,.0f} times", rhythm["statement"])

    def test_until_knows_nothing_of_later(self):
        """What --until judges is what a scan at that moment would have judged: no exchange, and no
        account, of later. Rejected candidates are compared too."""
        until = "2026-04-29T00:00:00.000Z"
        rows = open(sample_log(self.dir), encoding="utf-8").read().splitlines(True)
        early = [line for line in rows if json.loads(line)["ts"] < until]
        active = {json.loads(line)["account_id"] for line in early}
        accounts = [json.loads(line) for line in open(f"{SAMPLE}/accounts.jsonl")]
        known = [a for a in accounts if a["account_id"] in active or a["created_at"] < until]
        self.assertLess(len(known), len(accounts))
        self.write("accounts.jsonl", "".join(json.dumps(a) + "\n" for a in known))
        self.run_it("scan", "--accounts", self.path("accounts.jsonl"), "--permits", f"{SAMPLE}/permits.yaml", "--out",
                    self.path("then"), self.write("early.jsonl", "".join(early)))
        self.sample("now", "--until", until)
        self.assertEqual(self.results("then"), self.results("now"))
        weighed = [open(self.path(f"{out}/candidates.jsonl")).read() for out in ("then", "now")]
        self.assertEqual(*weighed)
        lines = [json.loads(line) for line in weighed[0].splitlines()]
        self.assertEqual(len(lines), json.load(open(self.path("now/run.json")))["candidates"])
        attributed = {row.split(",")[0] for row in open(self.path("now/exchanges.csv")).read().splitlines()[1:]}
        accused = [c for c in lines if c["verdict"] == "distillation"]
        self.assertTrue(accused)
        for c in accused:
            self.assertTrue(c["reported"] and c["distillation"] >= .95 and attributed.issuperset(x for x, _ in c["sample"]), c)

    def test_a_window_of_a_kept_lake_is_that_of_the_log(self):
        """Out of a lake that holds more, --since and --until judge the same records and settle the
        same duplicates as over the log itself: those with another content, and those of which one
        lies outside."""
        window = ["--since", "2026-04-24T00:00:00Z", "--until", "2026-05-04T00:00:00Z"]
        rows = [json.loads(line) for line in open(sample_log(self.dir), encoding="utf-8")]
        within = [o for o in rows if window[1] <= o["ts"] < window[3]]
        self.assertTrue(2_000 < len(within) < len(rows), len(within))
        twins = [{**o, "output_tokens": o["output_tokens"] + 1} for o in within[::50]]
        outside = [{**o, "ts": ts, "output_tokens": n} for o in within[7::50]
                   for n, ts in enumerate(("2026-04-01T00:00:00.000Z", "2026-06-01T00:00:00.000Z"))]
        log = self.write("log.jsonl", "".join(json.dumps(o) + "\n" for o in rows + twins + outside))
        self.sample("direct", *window, log=log)
        self.sample("kept", "--until", "1971-01-01T00:00:00Z", log=log)
        self.run_it("scan", "--permits", f"{SAMPLE}/permits.yaml", "--lake", self.path("kept/lake"), "--out", self.path("window"), *window)
        self.assertEqual(self.results("direct"), self.results("window"))
        self.assertIn(b"cmp_", self.results("window")[0])
        lost = [sorted(json.loads(line)["reason"] for line in self.lines(f"{out}/rejected.jsonl")) for out in ("direct", "window")]
        self.assertEqual(lost[0], lost[1])
        self.assertEqual(len(lost[0]), len(twins))

    def test_same_log_twice_counts_once(self):
        self.sample()
        first = self.results("out")
        self.sample()
        self.assertEqual(first, self.results("out"))

    def test_stdin_gzip_and_zstd_are_one(self):
        log = sample_log(self.dir)
        data = open(log, "rb").read()
        self.sample("zst")
        half = len(data) // 2
        cut = data.index(b"\n", half) + 1
        self.write("two-members.gz", gzip.compress(data[:cut]) + gzip.compress(data[cut:]))
        self.sample("gz", log=self.path("two-members.gz"))
        self.run_it("scan", "--accounts", f"{SAMPLE}/accounts.jsonl", "--permits", f"{SAMPLE}/permits.yaml", "--out",
                    self.path("stdin"), "-", stdin=data)
        self.assertEqual(self.results("zst"), self.results("gz"))
        self.assertEqual(self.results("zst"), self.results("stdin"))

    def test_killed_at_any_moment_the_next_run_goes_on(self):
        self.sample("whole")
        log = sample_log(self.dir)
        with open(log, "rb") as f:
            data = f.read()
        # In the middle of a log that comes by a pipe, certainly; of a file at any moment.
        child = subprocess.Popen([BINARY, "scan", "--accounts", f"{SAMPLE}/accounts.jsonl", "--permits", f"{SAMPLE}/permits.yaml", "--out", self.path("pipe"), "-"],
                                 stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        child.stdin.write(data[:len(data) // 2])
        child.stdin.flush()
        child.kill()
        child.wait()
        _, err = self.sample("pipe")
        self.assertIn("was interrupted", err)
        self.assertEqual(self.results("whole"), self.results("pipe"))
        for delay in (0, .02, .05, .1, .2):
            out = self.path(f"killed{delay}")
            child = subprocess.Popen([BINARY, "scan", "--accounts", f"{SAMPLE}/accounts.jsonl", "--permits", f"{SAMPLE}/permits.yaml",
                                      "--out", out, "--threads", "1", log], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_until_reading(child, log, f"{out}/lake")
            time.sleep(delay)
            child.send_signal(signal.SIGKILL)
            child.wait()
            self.sample(f"killed{delay}")
            self.assertEqual(self.results("whole"), self.results(f"killed{delay}"))

    def test_interrupt_leaves_the_old_results(self):
        self.sample()
        before = self.results("out")
        # While a log comes, and while nothing comes: at its beginning and later.
        for rows in (80_000, 0, 1):
            child = subprocess.Popen([BINARY, "scan", "--out", self.path("out"), "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
            child.stdin.write("".join(record(n) for n in range(rows)).encode())
            child.stdin.flush()
            wait_until_handled(child, signal.SIGINT)
            child.send_signal(signal.SIGINT)
            code = child.wait(60 * PATIENCE)
            child.stdin.close()
            err = child.stderr.read()
            self.assertEqual(code, 130, err)
            self.assertIn(b"interrupted", err)
            self.assertEqual(before, self.results("out"))
            self.assertFalse(os.path.exists(self.path("out/.partial")))

    def test_no_text_at_rest(self):
        self.sample()
        words = set()
        for o in map(json.loads, open(sample_log(self.dir), encoding="utf-8")):
            for message in o["messages"]:
                words.update(re.findall(r"[a-z]{9,}", message["content"].lower()))
        # Names of tools and clients are kept on purpose, and some prompts contain them.
        for line in open(sample_log(self.dir), encoding="utf-8"):
            o = json.loads(line)
            kept = " ".join([o["user_agent"], o["model"], *o.get("tools", [])])
            words -= set(re.findall(r"[a-z]{9,}", kept.lower()))
        # So are the names of columns, which stand in the engine's own files.
        words -= set(re.findall(r"[a-z]{9,}", open(f"{ROOT}/src/lake/schema/001_first.sql").read().lower()))
        self.assertGreater(len(words), 50)
        for name in ("deliberation", "invocation", "trajectory"):
            self.assertTrue(any(name in w for w in words), name)
        wanted = sorted(w.encode() for w in words)
        def found():
            """How many of the words lie in the lake, and in how many of its files."""
            everywhere = [(p, raw.lower()) for p, raw in lake_bytes(self.path("out/lake"))]
            self.assertGreater(len(everywhere), 10)
            hits = [(w, p) for w in wanted for p, raw in everywhere if w in raw]
            return {w for w, _ in hits}, {p for _, p in hits}
        self.assertEqual(found(), (set(), set()))
        self.sample("out", "--specimens", "1")
        some, files = found()
        self.assertGreater(len(some), 20, "the search finds text where there is some")
        self.assertEqual(len(files), 1, files)
        self.sample()
        self.assertEqual(found(), (set(), set()), "a scan without --specimens removes them")

    def test_attribution_as_csv_parquet_or_none(self):
        self.sample()
        csv = self.lines("out/exchanges.csv")
        kept = [open(self.path(f"out/{name}"), "rb").read() for name in ("campaigns.json", "accounts.csv")]
        self.sample("out", "--attribution", "parquet")
        self.assertFalse(os.path.exists(self.path("out/exchanges.csv")))
        self.sample("again", "--attribution", "parquet", "--threads", "1")
        one, two = (open(self.path(f"{out}/exchanges.parquet"), "rb").read() for out in ("out", "again"))
        self.assertEqual(one, two)
        rows = self.run_it("query", "--lake", self.path("out/lake"), "--output-format", "CSV",
                           "SELECT exchange_id, account_id, campaign_id FROM attributed ORDER BY exchange_id, campaign_id")[0]
        self.assertEqual(sorted(csv[1:]), sorted(rows.replace('"', "").splitlines()))
        # Read back as a log: its rows carry an id and an account, so only the time is missing.
        sql = self.write("back.sql", "-- reads: Parquet\nSELECT exchange_id, account_id, campaign_id AS model, 1776816000000 AS ts FROM {source}\n")
        self.run_it("scan", "--format", sql, "--out", self.path("back"), self.path("out/exchanges.parquet"))
        back = self.run_it("query", "--lake", self.path("back/lake"), "--output-format", "CSV", "SELECT exchange_id, account_id, model FROM exchanges")[0]
        self.assertEqual(sorted(csv[1:]), sorted(back.replace('"', "").splitlines()))
        self.sample("out", "--attribution", "none")
        self.assertFalse(os.path.exists(self.path("out/exchanges.parquet")))
        self.assertEqual(kept, [open(self.path(f"out/{name}"), "rb").read() for name in ("campaigns.json", "accounts.csv")])
        self.assertIn("csv, parquet or none", self.sample("out", "--attribution", "xml", code=2)[1])

    def test_specimens_are_few_the_same_and_shown(self):
        turns = {}
        for o in map(json.loads, open(sample_log(self.dir), encoding="utf-8")):
            turns[o["messages"][-1]["content"][:500]] = o["exchange_id"]
        self.sample("one", "--specimens", "1")
        self.sample("three", "--specimens", "3", "--threads", "1")
        # Another order of lines, split over files.
        lines = open(sample_log(self.dir), encoding="utf-8").readlines()
        halves = [self.write("a.jsonl", "".join(lines[::-2])), self.write("b.jsonl", "".join(lines[-2::-2]))]
        self.run_it("scan", "--accounts", f"{SAMPLE}/accounts.jsonl", "--permits", f"{SAMPLE}/permits.yaml", "--out", self.path("split"),
                    "--specimens", "3", "--threads", "3", *halves)
        self.assertEqual(self.results("three"), self.results("split"))
        shown = 0
        one, three = (json.load(open(self.path(f"{name}/campaigns.json")))["campaigns"] for name in ("one", "three"))
        for few, many in zip(one, three):
            page = open(self.path(f"three/dossier/{many['id']}/index.html"), encoding="utf-8").read()
            for s, t in zip(few["templates"], many["templates"]):
                self.assertNotIn("more_specimens", s)
                self.assertEqual(s["specimen"], t["specimen"])
                more = t.get("more_specimens", [])
                self.assertEqual(len(more), min(3, t["exchanges"]) - 1)
                for text in (t["specimen"], *more):
                    self.assertTrue(text[:500] in turns or text.split("\n\n", 1)[-1][:500] in turns, text[:80])
                    shown += html.escape(text[:60]).replace("&#x27;", "&#39;") in page
        self.assertGreater(shown, 30)
        rows = int(self.run_it("query", "--lake", self.path("three/lake"), "--output-format", "TSV", "SELECT count() FROM specimens")[0])
        self.assertEqual(rows, sum(min(3, t["exchanges"]) for c in three for t in c["templates"]))
        # A later scan without the log shows what the lake kept.
        self.run_it("scan", "--permits", f"{SAMPLE}/permits.yaml", "--out", self.path("three"), "--specimens", "3")
        self.assertEqual(self.results("three"), self.results("split"))
        _, err = self.run_it("scan", "--out", self.path("stdin"), "--specimens", "1", "-", stdin=b"", code=2)
        self.assertIn("second time", err)

    def test_explain_says_why_and_what_speaks_against(self):
        self.sample()
        campaign = json.load(open(self.path("out/campaigns.json")))["campaigns"][0]
        text, _ = self.run_it("explain", campaign["id"], "--out", self.path("out"))
        for part in ("Why it is here", "What speaks against it", "runner-up", "What would change", "rhythm"):
            self.assertIn(part, text)
        account = self.lines("out/accounts.csv")[1].split(",")[0]
        self.assertIn("exchanges as part of this work", self.run_it("explain", account, "--out", self.path("out"))[0])
        _, err = self.run_it("explain", "nobody", "--out", self.path("out"), code=2)
        self.assertIn("no campaign", err)

    def test_query_reads_only(self):
        self.sample()
        lake = self.path("out/lake")
        for sql in ("DROP TABLE exchanges", "INSERT INTO attributed VALUES (1,'a','b','c')", "SELECT * FROM file('/etc/passwd','LineAsString')"):
            self.run_it("query", "--lake", lake, sql, code=2)
        self.assertGreater(int(self.run_it("query", "--lake", lake, "--output-format", "TSV", "SELECT count() FROM exchanges")[0]), 1000)

    def test_dossier_stands_alone_and_shows_no_markup_of_attackers(self):
        hostile = "<script>alert(1)</script>"
        rows = []
        for line in open(sample_log(self.dir), encoding="utf-8"):
            o = json.loads(line)
            o["model"], o["user_agent"] = hostile, hostile
            rows.append(json.dumps(o) + "\n")
        self.sample("out", log=self.write("hostile.jsonl", "".join(rows)))
        pages = 0
        for folder in os.listdir(self.path("out/dossier")):
            page = open(self.path(f"out/dossier/{folder}/index.html"), encoding="utf-8").read()
            pages += 1
            self.assertNotIn("<script", page)
            self.assertNotRegex(page, r"(?i)\b(src|href|srcset|action)\s*=|url\(|@import|https?://", "it needs nothing from elsewhere")
            self.assertIn("default-src 'none'", page)
            self.assertIn("alert(1)", page)
        self.assertGreater(pages, 3)

    def test_silent_when_piped_and_json_for_machines(self):
        out, err = self.sample("out", "--json")
        self.assertEqual(json.loads(out), json.load(open(self.path("out/campaigns.json"))))
        self.assertEqual(err, "")

    def on_a_terminal(self, *args):
        """What the program writes to a terminal on stderr, stdout being elsewhere."""
        master, slave = pty.openpty()
        child = subprocess.Popen([BINARY, *args], stdin=slave, stderr=slave, stdout=subprocess.DEVNULL)
        os.close(slave)
        shown = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the program has closed its end
                break
            if not piece:
                break
            shown += piece
        os.close(master)
        self.assertEqual(child.wait(60 * PATIENCE), 0, shown)
        return shown.decode()

    def test_progress_on_a_terminal_and_nothing_else(self):
        log = self.write("long.jsonl", "".join(record(n) for n in range(500_000)))
        args = ["scan", "--threads", "1", log]
        shown = self.on_a_terminal(*args, "--out", self.path("out"))
        lines = [part.removeprefix("\x1b[K") for part in shown.split("\r")]
        self.assertEqual(lines[-1], "", "the line is wiped at the end")
        reading = [line for line in lines if re.fullmatch(r"reading  \[#* *\] +\d+ %  \d+ records/s(  \d+ (s|min) left)?", line)]
        self.assertTrue(reading, lines)
        for line in lines[:-1]:
            self.assertRegex(line, r"^$|^(reading  \[|[a-z]+ +\d+ records  \d+ s$)")
        for silence in ("--quiet", "--json"):
            self.assertEqual(self.on_a_terminal(*args, "--out", self.path("out"), silence), "")

    def test_link_finds_pools_in_other_data(self):
        rows = ["account_id,family,value"]
        rows += [f"p{i},payment,card{i // 5}" for i in range(20)] + [f"p{i},network,ip{i % 4}" for i in range(20)]
        rows += [f"s{i},payment,own{i}" for i in range(200)] + [f"s{i},client,common" for i in range(200)]
        self.run_it("link", "--traits", self.write("traits.csv", "\n".join(rows) + "\n"), "--out", self.path("pools.csv"))
        pool = dict(line.split(",") for line in self.lines("pools.csv")[1:])
        self.assertEqual(len({pool[f"p{i}"] for i in range(20)}), 1)
        self.assertTrue(pool["p0"])
        self.assertEqual({pool[f"s{i}"] for i in range(200)}, {""})

if __name__ == "__main__":
    unittest.main()
