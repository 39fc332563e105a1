"""The lake on three ClickHouse servers, and on a socket: the same results as in a folder, whatever happens to a server."""
import json, os, random, signal, socket, ssl, subprocess, tempfile, threading, time, unittest, urllib.parse, urllib.request
from clickhouse import Servers
from common import BINARY, FOLDERS, PATIENCE, ROOT, SAMPLE, Case, record, sample_log

RESULTS = ("campaigns.json", "accounts.csv", "accounts.index", "exchanges.csv")
SIDES = ("--accounts", f"{SAMPLE}/accounts.jsonl", "--permits", f"{SAMPLE}/permits.yaml")

class Front:
    """A socket in front of a server: each connection is served by a thread of its own."""
    def __init__(self, listening):
        self.listening = listening
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                one, _ = self.listening.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self.serve, args=(one,), daemon=True).start()

class Tls(Front):
    """Speaks TLS in front of a server (Debian's ClickHouse has none), as a load balancer does."""
    def __init__(self, certificate, key, port):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        listening = socket.create_server(("127.0.0.1", 0))
        self.to, self.port, self.served = port, listening.getsockname()[1], 0
        super().__init__(listening)

    def serve(self, one):
        try:
            with self.context.wrap_socket(one, server_side=True) as client, socket.create_connection(("127.0.0.1", self.to)) as server:
                self.served += 1
                # A call has a connection of its own: the request first, then the answer to its end.
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(65536)
                head, body = head.split(b"\r\n\r\n", 1)
                left = next(int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")) - len(body)
                server.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + b"\r\n\r\n" + body)
                while left > 0 and (part := client.recv(65536)):
                    server.sendall(part)
                    left -= len(part)
                while part := server.recv(65536):
                    client.sendall(part)
        except (OSError, StopIteration):
            pass  # a client that does not trust us, or has gone

class Cluster(Case):
    @classmethod
    def setUpClass(cls):
        cls.servers = Servers(tempfile.mkdtemp(dir=FOLDERS.name), 3)
        cls.databases = 0

    @classmethod
    def tearDownClass(cls):
        cls.servers.stop()

    def url(self, **how):
        Cluster.databases += 1
        return self.servers.url(f"lake{Cluster.databases}", **how)

    def results(self, out, names=RESULTS):
        return [open(f"{self.path(out)}/{name}", "rb").read() for name in names]

    def embedded(self, *args):
        self.run_it("scan", "--quiet", "--out", self.path("embedded"), *args)
        return self.results("embedded")

    def ask(self, lake, sql):
        return self.run_it("query", "--lake", lake, "--output-format", "TSV", sql)[0]

    def background(self, *args, **how):
        child = subprocess.Popen([BINARY, *args], stderr=subprocess.PIPE, **how)
        self.addCleanup(lambda: (child.kill(), child.wait()))
        return child

    def ended(self, child, code=0):
        _, err = child.communicate(timeout=300 * PATIENCE)
        self.assertEqual(child.returncode, code, err.decode(errors="replace"))
        return err.decode(errors="replace")

    def test_a_scan_gives_the_same_bytes_and_its_queries_the_same_figures(self):
        lake, log = self.url(), sample_log(self.dir)
        folder = self.embedded(*SIDES, "--specimens", "2", log)
        self.run_it("scan", "--quiet", *SIDES, "--specimens", "2", "--lake", lake, "--out", self.path("out"), log)
        self.assertEqual(folder, self.results("out"))
        self.assertGreater(int(self.ask(lake, "SELECT count() FROM specimens WHERE text != ''")), 0)
        status = {line.split()[0]: int(line.split()[1]) for line in self.run_it("lake", "status", "--lake", lake)[0].splitlines()[1:]}
        self.assertEqual(status["exchanges"], sum(1 for _ in open(log)))
        campaign = next(c for c in json.load(open(self.path("out/campaigns.json")))["campaigns"] if c["verdict"] == "distillation")
        for sql in [*campaign["queries"].values(), *(e["query"] for e in campaign["evidence"])]:
            self.assertEqual(self.ask(lake, sql), self.ask(self.path("embedded/lake"), sql), sql)
        # Again, without a log: what the lake holds is judged, and every record counts once.
        self.run_it("scan", "--quiet", *SIDES, "--specimens", "2", "--lake", lake, "--out", self.path("again"), log)
        self.assertEqual(folder, self.results("again"))
        self.run_it("lake", "drop", "--lake", lake)
        _, err = self.run_it("query", "--lake", lake, "SELECT 1", code=2)
        self.assertIn("holds no lake", err)

    def test_several_scans_write_at_once(self):
        lines = open(sample_log(self.dir), encoding="utf-8").read().splitlines(True)
        # Some records twice, some with other content under the same id.
        twice = [line.replace('"output_tokens": ', '"output_tokens": 1') for line in lines[:40]]
        self.assertNotEqual(twice, lines[:40])
        parts = [lines[i::4] + lines[:200] + (twice if i == 3 else []) for i in range(4)]
        paths = [self.write(f"part{i}.jsonl", "".join(part)) for i, part in enumerate(parts)]
        folder = self.embedded(*SIDES, *paths)
        lake = self.url()
        self.run_it("lake", "init", "--lake", lake)
        children = [self.background("scan", "--quiet", "--accounts", f"{SAMPLE}/accounts.jsonl", "--lake", lake, "--out",
                                    self.path(f"out{i}"), path) for i, path in enumerate(paths)]
        for child in children:
            self.ended(child)
        self.assertEqual(self.ask(lake, "SELECT uniqExact(batch), countIf(state = 'done') FROM ingests"), "4\t4\n")
        self.run_it("scan", "--quiet", "--permits", f"{SAMPLE}/permits.yaml", "--lake", lake, "--out", self.path("all"))
        self.assertEqual(folder, self.results("all"))
        self.assertEqual(len(self.lines("all/rejected.jsonl")), 40, "each record that lost against another of its id is named")

    def scan_through(self, trouble):
        """A scan whose log ends while `trouble` is under way: all of it is stored then."""
        lake, data = self.url(), open(sample_log(self.dir), "rb").read()
        folder = self.embedded(*SIDES, self.path("exchanges.jsonl"))
        child = self.background("scan", "--quiet", *SIDES, "--lake", lake, "--out", self.path("out"), "-", stdin=subprocess.PIPE)
        child.stdin.write(data[:-1])
        child.stdin.flush()
        trouble[0]()
        child.stdin.write(data[-1:])
        child.stdin.close()
        child.stdin = None
        time.sleep(2)
        self.assertIsNone(child.poll(), "it waits")
        trouble[1]()
        err = self.ended(child)
        self.assertEqual(folder, self.results("out"))
        self.assertEqual(int(self.ask(lake, "SELECT count() FROM exchanges")), data.count(b"\n"), "nothing lost, nothing twice")
        return err

    def test_a_scan_waits_for_a_killed_server(self):
        def back():
            self.servers.start(1)
            self.assertTrue(self.servers.ready(1))
        err = self.scan_through((lambda: self.servers.kill(1), back))
        self.assertIn("does not answer", err)

    def test_a_scan_waits_for_a_frozen_server(self):
        self.scan_through((lambda: self.servers.signal(2, signal.SIGSTOP), lambda: self.servers.signal(2, signal.SIGCONT)))

    def test_scans_outlast_servers_that_keep_dying(self):
        world = self.path("world")
        self.run_it("simulate", "mixed", "--scale", ".003", "--seed", "5", "--out", world, timeout=300)
        logs = [f"{world}/{name}" for name in sorted(os.listdir(world)) if name.startswith("exchanges")]
        sides = ["--accounts", f"{world}/accounts.jsonl"]
        folder = self.embedded(*sides, *logs)
        lake = self.url()
        self.run_it("lake", "init", "--lake", lake)
        said = []
        def scan():
            # An answer that breaks off in the middle, and a statement of unknown fate, end a scan with
            # a message; what it had stored counts once, so it is repeated as the message says.
            for _ in range(20):
                child = subprocess.run([BINARY, "scan", "--quiet", *sides, "--lake", lake, "--out", self.path("out"), *logs],
                                       stderr=subprocess.PIPE, timeout=300 * PATIENCE)
                said.append((child.returncode, child.stderr.decode(errors="replace")))
                if child.returncode == 0:
                    return
        scans = threading.Thread(target=scan)
        scans.start()
        chance, kills = random.Random(3), 0
        while scans.is_alive():  # here, as the servers die with the thread that started them
            if kills < 25:
                time.sleep(chance.uniform(.1, .6))
                i = chance.randrange(3)
                self.servers.kill(i)
                kills += 1
                self.servers.start(i)
                self.assertTrue(self.servers.ready(i))
            scans.join(.1)
        self.assertEqual(said[-1][0], 0, said)
        for code, err in said[:-1]:
            self.assertEqual(code, 2, err)
            self.assertIn("repeat", err)
        self.assertGreater(kills, 0)
        self.run_it("scan", "--quiet", "--lake", lake, "--out", self.path("out"))
        self.assertEqual(folder, self.results("out"))

    def test_without_waiting_the_server_is_named(self):
        lake = self.url(wait=0)
        self.run_it("lake", "init", "--lake", lake)
        self.servers.kill(0)
        try:
            _, err = self.run_it("scan", "--lake", lake, "--out", self.path("out"), self.write("one.jsonl", record(1)), code=2)
            self.assertIn(f"shard 1 (127.0.0.1:{self.servers.http[0]}) does not answer", err)
            self.assertIn("start the server again", err)
            self.assertFalse(os.path.exists(self.path("out/campaigns.json")))
        finally:
            self.servers.start(0)
            self.assertTrue(self.servers.ready(0))
        self.run_it("scan", "--quiet", "--lake", lake, "--out", self.path("out"), self.path("one.jsonl"))

    def test_another_format_is_taken_apart_here(self):
        log = os.path.join(ROOT, "tests", "data", "formats")
        name = next(n for n in sorted(os.listdir(log)) if n.startswith("litellm") and n.endswith(".jsonl"))
        folder = self.embedded("--format", "litellm", os.path.join(log, name))
        lake = self.url()
        self.run_it("scan", "--quiet", "--format", "litellm", "--lake", lake, "--out", self.path("out"), os.path.join(log, name))
        self.assertEqual(folder, self.results("out"))
        self.assertGreater(int(self.ask(lake, "SELECT count() FROM exchanges")), 0)
        self.assertEqual([n for n in os.listdir(self.path("out")) if n.startswith(".")], [])
        _, err = self.run_it("scan", "--attribution", "parquet", "--lake", lake, "--out", self.path("out"), log, code=2)
        self.assertIn("--attribution", err)

    def test_the_password_stays_out_of_sight(self):
        hosts = f"127.0.0.1:{self.servers.http[0]}"
        lake = f"clickhouse://guarded@{hosts}/guarded?wait=1"
        _, err = self.run_it("lake", "init", "--lake", lake, code=2)
        self.assertIn("refuses user guarded", err)
        self.run_it("lake", "init", "--lake", lake, env={**os.environ, "STILLWATCH_LAKE_PASSWORD": "se:c@ret"})
        with_file = {**os.environ, "STILLWATCH_LAKE_PASSWORD_FILE": self.write("password", "se:c@ret\n")}
        log = self.write("one.jsonl", record(1))
        out, err = self.run_it("scan", "--lake", lake, "--out", self.path("out"), log, env=with_file)
        _, wrong = self.run_it("lake", "status", "--lake", lake.replace("guarded@", "guarded:wr0ng@"), code=2)
        for text in (out, err, wrong, *(open(self.path(f"out/{n}"), errors="replace").read() for n in ("run.json", "campaigns.json"))):
            self.assertNotIn("se:c@ret", text)
            self.assertNotIn("wr0ng", text)

    def test_serve_keeps_its_lake_there_and_finds_what_a_scan_finds(self):
        log = sample_log(self.dir)
        folder = self.embedded("--accounts", f"{SAMPLE}/accounts.jsonl", log)
        config = self.write("serve.yaml", f"data: {self.path('data')}\nlake: {self.url()}\nlisten: {{port: 0}}\n"
                            "otlp: {http: {enabled: false}, grpc: {enabled: false}}\next_authz: {enabled: false}\n"
                            "passes: {interval_s: 1, window_days: 3650}\n")
        said = open(self.path("log"), "wb+")
        self.addCleanup(said.close)
        child = subprocess.Popen([BINARY, "serve", "--config", config], stdout=said, stderr=said)
        self.addCleanup(lambda: (child.kill(), child.wait()))
        def until(what):
            end = time.monotonic() + 120 * PATIENCE
            while time.monotonic() < end:
                if (found := what()) is not None:
                    return found
                time.sleep(.05)
            self.fail(open(self.path("log"), errors="replace").read())
        def port():
            events = [json.loads(line) for line in open(self.path("log")) if line.startswith("{") and line.endswith("}\n")]
            return next((e["port"] for e in events if e["event"] == "serving"), None)
        address = until(port)
        for path, file in (("accounts", f"{SAMPLE}/accounts.jsonl"), ("exchanges", log)):
            request = urllib.request.Request(f"http://127.0.0.1:{address}/v1/{path}", open(file, "rb").read(), {"Content-Type": "application/x-ndjson"})
            self.assertEqual(json.load(urllib.request.urlopen(request, timeout=60))["rejected"], 0)
        self.servers.kill(2)  # what is acknowledged is loaded once it is back
        self.servers.start(2)
        self.assertTrue(self.servers.ready(2))
        def whole():
            for run in sorted(os.listdir(self.path("data/passes"))) if os.path.isdir(self.path("data/passes")) else ():
                try:
                    done = [open(self.path(f"data/passes/{run}/{name}"), "rb").read() for name in ("campaigns.json", "accounts.csv", "accounts.index")]
                    if done == folder[:3]:
                        return run
                except OSError:
                    pass
        until(whole)
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(60 * PATIENCE), 0)

    def test_over_https_to_servers_that_are_vouched_for(self):
        for name in ("lake", "stranger"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", f"/CN={name}",
                            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.pem")],
                           check=True, capture_output=True)
        fronts = [Tls(self.path("lake.pem"), self.path("lake.key"), port) for port in self.servers.http]
        for front in fronts:
            self.addCleanup(front.listening.close)
        lake = self.url(hosts=",".join(f"127.0.0.1:{front.port}" for front in fronts)) + "&secure=1"
        trusting = {**os.environ, "STILLWATCH_LAKE_CA_FILE": self.path("lake.pem")}
        log = sample_log(self.dir)
        folder = self.embedded(*SIDES, log)
        self.run_it("lake", "init", "--lake", lake, env=trusting)
        self.run_it("scan", "--quiet", *SIDES, "--lake", lake, "--out", self.path("out"), log, env=trusting)
        self.assertEqual(folder, self.results("out"))
        self.assertTrue(all(front.served > 0 for front in fronts))
        # Nobody else is told a password, and nobody is asked without TLS.
        served = [front.served for front in fronts]
        hasty = lake.replace("clickhouse://", "clickhouse://default:se-cret@").replace("wait=60", "wait=0")
        for env in (os.environ, {**os.environ, "STILLWATCH_LAKE_CA_FILE": self.path("stranger.pem")}):
            _, err = self.run_it("lake", "status", "--lake", hasty, env=env, code=2)
            self.assertRegex(err, "(?i)certificate")
            self.assertNotIn("se-cret", err)
        self.assertEqual(served, [front.served for front in fronts])
        _, err = self.run_it("lake", "status", "--lake", hasty, env={**os.environ, "STILLWATCH_LAKE_CA_FILE": self.path("none.pem")}, code=2)
        self.assertIn("none.pem cannot be read", err)
        self.run_it("lake", "status", "--lake", self.servers.url("x", wait=0) + "&secure=1", code=2)

    def test_a_configuration_file_holds_no_password(self):
        config = self.write("serve.yaml", "lake: clickhouse://u:hush@127.0.0.1:1/db\n")
        out, err = self.run_it("config", "check", config, code=2)
        self.assertIn("STILLWATCH_LAKE_PASSWORD", out + err)
        self.assertNotIn("hush", out + err)
        self.run_it("config", "check", self.write("serve.yaml", "lake: clickhouse://u@127.0.0.1:1/db\n"))

    def test_a_report_only_reads(self):
        lake = self.url()
        self.run_it("lake", "init", "--lake", lake)
        for sql in ("DROP TABLE exchanges", "INSERT INTO exchanges (exchange_id) VALUES ('x')", "SELECT * FROM file('/etc/passwd', 'TSV', 'a String')",
                    "SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'a String')", "SELECT 1; SELECT 2", "SET max_threads = 1"):
            _, err = self.run_it("query", "--lake", lake, sql, code=2)
            self.assertTrue(err.startswith("stillwatch: "), err)
        self.assertEqual(self.ask(lake, "SELECT count() FROM exchanges"), "0\n")

class Mortal(Front):
    """A host of a lake, and a socket in front of it: the host is killed, and started again, when it
    has answered the first request that holds one of `killers`; the client gets all but the end of
    that answer, or nothing of what answers a statement."""
    def __init__(self, case, lake, killers):
        self.case, self.lake, self.killers, self.killed = case, lake, list(killers), []
        self.socket, self.behind = case.path("front"), case.path("behind")
        self.lock, self.host = threading.Lock(), None
        case.addCleanup(self.stop)
        self.start()
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(self.socket)
        listening.listen(64)
        super().__init__(listening)

    def start(self):
        self.host = subprocess.Popen([BINARY, "lake", "host", "--lake", self.lake, "--socket", self.behind, "--die-with-parent", str(os.getpid())])

    def stop(self):
        self.listening.close()
        self.host.kill()
        self.host.wait()

    def ask(self, request):
        end = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < end:
            with socket.socket(socket.AF_UNIX) as host:
                try:
                    host.connect(self.behind)
                except OSError:
                    time.sleep(.02)
                    continue
                host.sendall(request)
                answer = b""
                while part := host.recv(1 << 20):
                    answer += part
                return answer
        return b""

    def serve(self, one):
        with one:
            request = b""
            while b"\r\n\r\n" not in request:
                if not (part := one.recv(1 << 16)):
                    return
                request += part
            head, body = request.split(b"\r\n\r\n", 1)
            size = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")), 0)
            if b"100-continue" in head.lower():
                one.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            while len(body) < size and (part := one.recv(1 << 20)):
                body += part
            with self.lock:
                text = urllib.parse.unquote_plus(head.decode()).encode() + body
                killer = next((k for k in self.killers if k.encode() in text), None)
                answer = self.ask(head + b"\r\n\r\n" + body)
                if killer is not None:
                    self.killers.remove(killer)
                    self.killed.append(killer)
                    self.host.kill()
                    self.host.wait()
                    self.start()
                    answer = answer[:-5] if killer.startswith("SELECT") else b""
            try:
                one.sendall(answer)
            except OSError:
                pass  # a client that has gone

class Socket(Case):
    def test_a_scan_outlasts_a_host_that_dies_in_the_middle_of_its_answers(self):
        lines = open(sample_log(self.dir), encoding="utf-8").read().splitlines(True)
        twice = [line.replace('"output_tokens": ', '"output_tokens": 1') for line in lines[:40]]
        log = self.write("twice.jsonl", "".join(lines + twice))
        self.run_it("scan", "--quiet", *SIDES, "--out", self.path("embedded"), log)
        killers = ["SELECT exchange_id, content, ts,", "SELECT account_id, content, created_at", "SELECT exchange_id, account_id, content FROM",
                   "TRUNCATE TABLE attributed", "SELECT exchange_id FROM exchanges WHERE account_id IN", "INSERT INTO `attributed`"]
        host = Mortal(self, self.path("embedded/lake"), killers)
        _, err = self.run_it("scan", "--permits", f"{SAMPLE}/permits.yaml", "--lake", f"unix:{host.socket}", "--out", self.path("out"))
        self.assertEqual(sorted(host.killed), sorted(killers))
        self.assertEqual(err.count("begun again"), len(killers), err)
        for name in RESULTS:
            self.assertEqual(open(self.path(f"embedded/{name}"), "rb").read(), open(self.path(f"out/{name}"), "rb").read(), name)
        self.assertEqual(len(set(self.lines("out/rejected.jsonl"))), 40)
        self.assertEqual(len(self.lines("out/rejected.jsonl")), 40, "each loser is named once")
        named = self.run_it("query", "--lake", f"unix:{host.socket}", "--output-format", "CSV",
                            "SELECT DISTINCT exchange_id, account_id, campaign_id FROM attributed ORDER BY campaign_id, account_id, exchange_id")[0]
        self.assertEqual(sorted(named.replace('"', "").splitlines()), sorted(self.lines("out/exchanges.csv")[1:]))

    def test_a_scan_over_a_host_gives_the_same_bytes(self):
        log, socket = sample_log(self.dir), self.path("s")
        self.run_it("scan", "--quiet", *SIDES, "--out", self.path("embedded"), log)
        host = subprocess.Popen([BINARY, "lake", "host", "--lake", self.path("lake"), "--socket", socket, "--die-with-parent", str(os.getpid())])
        self.addCleanup(lambda: (host.kill(), host.wait()))
        self.run_it("scan", "--quiet", *SIDES, "--lake", f"unix:{socket}", "--out", self.path("out"), log)
        for name in RESULTS:
            self.assertEqual(open(self.path(f"embedded/{name}"), "rb").read(), open(self.path(f"out/{name}"), "rb").read(), name)
        _, err = self.run_it("lake", "status", "--lake", self.path("lake"), code=2)
        self.assertIn(f"process {host.pid}", err)
        _, err = self.run_it("lake", "host", "--lake", self.path("lake"), "--socket", self.path("other"), code=2)
        self.assertIn("in use by another process", err)
        _, err = self.run_it("lake", "drop", "--lake", f"unix:{socket}", code=2)
        self.assertIn("drop the folder", err)
        host.terminate()
        self.assertEqual(host.wait(60), 0)
        self.assertFalse(os.path.exists(socket))
        self.run_it("lake", "status", "--lake", self.path("lake"))

    def test_a_host_whose_starter_is_gone_ends(self):
        start = '"$0" lake host --lake "$1" --socket "$2" --die-with-parent $$ >/dev/null 2>&1 & echo $!'
        pid = int(subprocess.check_output(["sh", "-c", start, BINARY, self.path("lake"), self.path("s")]))
        end = time.monotonic() + 60 * PATIENCE
        while os.path.exists(f"/proc/{pid}") and open(f"/proc/{pid}/stat").read().split()[2] != "Z" and time.monotonic() < end:
            time.sleep(.05)
        self.assertLess(time.monotonic(), end)
        self.assertFalse(os.path.exists(self.path("s")))

if __name__ == "__main__":
    unittest.main()
