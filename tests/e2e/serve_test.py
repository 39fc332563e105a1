"""`serve` and `config` as a person runs them: start, answer, reload, drain; what the log may say."""
import http.client, json, os, signal, socket, subprocess, threading, time, unittest

from common import BINARY, PATIENCE, Case

QUIET = "data: {dir}/data\nlisten: {{port: 0}}\notlp: {{http: {{enabled: false}}, grpc: {{enabled: false}}}}\next_authz: {{enabled: false}}\npasses: {{enabled: false}}\n"


class Serve(Case):
    def config(self, more=""):
        return self.write("serve.yaml", QUIET.format(dir=self.dir) + more)

    def start(self, config, **how):
        """Starts it and waits until it says where it listens."""
        log = open(self.path("log"), "wb")
        self.addCleanup(log.close)
        child = subprocess.Popen([BINARY, "serve", "--config", config], stderr=log, stdout=log, **how)
        self.addCleanup(lambda: child.poll() is None and (child.kill(), child.wait()))
        end = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < end and child.poll() is None:
            for event in self.events():
                if event["event"] == "serving":
                    self.port = event["port"]
                    return child
            time.sleep(.02)
        self.fail(f"did not start: {self.log()}")

    def log(self):
        with open(self.path("log"), encoding="utf-8") as f:
            return f.read()

    def events(self):
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{") and line.endswith("}")]

    def wait_for(self, event, times=1):
        end = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < end:
            found = [e for e in self.events() if e["event"] == event]
            if len(found) >= times:
                return found[-1]
            time.sleep(.02)
        self.fail(f"no {event}: {self.log()}")

    def ask(self, method, path, body=None, headers={}):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * PATIENCE)
        c.request(method, path, body, headers)
        r = c.getresponse()
        out = r.status, r.read().decode(), dict(r.getheaders())
        c.close()
        return out

    def end(self, child):
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(60 * PATIENCE), 0, self.log())

    def test_health_metrics_and_an_orderly_end(self):
        child = self.start(self.config())
        self.assertEqual(self.ask("GET", "/healthz")[0], 200)
        self.assertEqual(self.ask("GET", "/readyz")[0], 200)
        self.assertEqual(self.ask("GET", "/nowhere")[0], 404)
        status, text, _ = self.ask("GET", "/metrics")
        self.assertEqual(status, 200)
        self.assertIn('stillwatch_http_requests_total{endpoint="/healthz",method="GET",status="2xx"} 1\n', text)
        # A connection that is kept open does not hold up the end; nor does half a request for long.
        idle = socket.create_connection(("127.0.0.1", self.port))
        self.end(child)
        self.assertEqual(idle.recv(10), b"")
        idle.close()
        self.assertEqual(self.wait_for("drained")["cut_off"], 0)
        self.wait_for("stopped")

    def test_reload_takes_tokens_and_level_and_keeps_what_works(self):
        told = self.run_it("config", "token", "--person", "gateway", "--role", "analyst")[0]
        secret = told.split(": ", 1)[1].split("\n")[0]
        entry = told[told.index("tokens:"):]
        config = self.config(entry)
        child = self.start(config)
        key = {"Authorization": f"Bearer {secret}"}
        self.assertEqual(self.ask("GET", "/metrics")[0], 401)
        self.assertEqual(self.ask("GET", "/metrics", headers=key)[0], 200)
        kept = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * PATIENCE)
        kept.request("GET", "/metrics", headers=key)
        kept.getresponse().read()
        # A file that is wrong changes nothing.
        self.config(entry + "threads: {io: many}\n")
        child.send_signal(signal.SIGHUP)
        self.assertIn("threads.io", self.wait_for("reload refused, all stays as it was")["why"])
        self.assertEqual(self.ask("GET", "/metrics", headers=key)[0], 200)
        # A token from the environment in place of the other; a key that needs a start is named.
        self.config("tokens: [{person: next, roles: [analyst], file: %s}]\nthreads: {io: 3}\n" % self.write("t", "n" * 40 + "\n"))
        child.send_signal(signal.SIGHUP)
        self.wait_for("reloaded")
        self.assertEqual(self.wait_for("takes effect at the next start")["key"], "threads.io")
        kept.request("GET", "/metrics", headers=key)  # the connection lives, its token does not
        self.assertEqual(kept.getresponse().status, 401)
        kept.close()
        self.assertEqual(self.ask("GET", "/metrics", headers={"x-api-key": "n" * 40})[0], 200)
        self.end(child)
        # Neither token nor anything of a request is in the log.
        for hidden in (secret, secret[3:20], "n" * 40, "Bearer"):
            self.assertNotIn(hidden, self.log())

    def policy(self, account):
        return self.write("policy.yaml", "version: 1\nlists: [{name: foes, kind: deny, enforce: true, entries: [{account: %s}]}]\n" % account)

    def decide(self, account, text=""):
        body = {"account_id": account, "model": "m"}
        if text:
            body["messages"] = [{"role": "user", "content": text}]
        status, answer, _ = self.ask("POST", "/v1/decide", json.dumps(body), {"Content-Type": "application/json"})
        self.assertEqual(status, 200, answer)
        return json.loads(answer)

    def test_decides_by_a_policy_that_is_reloaded_under_load(self):
        child = self.start(self.config("policy: {file: %s}\n" % self.policy("mallory")))
        secret = "the quick brown fox jumps over a lazy confidential dog"
        denied = self.decide("mallory", secret)
        self.assertEqual((denied["action"], denied["reason"], denied["shadow"]), ("deny", "deny_list", False))
        self.assertRegex(denied["appeal_ref"], "^SW-")
        self.assertEqual(self.decide("alice", secret)["action"], "allow")
        status, body, headers = self.ask("GET", "/v1/check/v1/messages", headers={"X-Stillwatch-Account": "mallory"})
        self.assertEqual((status, json.loads(body)["error"]["type"]), (403, "permission_error"))
        self.assertEqual(headers["x-should-retry"], "false")
        blocked = self.ask("POST", "/beta/litellm_basic_guardrail_api", json.dumps({"request_data": {"user_api_key_user_id": "mallory"}}))[1]
        self.assertEqual(json.loads(blocked)["action"], "BLOCKED")
        self.assertIn('stillwatch_decisions_total{action="deny",reason="deny_list",shadow="0"} 3\n', self.ask("GET", "/metrics")[1])
        # Reloads while decisions are asked for: each is of one policy or the other, none fails.
        failed, seen, stop = [], set(), threading.Event()

        def ask():
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * PATIENCE)
            while not stop.is_set():
                c.request("POST", "/v1/decide", '{"account_id":"oscar"}', {"Content-Type": "application/json"})
                r = c.getresponse()
                action = json.loads(r.read()).get("action")
                seen.add(action)
                if r.status != 200 or action not in ("allow", "deny"):
                    failed.append((r.status, action))
            c.close()

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for t in threads:
            t.start()
        for i in range(10):
            self.policy(["oscar", "mallory"][i % 2])
            child.send_signal(signal.SIGHUP)
            self.wait_for("reloaded", i + 1)
            # Long enough to be asked under it.
            end, here = time.monotonic() + 60 * PATIENCE, ["deny", "allow"][i % 2]
            while here not in seen and time.monotonic() < end:
                time.sleep(.005)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual((failed, seen), ([], {"allow", "deny"}))
        # A policy that is wrong changes nothing.
        self.write("policy.yaml", "version: 1\nrules: [{id: x}]\n")
        child.send_signal(signal.SIGHUP)
        self.assertIn("policy.yaml:2", self.wait_for("reload refused, all stays as it was")["why"])
        self.assertEqual(self.decide("mallory")["action"], "deny")
        self.end(child)
        # The audit log knows why; nothing that was kept knows what was said.
        kept = b""
        for folder, _, files in os.walk(self.dir):
            for f in files:
                with open(os.path.join(folder, f), "rb") as g:
                    kept += g.read()
        self.assertIn(b"decision.deny", kept)
        self.assertIn(denied["appeal_ref"].encode(), kept)
        for word in (secret, "confidential dog"):
            self.assertNotIn(word.encode(), kept)

    def test_takes_exchanges_to_the_lake_through_a_killed_lake(self):
        child = self.start(self.config())
        line = '{"exchange_id":"%s","ts":"2026-04-22T00:00:00.000Z","account_id":"a%d","model":"m","messages":[{"role":"user","content":"a word nobody else said"}]}\n'
        body = "".join(line % (f"x{i}", i % 7) for i in range(500))
        status, answer, _ = self.ask("POST", "/v1/exchanges", body, {"Content-Type": "application/x-ndjson"})
        self.assertEqual((status, json.loads(answer)["accepted"]), (200, 500), answer)
        self.wait_for("lake open")
        # Its process dies in the middle: what was acknowledged still gets there, once.
        for pid in [int(p) for p in os.listdir("/proc") if p.isdigit()]:
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if self.dir.encode() in (words := f.read()) and b"host" in words.split(b"\0"):
                        os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        status, answer, _ = self.ask("POST", "/v1/exchanges", "".join(line % (f"y{i}", 1) for i in range(500)) + "junk\n")
        self.assertEqual((status, json.loads(answer)["accepted"], json.loads(answer)["rejected"]), (200, 500, 1), answer)
        self.assertEqual(self.decide("a1")["action"], "allow")
        end = time.monotonic() + 90 * PATIENCE
        while "\nstillwatch_journal_entries 0\n" not in self.ask("GET", "/metrics")[1]:
            self.assertLess(time.monotonic(), end, f"the lake did not take all: {self.log()}")
            time.sleep(.1)
        for path in ("/api/v1/campaigns", "/api/v1/policies", "/api/v1/audit"):
            self.assertEqual(self.ask("GET", path)[0], 200, path)
        self.assertEqual(self.ask("POST", "/v1/traces", "{}", {"Content-Type": "application/json"})[0], 200)
        self.end(child)
        found = self.run_it("query", "--lake", self.path("data/lake"), "--output-format", "TSV", "SELECT count(DISTINCT exchange_id) FROM exchanges")[0]
        self.assertEqual(found.strip(), "1000")

    def test_says_what_is_wrong_with_a_configuration(self):
        bad = self.write("bad.yaml", "listen: {port: 99999, adress: x}\ntokens:\n  - person: a\n    roles: [decid]\nlog: [1]\n")
        said = self.run_it("config", "check", bad, code=2)[1]
        for line in ("bad.yaml:1: listen.port: expected a whole number from 0 to 65535", "bad.yaml:1: listen.adress: no such key; address is meant?",
                     "bad.yaml:3: tokens[0].hash: one of hash, env and file is needed", "bad.yaml:4: tokens[0].roles: ", "bad.yaml:5: log: expected keys"):
            self.assertIn(line, said)
        for text in ("a: [\n", "\x00\xff", "- 1\n", "data: {}\n", "listen: {port: 1}\nlisten: {port: 2}\n", "!!binary x: 1\n"):
            self.run_it("config", "check", self.write("odd.yaml", text), code=2)
        self.run_it("serve", "--config", bad, code=2)
        self.run_it("serve", "--config", self.path("missing.yaml"), code=2)
        # What is printed reads back as the same.
        first = self.run_it("config", "check", self.config("alerts: [{name: pager, url: 'https://a.example/x', secret_env: PAGER}]\n"))[0]
        self.assertEqual(self.run_it("config", "check", self.write("again.yaml", first))[0], first)
        self.assertIn("pager", first)

    def test_refuses_what_is_not_safe(self):
        said = self.run_it("serve", "--config", self.write("open.yaml", "listen: {address: 0.0.0.0, port: 0}\ndata: %s/d\n" % self.dir), code=2)[1]
        self.assertIn("TLS", said)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            busy = self.write("busy.yaml", "listen: {port: %d}\ndata: %s/e\n" % (taken.getsockname()[1], self.dir))
            self.assertIn("in use", self.run_it("serve", "--config", busy, code=2)[1])
        missing = self.write("env.yaml", "tokens: [{person: a, roles: [decide], env: STILLWATCH_NOT_THERE}]\n")
        self.assertIn("STILLWATCH_NOT_THERE", self.run_it("serve", "--config", missing, code=2)[1])


if __name__ == "__main__":
    unittest.main()
