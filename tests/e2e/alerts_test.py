"""A real `serve` tells its receivers of campaigns in what is posted to it, signed, once; and is killed on the way."""
import gzip, hashlib, hmac, http.client, http.server, json, signal, subprocess, threading, time, unittest

from common import BINARY, PATIENCE, Case

SECRET = "a secret between two programs"
CONFIG = """data: %s/data
listen: {port: 0}
otlp: {http: {enabled: false}, grpc: {enabled: false}}
ext_authz: {enabled: false}
passes: {interval_s: 1, window_days: 0, threads: 2}
alerts:
  - {name: desk, url: "http://127.0.0.1:%d/hook", secret_file: %s/secret}
  - {name: collector, kind: otlp, url: "http://127.0.0.1:%d/v1/logs"}
"""
BATCH = 4 << 20


class Receiver(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        self.got, self.lock, self.refuse = [], threading.Lock(), 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    outer.refuse -= 1
                    status = 503 if outer.refuse >= 0 else 200
                    if status == 200:
                        outer.got.append((self.path, dict(self.headers), body, time.time()))
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def at(self, path):
        with self.lock:
            return [g for g in self.got if g[0] == path]


class Alerts(Case):
    def post(self, path, lines):
        batch, size = [], 0
        for line in [*lines, None]:
            if batch and (line is None or size > BATCH):
                body = gzip.compress("".join(batch).encode(), 1)
                for _ in range(100 * PATIENCE):
                    c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * PATIENCE)
                    c.request("POST", path, body, {"Content-Encoding": "gzip"})
                    r = c.getresponse()
                    text = r.read().decode()
                    c.close()
                    if r.status != 503:
                        break
                    time.sleep(.2)
                self.assertEqual(r.status, 200, text)
                batch, size = [], 0
            if line is not None:
                batch.append(line)
                size += len(line)

    def start(self, receiver):
        self.write("secret", SECRET)
        port = receiver.server_address[1]
        log = open(self.path("log"), "wb")
        self.addCleanup(log.close)
        config = self.write("serve.yaml", CONFIG % (self.dir, port, self.dir, port))
        child = subprocess.Popen([BINARY, "serve", "--config", config], stdout=log, stderr=log)
        self.addCleanup(lambda: child.poll() is None and (child.kill(), child.wait()))
        self.until(child, lambda: '"event":"serving"' in self.said())
        self.port = next(json.loads(line)["port"] for line in self.said().splitlines() if '"event":"serving"' in line)
        return child

    def said(self):
        with open(self.path("log"), encoding="utf-8") as f:
            return f.read()

    def until(self, child, what):
        end = time.monotonic() + 120 * PATIENCE
        while time.monotonic() < end and child.poll() is None:
            if what():
                return
            time.sleep(.1)
        self.fail(self.said()[-3000:])

    def test_campaigns_are_told_signed_and_once_over_a_kill(self):
        world = self.path("world")
        self.run_it("simulate", "mixed", "--scale", ".0005", "--seed", "5", "--quiet", "--out", world)
        with open(world + "/exchanges.jsonl", encoding="utf-8") as f:
            lines = f.readlines()
        with open(world + "/accounts.jsonl", encoding="utf-8") as f:
            accounts = f.readlines()
        receiver = Receiver()
        self.addCleanup(receiver.server_close)
        self.addCleanup(receiver.shutdown)
        receiver.refuse = 2  # it is not ready at once
        child = self.start(receiver)
        self.post("/v1/accounts", accounts)
        self.post("/v1/exchanges", lines[:len(lines) // 2])
        self.until(child, lambda: len(receiver.at("/hook")) >= 3 and len(receiver.at("/v1/logs")) >= 3)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child = self.start(receiver)
        self.post("/v1/exchanges", lines[len(lines) // 2:])
        # Told by the time that it has doubled.
        self.until(child, lambda: any(json.loads(b)["kind"] == "grew" for _, _, b, _ in receiver.at("/hook")))
        # The two receivers are told each at its own pace: what one knows by now the other hears too.
        early = {json.loads(b)["campaign"] for _, _, b, _ in receiver.at("/hook") if json.loads(b)["kind"] == "opened"}
        def names():
            records = [r["attributes"] for _, _, body, _ in receiver.at("/v1/logs")
                       for r in json.loads(body)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]]
            return {a["value"]["stringValue"] for r in records for a in r if a["key"] == "stillwatch.campaign.id"}
        self.until(child, lambda: early <= names())
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(60 * PATIENCE), 0, self.said()[-3000:])

        opened, is_open, ids = set(), set(), set()
        prompts = [json.loads(line)["messages"][0]["content"][:60] for line in lines[:2000:50]]
        for _, headers, body, at in receiver.at("/hook"):
            stamp = headers["X-Stillwatch-Timestamp"]
            mac = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
            self.assertEqual(headers["X-Stillwatch-Signature"], "v1=" + mac)
            self.assertLess(abs(at - int(stamp)), 60 * PATIENCE)
            alert = json.loads(body)
            self.assertEqual(alert["schema"], "stillwatch.alert/1")
            if alert["id"] in ids:
                continue  # a kill came between its delivery and the note of that
            ids.add(alert["id"])
            if alert["kind"] == "opened":
                self.assertEqual(alert["verdict"], "distillation")
                self.assertNotIn(alert["campaign"], is_open)
                opened.add(alert["campaign"])
                is_open.add(alert["campaign"])
            elif alert["kind"] in ("closed", "faded", "merged"):
                is_open.discard(alert["campaign"])
            for prompt in prompts:
                self.assertNotIn(prompt, body.decode())
            self.assertNotIn("acct_", body.decode())
        self.assertGreaterEqual(len(opened), 3)
        self.assertNotIn(SECRET, self.said())


if __name__ == "__main__":
    unittest.main()
