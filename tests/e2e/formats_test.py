"""Logs as people have them: foreign formats on standard input and compressed, arrays, tables, URLs."""
import csv, functools, gzip, http.server, json, os, socketserver, subprocess, threading, unittest
from common import Case, ROOT, SAMPLE, sample_log

DATA = os.path.join(ROOT, "tests", "data", "formats")
SPECIMENS = ["litellm", "bedrock", "otlp_traces", "otlp_logs", "openai_batch"]


def specimen(name):
    with open(os.path.join(DATA, name + ".jsonl"), "rb") as f:
        return f.read()


def valid(data):
    """The records of a specimen that Python can read, elements of arrays singly."""
    for line in data.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        yield from record if isinstance(record, list) else [record]


class Formats(Case):
    def kept(self, out, *args, stdin=None):
        """Scans; what is in the lake, and how many records were refused."""
        _, err = self.run_it("scan", "--out", self.path(out), *args, stdin=stdin)
        rows = self.run_it("query", "--lake", self.path(f"{out}/lake"), "--output-format", "TSV",
                           "SELECT exchange_id, account_id, ts, content FROM exchanges ORDER BY exchange_id, content")[0]
        return rows, len(self.lines(f"{out}/rejected.jsonl")), err

    def test_however_a_log_comes_it_is_the_same(self):
        for name in SPECIMENS:
            data = specimen(name)
            want = self.kept(f"{name}-plain", os.path.join(DATA, name + ".jsonl"))
            self.assertIn(f"recognised as {name}: ", want[2])
            self.assertGreater(len(want[0].splitlines()), 0)
            records = [json.dumps(r) for r in valid(data)]
            document = "[\n" + ",\n".join("  " + r for r in records) + "\n]\n"
            subprocess.run(["zstd", "-qf", self.write(f"{name}.jsonl", data), "-o", self.path(f"{name}.zst")], check=True)
            ways = {"gz": ([self.write(f"{name}.log.gz", gzip.compress(data))], None), "zst": ([self.path(f"{name}.zst")], None),
                    "stdin": (["-"], data), "stdin-gz": (["-"], gzip.compress(data)), "named": (["--format", name, "-"], data),
                    "document": ([self.write(f"{name}.json", document)], None),
                    "array": ([self.write(f"{name}-array.json", "[" + ",".join(records) + "]")], None)}
            for way, (args, stdin) in ways.items():
                if way != "document" and name not in ("litellm", "otlp_logs"):
                    continue  # how bytes arrive does not depend on the format
                got = self.kept(f"{name}-{way}", *args, stdin=stdin)
                self.assertEqual(got[0], want[0], (name, way))
                if way not in ("document", "array"):  # those are of what is valid JSON
                    self.assertEqual(got[1], want[1], (name, way))

    def test_a_foreign_log_is_sketched(self):
        """Its sketches, scanned, are what the log itself is in the lake, and hold none of its text."""
        log = os.path.join(DATA, "litellm.jsonl")
        out, err = self.run_it("sketch", log)
        self.assertIn("recognised as litellm: ", err)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertTrue(any("sketch" in e for e in lines))
        self.assertFalse(any(k in e for e in lines for k in ("messages", "response")))
        columns = "exchange_id, account_id, ts, model, input_tokens, turn_sketch"
        def lake(name, log):
            self.run_it("scan", "--quiet", "--out", self.path(name), log)
            return self.run_it("query", "--lake", self.path(f"{name}/lake"), "--output-format", "TSV", f"SELECT {columns} FROM exchanges ORDER BY {columns}")[0]
        self.assertEqual(lake("sketched", self.write("sketches.jsonl", out)), lake("plain", log))
        self.assertEqual(self.run_it("sketch", "-", stdin=specimen("litellm"))[0], out)
        _, err = self.run_it("sketch", self.write("words.jsonl", "word\n" * 3), code=2)
        self.assertIn("none of the 3 records could be used", err)

    def test_a_fifo_is_looked_at_and_then_read_whole(self):
        fifo = self.path("pipe")
        os.mkfifo(fifo)
        writer = threading.Thread(target=lambda: open(fifo, "wb").write(specimen("litellm")))
        writer.start()
        got = self.kept("fifo", fifo)
        writer.join()
        self.assertEqual(got[:2], self.kept("plain", os.path.join(DATA, "litellm.jsonl"))[:2])

    def test_formats_may_be_mixed(self):
        one = [self.kept(n, os.path.join(DATA, n + ".jsonl")) for n in ("litellm", "bedrock")]
        both = self.kept("both", *(os.path.join(DATA, n + ".jsonl") for n in ("litellm", "bedrock")))
        self.assertEqual(sorted(both[0].splitlines()), sorted((one[0][0] + one[1][0]).splitlines()))

    def test_a_bad_element_of_an_array_is_counted_and_passed_over(self):
        good = [next(valid(specimen("litellm")))] * 5
        records = [dict(r, id=f"n{i}") for i, r in enumerate(good)]
        text = json.dumps(records, indent=2)
        # A bracket too many, a value without quotes, a bracket missing: each costs its own element.
        for i, (old, new) in enumerate([('"id": "n1",', '"id": "n1"},'), ('"id": "n2",', '"id": n2,'), ('"id": "n3",', '"id": ["n3",')]):
            self.assertEqual(text.count(old), 1)
            rows, rejected, _ = self.kept(f"bad{i}", self.write(f"bad{i}.json", text.replace(old, new)))
            self.assertEqual([r.split("\t")[0] for r in rows.splitlines()], [f"n{k}" for k in range(5) if k != i + 1], new)
            self.assertGreaterEqual(rejected, 1)
            rejects = [json.loads(line) for line in self.lines(f"bad{i}/rejected.jsonl")]
            begins = text.rindex("\n  {", 0, text.index(old)) + 1
            self.assertEqual(min(r["line"] for r in rejects), text[:begins].count("\n") + 1)
            self.assertTrue(any("not valid JSON" in r["reason"] for r in rejects), rejects)
        rows, rejected, _ = self.kept("cut", self.write("cut.json", text[:text.index('"id": "n4"')]))
        self.assertEqual((len(rows.splitlines()), rejected), (4, 1))
        self.assertIn("cut short", self.lines("cut/rejected.jsonl")[0])

    def test_cut_and_broken_archives_say_so(self):
        whole = gzip.compress(specimen("litellm"))
        _, err = self.run_it("scan", "--out", self.path("o"), self.write("cut.gz", whole[:-40]), code=2)
        self.assertIn("ends in the middle of its gzip data", err)
        _, err = self.run_it("scan", "--out", self.path("o"), "-", stdin=b"PAR1 and so on", code=2)
        self.assertIn("read from files", err)

    def test_csv_of_the_sample_gives_its_campaigns(self):
        """Written by Python's csv module from the canonical lines."""
        log = sample_log(self.dir)
        with open(log, encoding="utf-8") as f:
            records = [json.loads(line) for line in f]
        columns = sorted({k for r in records for k in r})
        with open(self.path("log.csv"), "w", newline="", encoding="utf-8") as f:
            rows = csv.DictWriter(f, columns)
            rows.writeheader()
            for r in records:
                rows.writerow({k: json.dumps(v) if isinstance(v, (list, dict, bool)) else v for k, v in r.items()})
        side = ["--accounts", f"{SAMPLE}/accounts.jsonl", "--permits", f"{SAMPLE}/permits.yaml"]
        lines, table = (self.kept(out, *side, path) for out, path in (("lines", log), ("table", self.path("log.csv"))))
        self.assertIn("recognised as canonical: the columns include", table[2])
        self.assertEqual(lines[:2], table[:2])
        for file in ("campaigns.json", "accounts.csv", "exchanges.csv"):
            self.assertEqual(self.lines(f"lines/{file}"), self.lines(f"table/{file}"), file)


class Web(Case):
    """A server of the test's own, on loopback."""
    def serve(self):
        handler = functools.partial(Quiet, directory=self.dir)
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_address[1]}"

    def scanned(self, out, *args, code=0):
        _, err = self.run_it("scan", "--out", self.path(out), *args, code=code)
        if code:
            return err
        rows = self.run_it("query", "--lake", self.path(f"{out}/lake"), "--output-format", "TSV",
                           "SELECT exchange_id, account_id, ts, content FROM exchanges ORDER BY exchange_id, content")[0]
        rejects = [json.loads(line) for line in self.lines(f"{out}/rejected.jsonl")]
        return rows, [(r["line"], r["reason"]) for r in rejects], err, [r["source"] for r in rejects]

    def test_urls_are_read_like_files(self):
        url = self.serve()
        canonical = "".join(json.dumps({"exchange_id": f"e{i}", "ts": "2026-01-01T00:00:00Z", "account_id": "a" if i != 3 else "",
                                        "response": f"answer {i}"}) + "\n" for i in range(7))
        self.write("log.jsonl", canonical)
        self.write("log.jsonl.gz", gzip.compress(canonical.encode()))
        self.write("litellm.jsonl", specimen("litellm"))
        self.write("t.csv", "exchange_id,ts,account_id\ne1,2026-01-01T00:00:00Z,a\n")
        for name in ("log.jsonl", "log.jsonl.gz", "litellm.jsonl", "t.csv"):
            file, web = self.scanned(f"file-{name}", self.path(name)), self.scanned(f"web-{name}", f"{url}/{name}?key=secret")
            self.assertEqual(web[:2], file[:2], name)
            self.assertGreater(len(web[0].splitlines()), 0)
            self.assertTrue(all(s == f"{url}/{name}" for s in web[3]))
            run = open(self.path(f"web-{name}/run.json")).read()
            self.assertIn(f"{url}/{name}", run)
            self.assertNotIn("secret", run)
        self.assertIn("recognised as litellm", self.scanned("again", f"{url}/litellm.jsonl")[2])

    def test_an_expression_of_the_engine_is_a_log(self):
        url = self.serve()
        os.mkdir(self.path("bucket"))
        self.write("bucket/litellm.jsonl", specimen("litellm"))
        self.write("t.csv", "exchange_id,ts,account_id\ne1,2026-01-01T00:00:00Z,a\n")
        self.write("nothing.jsonl", "")
        want = self.scanned("file", self.path("bucket/litellm.jsonl"))
        # One column of text is lines; s3() here asks a server that knows nothing of S3.
        for i, function in enumerate(("url('{}', 'LineAsString', 'line String')", "s3('{}', NOSIGN, 'LineAsString', 'line String')")):
            got = self.scanned(f"lines{i}", function.format(f"{url}/bucket/litellm.jsonl"))
            self.assertEqual(got[:2], want[:2])
        table = self.scanned("table", f"url('{url}/t.csv', 'CSVWithNames')")
        self.assertEqual(table[0].split("\t")[:2], ["e1", "a"])
        self.assertIn("recognised as canonical: the columns include", table[2])
        self.assertEqual(self.scanned("selected", f"(SELECT * FROM url('{url}/t.csv', 'CSVWithNames') WHERE account_id = 'b')", code=0)[0], "")
        self.assertIn("nothing.jsonl: is empty", self.scanned("empty", f"{url}/nothing.jsonl")[2])
        self.assertIn("nosuch(...): cannot be read", self.scanned("bad", "nosuch('x')", code=2))

    def test_a_url_that_breaks_off_is_no_whole_log(self):
        url = self.serve()
        self.write("broken.jsonl", "".join(json.dumps({"exchange_id": f"e{i}", "ts": "2026-01-01T00:00:00Z", "account_id": "a"}) + "\n" for i in range(9000)))
        err = self.scanned("o", f"{url}/broken.jsonl", code=2)
        self.assertIn("broken.jsonl: cannot be read", err)
        self.assertFalse(os.path.exists(self.path("o/campaigns.json")))

    def test_a_url_that_cannot_be_read_is_named(self):
        url = self.serve()
        err = self.scanned("o", f"{url}/nothing.jsonl?key=secret", code=2)
        self.assertIn(f"{url}/nothing.jsonl: cannot be read", err)
        self.assertIn("404", err)
        self.assertNotIn("secret", err)
        self.write("wrong.parquet", "no table at all")
        err = self.scanned("w", f"{url}/wrong.parquet?key=secret", code=2)
        self.assertIn(f"{url}/wrong.parquet: cannot be read", err)
        self.assertNotIn("secret", err)
        err = self.scanned("f", "--format", "wildchat", f"{url}/wrong.parquet?key=secret", code=2)
        self.assertNotIn("secret", err)
        err = self.scanned("p", "http://127.0.0.1:9/log.jsonl", code=2)
        self.assertIn("cannot be read", err)


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def copyfile(self, source, out):
        data = source.read()
        # Half of what the header promised, whoever asks how often.
        out.write(data[:len(data) // 2] if "broken" in self.path else data)
        if "broken" in self.path:
            self.close_connection = True


if __name__ == "__main__":
    unittest.main()
