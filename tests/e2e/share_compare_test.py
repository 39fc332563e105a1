"""share compare: two sides, by files and over the network; what they learn is what they have in common."""
import json, os, re, signal, socket, subprocess, threading, time, unittest
from common import BINARY, PATIENCE, Case

def rows(*values):
    return "family,value\n" + "".join(f"payment,card_{v}\nmail,User{v}+x@Example.org\n" for v in values)

class Compare(Case):
    def setUp(self):
        super().setUp()
        self.keys = {}
        for who in ("ant", "bee"):
            os.mkdir(self.path(who))
            self.keys[who] = self.run_it("share", "compare", "key", "--data", self.path(who))[0].strip()
            self.assertRegex(self.keys[who], "^[0-9a-f]{64}$")
        self.write("ant.csv", rows(*range(0, 60)))
        self.write("bee.csv", rows(*range(40, 70)))
        self.peers("ant", "bee")
        self.peers("bee", "ant")

    def peers(self, who, other, extra="", own="", which="true"):
        return self.write(f"{who}.yaml", f"name: {who}\n{own}peers:\n  - name: {other}\n    key: {self.keys[other]}\n    count: true\n    which: {which}\n    reliability: B\n{extra}")

    def step(self, who, step, *args, code=0, which=False, items=True, alone=True):
        return self.run_it("share", "compare", step, *args, "--peers", self.path(f"{who}.yaml"), "--data", self.path(who),
                           *(["--set", self.path(f"{who}.csv")] if items else []), *(["--which"] if which else []),
                           *(["--alone", "a test"] if alone and step in ("offer", "request", "reply", "run") else []), code=code)

    def by_files(self, which, name):
        self.step("ant", "offer", "--peer", "bee", "--out", self.path(f"{name}.offer"), which=which)
        self.step("bee", "request", self.path(f"{name}.offer"), "--out", self.path(f"{name}.request"), which=which)
        self.step("ant", "reply", self.path(f"{name}.request"), "--out", self.path(f"{name}.reply"))
        self.step("bee", "finish", self.path(f"{name}.reply"), "--out", self.path(f"{name}.json"), "--tell")
        return json.load(open(self.path(f"{name}.json")))

    def test_by_files(self):
        count = self.by_files(False, "count")
        self.assertEqual((count["schema"], count["mode"], count["peer"], count["reliability"]), ("stillwatch.comparison/1", "count", "ant", "B"))
        self.assertEqual(count["families"], [{"family": f, "mine": 30, "theirs": 60, "common": 20} for f in ("mail", "payment")])
        self.assertEqual(count["matched"], [])
        which = self.by_files(True, "which")
        self.assertEqual({m["value"] for m in which["matched"]}, {f"card_{v}" for v in range(40, 60)} | {f"user{v}@example.org" for v in range(40, 60)})
        # What travels holds no value of either side, not even in part.
        for name in ("count", "which"):
            for kind in ("offer", "request", "reply", "json.receipt"):
                with open(self.path(f"{name}.{kind}"), "rb") as f:
                    self.assertIsNone(re.search(rb"card_|user\d|example", f.read().lower()), (name, kind))
        out, _ = self.step("ant", "receipt", self.path("which.json.receipt"), items=False)
        self.assertIn("(as bee says)", out)
        # Each file once, each in its turn, each whole.
        for who, step, file in (("bee", "request", "which.offer"), ("ant", "reply", "which.request"), ("bee", "finish", "which.reply"), ("ant", "reply", "which.offer")):
            _, err = self.step(who, step, self.path(file), "--out", self.path("again"), code=2, which=step == "request")
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertFalse(os.path.exists(self.path("again")))
        whole = open(self.path("count.reply"), "rb").read()
        self.write("cut", whole[:len(whole) // 2])
        self.assertIn("changed or cut", self.step("bee", "finish", self.path("cut"), "--out", self.path("again"), code=2)[1])
        # The ration is counted, and the log tells it all without an item.
        out, _ = self.step("ant", "rations", items=False)
        self.assertRegex(out, r"bee +payment +60 +100,000")
        for who in ("ant", "bee"):
            self.run_it("audit", "verify", os.path.join(self.path(who), "audit"))
            log = "".join(open(os.path.join(self.path(who), "audit", f)).read() for f in os.listdir(os.path.join(self.path(who), "audit")) if f.endswith(".jsonl"))
            self.assertIn("compare.re", log)
            self.assertIsNone(re.search("card_|user[0-9]", log))

    def test_two_persons_answer_for_it(self):
        ada, bob = (self.run_it("token", "create", who, "--role", "analyst", "--role", "approver", "--data", self.path("ant"))[0].strip() for who in ("ada", "bob"))
        def as_(token, *args, code=0):
            return self.run_it(*args, "--data", self.path("ant"), code=code, env={**os.environ, "STILLWATCH_TOKEN": token})[code and 1]
        offer = ("offer", "--peer", "bee", "--out", self.path("o"))
        _, err = self.step("ant", *offer, alone=False, code=2)
        self.assertIn("comparison with bee: no two persons answer for it", err)
        propose = ("share", "compare", "propose", "--peers", self.path("ant.yaml"), "--set", self.path("ant.csv"), "--note", "they asked")
        self.assertIn("is not in", as_(ada, *propose, "--peer", "cat", code=2))
        as_(ada, *propose, "--peer", "bee")
        self.step("ant", *offer, alone=False, code=2)
        self.assertIn("who cannot approve it too", as_(ada, "share", "approve", "1", code=2))
        as_(bob, "share", "approve", "1")
        self.step("ant", *offer, alone=False)
        self.assertIn("60 payment", as_(bob, "share", "exports"))
        # Not for another peer's message, and not for other items.
        self.step("bee", "request", self.path("o"), "--out", self.path("r"))
        _, err = self.step("ant", "reply", self.path("r"), "--out", self.path("p"), alone=False, code=2)
        self.assertIn("--peer NAME", err)
        self.step("ant", "reply", self.path("r"), "--peer", "bee", "--out", self.path("p"), alone=False)
        self.write("ant.csv", rows(*range(0, 61)))
        self.step("ant", *offer, alone=False, code=2)
        log = open(os.path.join(self.path("ant"), "audit", "audit-000001.jsonl")).read()
        self.assertIn('"share.leave"', log)
        self.assertNotIn("card_", log)

    def test_what_is_not_agreed(self):
        self.peers("ant", "bee", which="false")
        _, err = self.step("ant", "offer", "--peer", "bee", "--out", self.path("o"), code=2, which=True)
        self.assertIn("not agreed with bee", err)
        self.write("ant.csv", "family,value\ncard-range,4242424242424242\n")
        _, err = self.step("ant", "offer", "--peer", "bee", "--out", self.path("o"), code=2)
        self.assertIn("ant.csv:2: card-range: a card number does not belong here", err)
        self.assertNotIn("42424242", err)
        self.assertFalse(os.path.exists(self.path("o")))

    def test_over_the_network(self):
        for who in ("ant", "bee"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={who}",
                            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.path(f"{who}.key"), "-out", self.path(f"{who}.pem")], check=True, capture_output=True)
        self.peers("ant", "bee", "    certificate: bee.pem\n")
        config = self.write("serve.yaml", f"data: {self.path('ant')}\nlisten: {{port: 0}}\notlp: {{http: {{enabled: false}}, grpc: {{enabled: false}}}}\n"
                            f"ext_authz: {{enabled: false}}\npasses: {{enabled: false}}\ntls: {{certificate: {self.path('ant.pem')}, key: {self.path('ant.key')}}}\n"
                            f"compare: {{peers: {self.path('ant.yaml')}, set: {self.path('ant.csv')}, port: 0, threads: 2}}\nlog: {{file: {self.path('log')}}}\ndrain_s: 1\n")
        server = subprocess.Popen([BINARY, "serve", "--config", config], stderr=subprocess.PIPE)
        try:
            port, end = None, time.monotonic() + 60 * PATIENCE
            while port is None and time.monotonic() < end and server.poll() is None:
                if os.path.exists(self.path("log")):
                    for line in open(self.path("log")):
                        if line.endswith("\n") and '"serving"' in line:
                            port = json.loads(line)["compare_port"]
                time.sleep(.02)
            self.assertTrue(port, server.poll())
            self.peers("bee", "ant", f"    url: https://127.0.0.1:{port}\n    certificate: ant.pem\n", "certificate: bee.pem\nkey: bee.key\n")
            self.step("bee", "run", "--peer", "ant", "--out", self.path("r.json"), "--tell", which=True)
            self.assertEqual(len(json.load(open(self.path("r.json")))["matched"]), 40)
            self.vanishing(port)
            # Who has no peer's certificate gets no further than the handshake.
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-quiet", "-tls1_2"], input=b"GET / HTTP/1.1\r\n\r\n", capture_output=True, timeout=60 * PATIENCE)
            self.assertNotIn(b"HTTP/1.1", done.stdout)
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=60 * PATIENCE)
        _, err = self.step("bee", "run", "--peer", "ant", "--out", self.path("gone.json"), code=2)
        self.assertIn("ant (https://127.0.0.1:", err)
        self.assertFalse(os.path.exists(self.path("gone.json")))

    def vanishing(self, port):
        """A line between the two that goes dead after so many bytes, one way or the other: nothing is half done."""
        for back in (False, True):
            cut, whole = 300, False
            for _ in range(7):
                with Line(port, cut, back) as line:
                    self.peers("bee", "ant", f"    url: https://127.0.0.1:{line.port}\n    certificate: ant.pem\n", "certificate: bee.pem\nkey: bee.key\n")
                    done = subprocess.run([BINARY, "share", "compare", "run", "--peer", "ant", "--out", self.path("v.json"), "--alone", "a test", "--which", "--peers", self.path("bee.yaml"),
                                           "--data", self.path("bee"), "--set", self.path("bee.csv")], capture_output=True, text=True, timeout=120 * PATIENCE)
                self.assertEqual([f for f in os.listdir(self.path("bee/compare")) if f.endswith(".request")], [], (back, cut))
                if not line.was_cut:
                    whole = True
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertEqual(len(json.load(open(self.path("v.json")))["matched"]), 40)
                    os.unlink(self.path("v.json"))
                    break
                self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), (back, cut, done.stderr))
                self.assertFalse(os.path.exists(self.path("v.json")), (back, cut))
                cut *= 2
            self.assertTrue(whole, "no line was long enough")


class Line(threading.Thread):
    """One TCP connection after another to `port`; all are cut after `most` bytes in one direction (back: of the answers)."""
    def __init__(self, port, most, back):
        super().__init__(daemon=True)
        self.to, self.left, self.back, self.was_cut = port, most, back, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        while not self.was_cut:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.to))
            threading.Thread(target=self.carry, args=(far, near, self.back), daemon=True).start()
            self.carry(near, far, not self.back)
        self.listener.close()  # nobody is there any more

    def carry(self, source, sink, counted):
        while True:
            try:
                data = source.recv(512)
                if counted:
                    self.left -= len(data)
                if self.left < 0:
                    self.was_cut = True
                if not data or self.was_cut:
                    break
                sink.sendall(data)
            except OSError:
                break
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.join()
        self.listener.close()


if __name__ == "__main__":
    unittest.main(verbosity=1)
