"""`serve` takes records in: killed at any moment it loses nothing that it acknowledged and counts
nothing twice; a full disk is an answer. STILLWATCH_KILLS=200 is the long test (tools/kill_test)."""
import gzip, http.client, json, os, random, signal, subprocess, sys, threading, time, unittest

from common import BINARY, PATIENCE, Case

KILLS = int(os.environ.get("STILLWATCH_KILLS", "5"))


class Serve:
    """A serve of this test's own: every port is the kernel's choice."""

    def __init__(self, case, before=()):
        config = case.write("serve.yaml", f"data: {case.path('data')}\nlisten: {{port: 0}}\notlp: {{http: {{enabled: false}}, grpc: {{enabled: false}}}}\n"
                            "ext_authz: {enabled: false}\npasses: {enabled: false}\n")
        self.child = subprocess.Popen([*before, BINARY, "serve", "--config", config], stderr=subprocess.PIPE, text=True)
        case.addCleanup(self.end)
        self.port, self.told = None, []
        end = time.monotonic() + 60 * PATIENCE
        while self.port is None and time.monotonic() < end:
            line = self.child.stderr.readline()
            if not line:
                break
            self.told.append(line)
            if '"event":"serving"' in line:
                self.port = json.loads(line)["port"]
        if self.port is None:
            raise AssertionError(f"serve did not start: {''.join(self.told)}")
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.child.stderr:
            self.told = self.told[-50:] + [line]

    def end(self, how=signal.SIGKILL):
        if self.child.poll() is None:
            self.child.send_signal(how)
        return self.child.wait(60 * PATIENCE)

    def call(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * PATIENCE)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, r.read().decode(), dict(r.getheaders())
        finally:
            c.close()

    def metric(self, name):
        for line in self.call("GET", "/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return None

    def wait_loaded(self, seconds=60 * PATIENCE):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.metric("stillwatch_journal_entries") == 0:
                return
            time.sleep(.05)
        raise AssertionError(f"the lake does not catch up: {''.join(self.told)}")


def records(prefix, n):
    ids = [f"{prefix}-{i}" for i in range(n)]
    body = "".join(json.dumps({"exchange_id": i, "ts": "2026-05-01T10:00:00.000Z", "account_id": f"a{hash(i) % 7}", "model": "m",
                               "messages": [{"role": "user", "content": f"please solve problem {i} and show your work"}]}) + "\n" for i in ids)
    return ids, body


class IngestTest(Case):
    def ids_in_lake(self):
        out, _ = self.run_it("query", "--lake", self.path("data/lake"), "--output-format", "TSV",
                             "SELECT exchange_id, count(), uniqExact(content) FROM exchanges GROUP BY exchange_id")
        return {line.split("\t")[0]: line.split("\t")[2] for line in out.splitlines()}

    def test_nothing_acknowledged_is_lost_by_kills(self):
        rng = random.Random(int(os.environ.get("STILLWATCH_SEED", "20261121")))
        sent, acknowledged, wrong = set(), set(), []
        for round_ in range(KILLS):
            serve = Serve(self)

            def client(c):
                connection = http.client.HTTPConnection("127.0.0.1", serve.port, timeout=60 * PATIENCE)
                n = 0
                try:
                    while True:
                        ids, body = records(f"{round_}-{c}-{n}", 1 + n % 5)
                        sent.update(ids)
                        zipped = n % 3 == 0
                        connection.request("POST", "/v1/exchanges", gzip.compress(body.encode(), 1) if zipped else body,
                                           {"Content-Encoding": "gzip"} if zipped else {})
                        reply = connection.getresponse()
                        text = reply.read()
                        if reply.status == 200:
                            if json.loads(text)["accepted"] != len(ids):
                                wrong.append(text)
                            acknowledged.update(ids)
                        elif reply.status != 503:
                            wrong.append(text)
                        n += 1
                except (OSError, http.client.HTTPException, ValueError):
                    pass  # it is gone

            clients = [threading.Thread(target=client, args=(c,)) for c in range(3)]
            for t in clients:
                t.start()
            # At a random moment once they are at work.
            end, enough = time.monotonic() + 60 * PATIENCE, len(acknowledged) + 25
            while len(acknowledged) < enough and time.monotonic() < end:
                time.sleep(.005)
            time.sleep(rng.random() * .5)
            self.assertIsNone(serve.child.poll(), "".join(serve.told))
            serve.end()
            for t in clients:
                t.join()
        self.assertEqual(wrong, [])
        self.assertGreater(len(acknowledged), 20 * KILLS)
        serve = Serve(self)
        serve.wait_loaded()
        self.assertEqual(serve.metric("stillwatch_journal_lost_entries"), 0)
        self.assertEqual(serve.end(signal.SIGTERM), 0)
        lake = self.ids_in_lake()
        print(f"{KILLS} kills: {len(sent)} sent, {len(acknowledged)} acknowledged, {len(lake)} in the lake", file=sys.stderr)
        self.assertEqual(acknowledged - set(lake), set(), "acknowledged and lost")
        self.assertEqual(set(lake) - sent, set(), "in the lake and never sent")
        self.assertEqual(set(lake.values()), {"1"}, "one record, two contents")

    def test_the_lakes_process_may_die_at_any_time(self):
        serve = Serve(self)
        want = set()
        for i in range(3):
            ids, body = records(f"r{i}", 40)
            self.assertEqual(serve.call("POST", "/v1/exchanges", body)[0], 200)
            want.update(ids)
            end, host = time.monotonic() + 60 * PATIENCE, []
            while not host and time.monotonic() < end:
                host = [p for p in os.listdir("/proc") if p.isdigit() and self.is_lake(p, serve.child.pid)]
            self.assertTrue(host, "no process of a lake")
            for p in host:
                os.kill(int(p), signal.SIGKILL)
            self.assertEqual(serve.call("POST", "/v1/decide", '{"account_id":"a","model":"m"}')[0], 200)
        serve.wait_loaded()
        self.assertGreaterEqual(serve.metric("stillwatch_lake_starts"), 2)
        self.assertEqual(serve.end(signal.SIGTERM), 0)
        self.assertEqual(set(self.ids_in_lake()), want)

    @staticmethod
    def is_lake(pid, parent):
        try:
            with open(f"/proc/{pid}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[1] == str(parent)
        except OSError:
            return False

    def test_a_full_disk_is_an_answer_and_passes(self):
        os.mkdir(self.path("data"))
        inside = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
        if subprocess.run([*inside, "mount", "-t", "tmpfs", "none", self.dir], capture_output=True).returncode != 0:
            self.skipTest("mounting is not allowed here")
        serve = Serve(self, [*inside, "sh", "-ec", f"mount -t tmpfs -o size=64m none {self.path('data')}; exec \"$@\"", "sh"])
        ids, body = records("before", 10)
        self.assertEqual(serve.call("POST", "/v1/exchanges", body)[0], 200)
        serve.wait_loaded()
        filler = f"/proc/{serve.child.pid}/root{self.path('data')}/filler"
        with open(filler, "wb", buffering=0) as f:
            try:
                while f.write(b"\0" * 65536):
                    pass
            except OSError:
                pass  # full
        status, text, headers = serve.call("POST", "/v1/exchanges", records("during", 2000)[1])
        self.assertEqual(status, 503, text)
        self.assertIn("Retry-After", headers)
        self.assertIn("No space left", text)
        self.assertEqual(serve.call("POST", "/v1/decide", '{"account_id":"a","model":"m"}')[0], 200)
        self.assertEqual(serve.call("GET", "/healthz")[0], 200)
        os.remove(filler)
        more, body = records("after", 10)
        end = time.monotonic() + 60 * PATIENCE
        while serve.call("POST", "/v1/exchanges", body)[0] != 200:
            self.assertLess(time.monotonic(), end, "".join(serve.told))
            time.sleep(.1)
        serve.wait_loaded()
        self.assertEqual(serve.metric("stillwatch_ingest_accepted_total"), 20)
        self.assertEqual(serve.end(signal.SIGTERM), 0)


if __name__ == "__main__":
    unittest.main()
