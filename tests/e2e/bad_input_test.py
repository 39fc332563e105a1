"""Each kind of bad input ends in one clear line and leaves nothing half-written."""
import gzip, json, os, subprocess, threading, time, unittest
from common import BINARY, Case, record, wait_until_reading

class BadInput(Case):
    def scan(self, *args, code=0):
        return self.run_it("scan", "--out", self.path("out"), *args, code=code)

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

    def test_undescribed_account_and_bad_account_records(self):
        accounts = self.write("accounts.jsonl", '{"account_id": "a1"}\nnot json\n{"plan": "pro"}\n{"account_id": "zz", "created_at": "soon"}\n')
        self.scan("--accounts", accounts, self.write("log.jsonl", record(1) + record(2)))
        self.assertEqual(len(self.rejected()), 3)

    def test_empty_file(self):
        _, err = self.scan(self.write("log.jsonl", ""))
        self.assertIn("is empty", err)

    def test_folder_missing_and_unreadable(self):
        for path, reason in ((self.dir, "is a folder"), (self.path("nowhere"), "does not exist")):
            _, err = self.scan(path, code=2)
            self.assertIn(reason, err)
            self.assertEqual(len(err.strip().splitlines()), 1)
        self.assertFalse(os.path.exists(self.path("out/campaigns.json")))

    def test_not_a_log_at_all(self):
        _, err = self.scan(self.write("log.jsonl", "hello\nworld\n"), code=2)
        self.assertIn("none of the 2 records", err)

    def test_compressed_file_cut_short(self):
        data = "".join(record(n) for n in range(5000)).encode()
        whole = gzip.compress(data)
        log = self.write("log.gz", whole[: len(whole) // 2])
        _, err = self.scan(log, code=2)
        self.assertIn("in the middle of its gzip", err)
        subprocess.run(["zstd", "-qf", self.write("log.jsonl", data), "-o", self.path("log.zst")], check=True)
        whole = open(self.path("log.zst"), "rb").read()
        _, err = self.scan(self.write("cut.zst", whole[: len(whole) // 2]), code=2)
        self.assertIn("in the middle of its zstd", err)
        _, err = self.scan(self.write("bad.zst", whole[:2000] + b"garbage!" + whole[2008:]), code=2)
        self.assertIn("broken zstd", err)
        self.assertFalse(os.path.exists(self.path("out/campaigns.json")))
        # What the attempts had read is withdrawn.
        count = self.run_it("query", "--lake", self.path("out/lake"), "--output-format", "TSV", "SELECT count() FROM exchanges")[0]
        self.assertEqual(int(count), 0)

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
        self.assertEqual(child.wait(60), 0)
        self.assertEqual(json.load(open(self.path("out/run.json")))["exchanges"], 300_000)

    def test_strict_writes_nothing(self):
        log = self.write("log.jsonl", record(1) + "nonsense\n" + record(3))
        _, err = self.scan("--strict", log, code=2)
        self.assertIn("log.jsonl:2:", err)
        self.assertFalse(os.path.exists(self.path("out/campaigns.json")))
        count = self.run_it("query", "--lake", self.path("out/lake"), "--output-format", "TSV", "SELECT count() FROM exchanges")[0]
        self.assertEqual(int(count), 0)

    def test_unwritable_out(self):
        self.write("file", "x")
        _, err = self.run_it("scan", "--out", self.path("file/out"), self.write("log.jsonl", record(1)), code=2)
        self.assertIn("cannot be written", err)

    def test_full_disk(self):
        disk = self.path("disk")
        os.mkdir(disk)
        log = self.write("log.jsonl", "".join(record(n, exchange_id=os.urandom(20).hex()) for n in range(120_000)))
        code, out, err = self.run_where(f'mount -t tmpfs -o size=3m none {disk}; "$0" "$@" || code=$?; ls -A {disk}; exit $code',
                                        "scan", "--out", disk, log)
        self.assertEqual(code, 2, err)
        self.assertRegex(err, r"(?i)^stillwatch: .*(no space left|disk is full).*free.*\n$")
        self.assertEqual(out.split(), ["lake"], "nothing half-written")

    def test_a_machine_without_cgroups(self):
        code, out, err = self.run_where('mount -t tmpfs none /sys/fs/cgroup; exec "$0" "$@"', "lake", "init", "--lake", self.path("lake"))
        self.assertEqual((code, out, err), (0, "", ""))

    def test_bad_side_files(self):
        log = self.write("log.jsonl", record(1))
        for text, reason in (("- id: p\n  org: x\n", 'unknown key "org"'), ("- org_id: x\n", "needs an id"), ("{", "not valid YAML"),
                             ("- id: p\n  org_id: o\n  exchanges_max: -3\n", "whole number"), ("- id: p\n  org_id: o\n  valid_from: monday\n", "RFC 3339")):
            permits = self.write("permits.yaml", text)
            _, err = self.scan("--permits", permits, log, code=2)
            self.assertIn(reason, err)
            self.assertIn("permits.yaml:", err)
        _, err = self.scan("--known", self.write("known.yaml", "- actor: x\n  reliability: Z\n"), log, code=2)
        self.assertIn("A to F", err)

    def test_usage(self):
        for args in (["scan", "--since", "yesterday", self.write("log.jsonl", record(1))], ["scan", "--nonsense"], [], ["evaluate"]):
            self.run_it(*args, code=2)

if __name__ == "__main__":
    unittest.main()
