"""Each kind of bad input ends in one clear line and leaves nothing half-written."""
import gzip, json, os, signal, subprocess, threading, time, unittest
from common import BINARY, Case, PATIENCE, record, wait_until_reading

class BadInput(Case):
    def scan(self, *args, code=0):
        return self.run_it("scan", "--out", self.path("out"), *args, code=code)

    def refused(self, reason, *args, **how):
        """Ends with 2 and one line that says why; no result, whole or half, is there after it."""
        _, err = self.run_it("scan", "--out", self.path("out"), *args, code=2, **how)
        self.assertRegex(err, r"^stillwatch: .*\n$")
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertIn(reason, err)
        if os.path.isdir(self.path("out")):
            self.assertLessEqual(set(os.listdir(self.path("out"))), {"lake"})
        return err

    def kept(self):
        return int(self.run_it("query", "--lake", self.path("out/lake"), "--output-format", "TSV", "SELECT uniqExact(exchange_id) FROM exchanges")[0])

    def rejected(self):
        return [json.loads(line) for line in self.lines("out/rejected.jsonl")]

    def one_bad(self, bad, reason, line=2):
        """A bad line between good ones: counted, kept, explained; the others count."""
        data = record(1).encode() + (bad if isinstance(bad, bytes) else bad.encode()) + record(3).encode()
        self.scan(self.write("log.jsonl", data))
        r = self.rejected()
        self.assertEqual(len(r), 1, r)
        self.assertEqual(r[0]["line"], line)
        self.assertEqual(r[0]["offset"], len(record(1)))
        self.assertIn(reason, r[0]["reason"])
        self.assertLessEqual(len(r[0]["record"]), 1024)
        self.assertEqual(json.load(open(self.path("out/run.json")))["exchanges"], 2)

    def test_truncated_line(self):
        self.one_bad(record(2)[:-20] + "\n", "not valid JSON")

    def test_invalid_utf8(self):
        self.one_bad(record(2).encode().replace(b"lamp", b"la\xff\xfe"), "not valid JSON")

    def test_nul(self):
        self.one_bad(record(2).replace("lamp", "la\0mp"), "not valid JSON")

    def test_fifty_megabytes(self):
        self.one_bad(record(2, response="y" * (50 << 20)), "longer than 32 MiB")

    def test_deep_nesting(self):
        self.one_bad(record(2)[:-2] + ', "other": ' + "[" * 5000 + "]" * 5000 + "}\n", "nested deeper")

    def test_duplicate_keys(self):
        self.one_bad(record(2)[:-2] + ', "account_id": "b"}\n', "account_id: appears twice")

    def test_wrong_types(self):
        for field, value, reason in (("account_id", 7, "account_id: expected a string"), ("messages", "hi", "messages: expected an array"),
                                     ("input_tokens", "many", "input_tokens: expected an integer"), ("input_tokens", -4, "out of range"),
                                     ("temperature", "hot", "temperature: expected a number"), ("stream", 1, "stream: expected a boolean"),
                                     ("sketch", 3, "sketch: expected an object"), ("tools", {}, "tools: expected an array")):
            with self.subTest(field=field):
                self.setUp()
                self.one_bad(record(2, **{field: value}), reason)

    def test_missing_fields(self):
        for field in ("exchange_id", "ts", "account_id"):
            with self.subTest(field=field):
                self.setUp()
                self.one_bad(record(2, **{field: None}), f"{field}: missing")

    def test_timestamps(self):
        for ts, reason in (("2026-04-22T10:00:00", "RFC 3339"), ("22/04/2026", "RFC 3339"), ("2999-01-01T00:00:00Z", "future"),
                           ("1969-12-31T23:59:59Z", "before 1970"), ("2026-02-30T00:00:00Z", "RFC 3339")):
            with self.subTest(ts=ts):
                self.setUp()
                self.one_bad(record(2, ts=ts), reason)

    def test_other_zones_are_read(self):
        self.scan(self.write("log.jsonl", record(1, ts="2026-04-22T02:00:00+02:00")))
        ts = self.run_it("query", "--lake", self.path("out/lake"), "--output-format", "TSV", "SELECT ts FROM exchanges")[0]
        self.assertEqual(int(ts), 1776816000000)

    def test_conflicting_duplicates(self):
        a, b = record(2), record(2, model="other")
        for order in ((a, b), (b, a)):
            self.setUp()
            self.scan(self.write("log.jsonl", record(1) + "".join(order) + record(3)))
            r = self.rejected()
            self.assertEqual(len(r), 1)
            self.assertIn("two different records", r[0]["reason"])
            self.assertEqual(json.load(open(self.path("out/run.json")))["exchanges"], 3)

    def test_any_order_of_time_is_one(self):
        lines = [record(n) for n in range(0, 40_000, 7)]
        found = []
        for order in (lines, lines[::-1], lines[1::2] + lines[::2]):
            self.setUp()
            self.scan(self.write("log.jsonl", "".join(order)))
            self.assertEqual(self.rejected(), [])
            found.append([open(self.path(f"out/{name}"), "rb").read() for name in ("campaigns.json", "accounts.csv", "exchanges.csv")])
        self.assertEqual(found[0], found[1])
        self.assertEqual(found[0], found[2])

    def test_undescribed_account_and_bad_account_records(self):
        accounts = self.write("accounts.jsonl", '{"account_id": "a1"}\nnot json\n{"plan": "pro"}\n{"account_id": "zz", "created_at": "soon"}\n')
        self.scan("--accounts", accounts, self.write("log.jsonl", record(1) + record(2)))
        self.assertEqual([(r["line"], r["source"]) for r in self.rejected()], [(n, accounts) for n in (2, 3, 4)])
        for r, reason in zip(self.rejected(), ("not valid JSON", "account_id: missing", "created_at: ")):
            self.assertIn(reason, r["reason"])
        run = json.load(open(self.path("out/run.json")))
        self.assertEqual((run["exchanges"], run["accounts"]), (2, 2), "a2, which no record describes, counts")

    def test_empty_file(self):
        _, err = self.scan(self.write("log.jsonl", ""))
        self.assertIn("log.jsonl: is empty", err)
        self.assertEqual(json.load(open(self.path("out/campaigns.json")))["campaigns"], [])

    def test_accounts_in_place_of_the_log(self):
        accounts = self.write("people.jsonl", '{"account_id": "a1", "created_at": "2026-01-01T00:00:00Z", "plan": "pro"}\n')
        self.refused(f"{accounts}: holds accounts, not exchanges: give it with --accounts", accounts)

    def test_folder_and_missing(self):
        self.refused(f"{self.dir}: is a folder", self.dir)
        self.refused(f"{self.path('nowhere')}: does not exist", self.path("nowhere"))
        log = self.write("log.jsonl", record(1))
        for flag in ("--accounts", "--permits", "--known", "--mmdb"):
            self.refused(self.path("nowhere"), flag, self.path("nowhere"), log)
            self.refused(self.dir, flag, self.dir, log)
        self.assertFalse(os.path.exists(self.path("out/lake")), "said before anything was made")

    def as_nobody(self):
        """Root may read and write all; then the program runs as somebody who may not."""
        os.chmod(self.dir, 0o755)
        os.chmod(os.path.dirname(self.dir), 0o755)
        return {"user": 65534} if os.geteuid() == 0 else {}

    def test_may_not_be_read(self):
        log = self.write("log.jsonl", record(1))
        os.chmod(log, 0)
        self.refused("log.jsonl: may not be read", log, **self.as_nobody())

    def test_may_not_be_written(self):
        log = self.write("log.jsonl", record(1))
        os.mkdir(self.path("out"), 0o555)
        self.refused("results cannot be written there; name another folder", log, **self.as_nobody())
        self.assertEqual(os.listdir(self.path("out")), [])

    def test_not_a_log_at_all(self):
        _, err = self.scan(self.write("log.jsonl", "hello\nworld\n"), code=2)
        self.assertIn("none of the 2 records", err)
        self.assertEqual(len(self.rejected()), 2)

    def test_another_format_than_named(self):
        log = self.write("log.jsonl", "".join(record(n) for n in range(5)))
        self.refused("format litellm: does not fit this log: none of its 5 records", "--format", "litellm", log)
        self.refused("xml is unknown", "--format", "xml", log)
        self.assertEqual(self.kept(), 0)

    def test_compressed_file_cut_short(self):
        data = "".join(record(n) for n in range(5000)).encode()
        whole = gzip.compress(data)
        log = self.write("log.gz", whole[: len(whole) // 2])
        self.refused("log.gz: ends in the middle of its gzip", log)
        subprocess.run(["zstd", "-qf", self.write("log.jsonl", data), "-o", self.path("log.zst")], check=True)
        whole = open(self.path("log.zst"), "rb").read()
        self.refused("cut.zst: ends in the middle of its zstd", self.write("cut.zst", whole[: len(whole) // 2]))
        self.refused("broken zstd", self.write("bad.zst", whole[:2000] + b"garbage!" + whole[2008:]))
        self.assertEqual(self.kept(), 0, "what the attempts had read is withdrawn")

    def test_file_that_grows(self):
        fifo = self.path("growing.jsonl")
        with open(fifo, "w") as f:
            f.write("".join(record(n) for n in range(200_000)))
        stop = threading.Event()
        def grow():
            with open(fifo, "a") as f:
                n = 200_000
                while not stop.is_set():
                    f.write(record(n))
                    f.flush()
                    n += 1
                    time.sleep(.002)
        thread = threading.Thread(target=grow)
        thread.start()
        try:
            self.scan("--quiet", fifo)
        finally:
            stop.set()
            thread.join()
        self.assertGreaterEqual(json.load(open(self.path("out/run.json")))["exchanges"], 200_000)
        self.assertEqual(self.rejected(), [])

    def test_file_that_disappears_is_read_to_its_end(self):
        log = self.write("log.jsonl", "".join(record(n) for n in range(300_000)))
        child = subprocess.Popen([BINARY, "scan", "--quiet", "--out", self.path("out"), "--threads", "1", log])
        wait_until_reading(child, log, self.path("out/lake"))
        os.remove(log)
        self.assertEqual(child.wait(60 * PATIENCE), 0)
        self.assertEqual(json.load(open(self.path("out/run.json")))["exchanges"], 300_000)

    def test_file_that_is_gone_before_its_turn(self):
        first, second = self.path("1.jsonl"), self.write("2.jsonl", record(1))
        os.mkfifo(first)
        child = subprocess.Popen([BINARY, "scan", "--quiet", "--out", self.path("out"), "--threads", "1", first, second], stderr=subprocess.PIPE)
        with open(first, "w") as f:
            f.write("".join(record(n) for n in range(100_000)))
            os.remove(second)
        _, err = child.communicate(timeout=60 * PATIENCE)
        self.assertEqual(child.returncode, 2, err)
        self.assertRegex(err.decode(), r"^stillwatch: .*2\.jsonl: .*\n$")
        self.assertEqual(os.listdir(self.path("out")), ["lake"])
        self.assertEqual(self.kept(), 0)

    def test_interrupted_the_first_time(self):
        rows = "".join(record(n) for n in range(80_000))
        log = self.write("log.jsonl", rows)
        for stop in (signal.SIGINT, signal.SIGTERM):
            self.scan("--quiet", self.write("small.jsonl", record(1)))  # the lake is there, results too
            before = {name: os.stat(self.path(f"out/{name}")).st_mtime_ns for name in os.listdir(self.path("out")) if name != "lake"}
            child = subprocess.Popen([BINARY, "scan", "--out", self.path("out"), "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
            child.stdin.write(rows.encode())
            child.stdin.flush()
            child.send_signal(stop)
            code = child.wait(60 * PATIENCE)
            child.stdin.close()
            out, err = child.stdout.read(), child.stderr.read()
            self.assertEqual((code, out), (130, b""), err)
            self.assertRegex(err.decode(), r"(^|\n)stillwatch: interrupted; what was read stays in the lake .*\n$")
            after = {name: os.stat(self.path(f"out/{name}")).st_mtime_ns for name in os.listdir(self.path("out")) if name != "lake"}
            self.assertEqual(before, after)
        _, err = self.scan(log)
        self.assertIn("was interrupted", err)
        self.assertEqual(json.load(open(self.path("out/run.json")))["exchanges"], 80_000)

    def test_strict_writes_nothing(self):
        log = self.write("log.jsonl", record(1) + "nonsense\n" + record(3))
        self.refused("log.jsonl:2:", "--strict", log)
        self.assertEqual(self.kept(), 0)

    def test_unwritable_out(self):
        self.write("file", "x")
        _, err = self.run_it("scan", "--out", self.path("file/out"), self.write("log.jsonl", record(1)), code=2)
        self.assertIn("file/out: results cannot be written there; name another folder", err)

    def test_full_disk(self):
        disk, log = self.path("disk"), self.write("log.jsonl", "".join(record(n, exchange_id=os.urandom(20).hex()) for n in range(120_000)))
        os.mkdir(disk)
        again = f'ls -A {disk}; mount -o remount,size=300m {disk}; "$0" "$@"; grep "\\"exchanges\\"" {disk}/run.json; exit $code'
        code, out, err = self.run_where(f'mount -t tmpfs -o size=3m none {disk}; "$0" "$@" || code=$?; ' + again, "scan", "--quiet", "--out", disk, log)
        self.assertEqual(code, 2, err)
        self.assertRegex(err, r"(?i)^stillwatch: .*(no space left|disk is full).*free.*\n$")
        self.assertEqual(out.split(), ["lake", '"exchanges":', "120000,"], "nothing half-written, and the next run has all")

    def test_disk_full_of_results(self):
        """The lake lies elsewhere; the old results stay."""
        disk, log = self.path("disk"), self.write("log.jsonl", "".join(record(n, account_id=f"a{n}", ts="bad") for n in range(3000)) + record(1))
        os.mkdir(disk)
        first = f'mount -t tmpfs -o size=256k none {disk}; "$0" scan --quiet --out {disk} --lake {self.path("lake")} {self.write("one.jsonl", record(1))}; md5sum {disk}/*.* | md5sum; '
        code, out, err = self.run_where(first + f'"$0" "$@" || code=$?; md5sum {disk}/*.* | md5sum; ls -A {disk} | grep partial || exit $code',
                                        "scan", "--quiet", "--out", disk, "--lake", self.path("lake"), log)
        self.assertEqual(code, 2, err)
        self.assertRegex(err, r"(?i)^stillwatch: .*no space left.*free space and run again\n$")
        self.assertEqual(len(out.splitlines()), 2, out)
        self.assertEqual(*out.splitlines())

    def test_standard_output_that_is_full(self):
        self.scan("--quiet", self.write("log.jsonl", record(1)))
        with open("/dev/full", "w") as full:
            for args in (["query", "--lake", self.path("out/lake"), "SELECT 1"], ["sketch", self.path("log.jsonl")], ["scan", "--json", "--out", self.path("out")]):
                done = subprocess.run([BINARY, *args], stdout=full, stderr=subprocess.PIPE, timeout=60 * PATIENCE)
                self.assertEqual(done.returncode, 2, args)
                self.assertRegex(done.stderr.decode(), r"^stillwatch: st.*out.*\n$")
        many = ["query", "--lake", self.path("out/lake"), "--output-format", "TSV", "SELECT number FROM numbers(100000)"]
        done = subprocess.run(["sh", "-c", '"$0" "$@" | head -1', BINARY, *many], capture_output=True, timeout=60 * PATIENCE)
        self.assertEqual((done.stdout, done.stderr), (b"0\n", b""), "who reads no further is no fault")
        log = self.write("long.jsonl", "".join(record(i) for i in range(10_000)))
        done = subprocess.run(["sh", "-c", '"$0" "$@" | head -c 1', BINARY, "sketch", log], capture_output=True, timeout=60 * PATIENCE)
        self.assertEqual((done.stdout, done.stderr), (b"{", b""))

    def test_a_machine_without_cgroups(self):
        code, out, err = self.run_where('mount -t tmpfs none /sys/fs/cgroup; exec "$0" "$@"', "lake", "init", "--lake", self.path("lake"))
        self.assertEqual((code, out, err), (0, "", ""))

    def test_bad_side_files(self):
        log = self.write("log.jsonl", record(1))
        for text, reason in (("- id: p\n  org: x\n", 'unknown key "org"'), ("- org_id: x\n", "needs an id"), ("{", "not valid YAML"),
                             ("- id: p\n  org_id: o\n  exchanges_max: -3\n", "whole number"), ("- id: p\n  org_id: o\n  valid_from: monday\n", "RFC 3339")):
            permits = self.write("permits.yaml", text)
            self.assertIn("permits.yaml:", self.refused(reason, "--permits", permits, log))
        self.refused("A to F", "--known", self.write("known.yaml", "- actor: x\n  reliability: Z\n"), log)
        self.refused("broken.mmdb: ", "--mmdb", self.write("broken.mmdb", os.urandom(4000)), log)

    def test_usage(self):
        log = self.write("log.jsonl", record(1))
        self.refused("--since: not RFC 3339 with a zone: yesterday", "--since", "yesterday", log)
        self.refused("--since: must be before --until", "--since", "2026-05-01T00:00:00Z", "--until", "2026-05-01T00:00:00Z", log)
        self.refused("--threads: expected 1 to 1024", "--threads", "0", log)
        for args, said in ((["scan", "--acounts", "x"], "--acounts: no such option; did you mean --accounts? (stillwatch scan --help)"),
                           (["scan", "--nonsense"], "--nonsense: no such option (stillwatch scan --help)"),
                           (["scna"], "scna: no such command; did you mean scan? (stillwatch --help)"),
                           ([], "a command is missing: scan, explain, "),
                           (["lake"], "a command is missing: init, status, drop"),
                           (["lake", "burn"], "burn: no such command"),
                           (["evaluate"], "evaluate: give --truth and --found, or --dispositions"),
                           (["scan", "--threads", "many", log], "--threads = many")):
            err = self.run_it(*args, code=2)[1]
            self.assertIn(said, err)
            self.assertRegex(err, r"\Astillwatch: [^\n]*\n\Z", "one line")

    def test_a_scan_of_nothing(self):
        _, err = self.run_it("scan", code=2, cwd=self.dir)
        self.assertIn("no LOG is named, and no lake is in stillwatch-out/lake", err)
        self.assertEqual(os.listdir(self.dir), [], "nothing is left")
        self.run_it("lake", "init", "--lake", self.path("lake"))
        self.run_it("scan", "--lake", self.path("lake"), "--out", self.path("out"))

    def test_a_log_in_place_of_accounts(self):
        log = self.write("log.jsonl", record(1))
        self.refused("log.jsonl:1: exchange_id: this is an exchange and no account", "--accounts", log, log)
        self.refused("nobody.jsonl: does not exist", "--accounts", self.path("nobody.jsonl"), log)
        mixed = self.write("mixed.jsonl", '{"account_id": "a"}\n' + record(2))
        self.run_it("scan", "--out", self.path("out"), "--accounts", mixed, log)
        self.assertIn("this is an exchange", self.lines("out/rejected.jsonl")[0])

if __name__ == "__main__":
    unittest.main()
