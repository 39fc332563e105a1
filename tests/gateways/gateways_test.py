"""nginx and Caddy as examples/ configures them, before a model server, with the official SDKs as clients;
Envoy's ext_authz with a foreign gRPC client."""
import json, os, signal, socket, subprocess, sys, time, unittest

from peers import HERE, KEYS, GatewayCase, key_id, stop
from common import BINARY, PATIENCE, ROOT

SECRETS = ("secret-", "campaign", "probability", "list", "directive")


class Clients:
    """What holds of every gateway that relays HTTP. `base`: its address."""

    def clients(self, *jobs):
        return self.node("clients.mjs", [{"base": self.base, **job} for job in jobs])

    def models(self):
        return [s["model"] for s in self.model.seen]

    def test_allowed_requests_are_answered(self):
        got = self.clients({"api": "openai", "key": KEYS["fine"]}, {"api": "anthropic", "key": KEYS["fine"]},
                           {"api": "openai", "key": KEYS["fine"], "stream": True}, {"api": "anthropic", "key": KEYS["fine"], "stream": True})
        for g in got:
            self.assertEqual({"ok": True, "text": "an answer", "requests": 1}, g)
        self.assertEqual(len(self.model.seen), 4)

    def test_refused_requests_raise_what_the_sdk_promises_and_stop(self):
        before = self.audit_size()
        # One request of `slow` is allowed an hour, whichever client sends it: this one, or an earlier test's gateway.
        self.clients({"api": "openai", "key": KEYS["slow"]})
        self.model.seen.clear()
        jobs = [{"api": api, "key": KEYS[who], "stream": stream} for api in ("openai", "anthropic") for who in ("denied", "unverified", "slow")
                for stream in (False, True)]
        for job, got in zip(jobs, self.clients(*jobs)):
            with self.subTest(job):
                who = next(w for w in KEYS if KEYS[w] == job["key"])
                self.assertFalse(got["ok"])
                self.assertEqual(got["error"], "RateLimitError" if who == "slow" else "PermissionDeniedError")
                self.assertEqual(got["status"], 429 if who == "slow" else 403)
                self.assertEqual(got["requests"], 1)
                self.assertEqual(got["type"], "rate_limit_error" if who == "slow" else "permission_error")
                if job["api"] == "openai":
                    self.assertEqual(got["code"], {"denied": "permission_denied", "unverified": "verification_required", "slow": "rate_limit_exceeded"}[who])
                if who == "slow":
                    self.assertGreater(int(got["retry_after"]), 60)
                self.assertRegex(got["message"], r"SW-[0-9A-Z]{5}-[0-9A-Z]{5}-[0-9A-Z]{3}")
                for secret in SECRETS:
                    self.assertNotIn(secret, got["message"].lower())
        self.assertEqual(self.model.seen, [])
        # One record for each request that was refused: nobody tried again.
        records = self.audited(before, len(jobs))
        refused = [r for r in records if r["details"]["api_key_id"] != key_id(KEYS["slow"])] + [
            r for r in records if r["details"]["api_key_id"] == key_id(KEYS["slow"]) and r["action"] == "decision.throttle"]
        self.assertIn(len(refused), (len(jobs), len(jobs) + 1))
        for r in refused:
            self.assertIn("secret-list", r["details"]["rule"])
            self.assertEqual(r["details"]["client_ip"], "127.0.0.1")

    def test_the_sdk_tries_again_where_nobody_forbids_it(self):
        got = self.clients({"api": "openai", "key": KEYS["fine"], "model": "busy"}, {"api": "anthropic", "key": KEYS["fine"], "model": "busy"})
        self.assertEqual([g["requests"] for g in got], [3, 3])
        self.assertEqual(len(self.model.seen), 6)

    def test_the_models_own_refusal_passes_as_it_is(self):
        got, = self.clients({"api": "openai", "key": KEYS["fine"], "model": "forbidden"})
        self.assertEqual((got["error"], got["code"]), ("PermissionDeniedError", "own"))
        self.assertIn("the model's own", got["message"])

    def test_reduce_reaches_the_model_server_and_forgeries_do_not(self):
        body = json.dumps({"model": "model-1", "messages": []}).encode()
        url = self.base + "/v1/chat/completions"
        self.get(url, {"authorization": f"Bearer {KEYS['reduced']}", "x-stillwatch-reduce": "none"}, body)
        self.get(url, {"authorization": f"Bearer {KEYS['fine']}", "x-stillwatch-reduce": "forged"}, body)
        self.assertEqual([s["headers"].get("x-stillwatch-reduce", "") for s in self.model.seen], ["summary", ""])

    def test_a_client_cannot_say_who_it_is(self):
        body = json.dumps({"model": "model-1", "messages": []}).encode()
        url = self.base + "/v1/chat/completions"
        forged = {"x-stillwatch-account": "acct-fine", "x-stillwatch-key": key_id(KEYS["fine"])}
        status, _, _ = self.get(url, {"authorization": f"Bearer {KEYS['denied']}", **forged}, body)
        self.assertEqual(status, 403)
        status, _, _ = self.get(url, {"authorization": f"Bearer {KEYS['fine']}", "x-stillwatch-account": "acct-denied"}, body)
        self.assertEqual(status, 200)
        self.assertEqual(len(self.model.seen), 1)
        # Nor where it comes from.
        before = self.audit_size()
        self.get(url, {"authorization": f"Bearer {KEYS['denied']}", "x-forwarded-for": "203.0.113.9"}, body)
        self.assertEqual(self.audited(before, 1)[0]["details"]["client_ip"], "127.0.0.1")

    def test_shadow_mode_only_records(self):
        before = self.audit_size()
        got, = self.clients({"api": "openai", "key": KEYS["watched"]})
        self.assertTrue(got["ok"])
        record, = self.audited(before, 1)
        self.assertEqual(record["action"], "shadow.deny")

    def test_any_method_and_path(self):
        for method, path in (("GET", "/v1/models"), ("DELETE", "/v1/files/f%20x?y=1&deny_style=native"), ("GET", "/a/../b"), ("GET", "/")):
            r = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--path-as-is", "-X", method, "-H",
                                f"Authorization: Bearer {KEYS['denied']}", self.base + path], capture_output=True, text=True, timeout=30)
            self.assertEqual(r.stdout, "403", (method, path, r.stderr))
        self.assertEqual(self.model.seen, [])


class Nginx(Clients, GatewayCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.base = cls.gateway("nginx")


class Caddy(Clients, GatewayCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.base = cls.gateway("caddy")


class Decide(GatewayCase):
    """examples/decide: a gateway's own call."""
    token = "sw_of-the-test-with-some-more-characters"

    def decide(self, *args, token=None, url=None):
        done = subprocess.run([sys.executable, os.path.join(ROOT, "examples", "decide", "decide.py"), "--url", url or f"http://127.0.0.1:{self.ports['http']}",
                               "--token", self.token if token is None else token, "--timeout", str(30 * PATIENCE), *args],
                              capture_output=True, text=True, timeout=60 * PATIENCE)
        return done.returncode, json.loads(done.stdout), done.stderr

    def test_says_what_to_do(self):
        code, answer, _ = self.decide("--account", "acct-fine", "--model", "model-1", "--ip", "198.51.100.7", "--text", "Solve the following task")
        self.assertEqual((code, answer["action"]), (0, "allow"))
        code, answer, _ = self.decide("--account", "acct-denied")
        self.assertEqual((code, answer["action"], answer["shadow"]), (3, "deny", False))
        self.assertRegex(answer["appeal_ref"], "^SW-")
        self.assertEqual(self.decide("--key", key_id(KEYS["unverified"]))[:1], (3,))
        code, answer, _ = self.decide("--account", "acct-reduced")
        self.assertEqual((code, answer["action"], answer["reduce_to"]), (0, "reduce", "summary"))
        self.assertEqual(self.decide("--account", "acct-watched")[:1], (0,))  # in shadow

    def test_without_an_answer_the_request_passes(self):
        code, answer, err = self.decide("--account", "acct-denied", token="sw_another-token-of-some-length-and-more")
        self.assertEqual((code, answer), (0, None))
        self.assertIn("401", err)
        code, answer, err = self.decide()  # who asks is missing
        self.assertEqual((code, answer), (0, None))
        self.assertIn("account_id: missing", err)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            code, answer, err = self.decide("--account", "acct-denied", "--timeout", ".2", url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        self.assertEqual((code, answer), (0, None))
        self.assertIn("no answer", err)


class WithoutStillwatch(GatewayCase):
    """What a gateway does when nobody answers it: as its configuration says."""

    def ask(self, base):
        begin = time.monotonic()
        status, _, _ = self.get(base + "/v1/chat/completions", {"authorization": f"Bearer {KEYS['denied']}"},
                                json.dumps({"model": "model-1", "messages": []}).encode())
        return status, time.monotonic() - begin

    def test_nginx_passes_and_caddy_refuses(self):
        nginx, caddy = self.gateway("nginx"), self.gateway("caddy")
        for base in (nginx, caddy):
            self.assertEqual(self.ask(base)[0], 403)
        os.kill(self.stillwatch.pid, signal.SIGSTOP)  # there, and silent
        while " T " not in open(f"/proc/{self.stillwatch.pid}/stat").read():
            time.sleep(.01)
        try:
            status, seconds = self.ask(nginx)
            self.assertEqual(status, 200)
            self.assertLess(seconds, 30 * PATIENCE)  # nginx without its timeouts: a minute
            self.assertIn(self.ask(caddy)[0], (502, 504))
        finally:
            os.kill(self.stillwatch.pid, signal.SIGCONT)
        self.stillwatch.kill()
        self.stillwatch.wait()
        self.assertEqual(self.ask(nginx)[0], 200)
        self.assertIn(self.ask(caddy)[0], (502, 504))  # a busy machine takes its 200 ms to refuse
        self.assertEqual(len(self.model.seen), 2)


class ExtAuthz(GatewayCase):
    token = "sw_of-the-test-with-some-more-characters"
    directive = True

    def check(self, *requests):
        requests = [{"token": self.token, **r} for r in requests]
        return self.node("ext_authz_client.mjs", requests, f"127.0.0.1:{self.ports['ext_authz']}",
                         os.path.join(ROOT, "src", "serve", "grpc", "proto", "ext_authz.proto"))

    @staticmethod
    def request(key, path="/v1/chat/completions", body="", headers={}, extensions={}):
        return {"source": {"address": {"socket_address": {"address": "198.51.100.7"}}}, "context_extensions": extensions,
                "request": {"http": {"method": "POST", "path": path, "body": body,
                                     "headers": {**({"authorization": f"Bearer {key}"} if key else {}), **headers}}}}

    def test_decides_as_over_http(self):
        body = json.dumps({"model": "model-1", "messages": []})
        fine, denied, slow, again, unverified, reduced, anthropic = self.check(
            *(self.request(KEYS[k], body=body) for k in ("fine", "denied", "slow", "slow", "unverified", "reduced")),
            {**self.request(None, "/v1/messages", headers={"x-api-key": KEYS["denied"], "x-request-id": "req-7"})})
        for allowed in (fine, slow):
            self.assertEqual((allowed["status"], allowed["ok"]["remove"]), (0, ["x-stillwatch-reduce"]))
        self.assertEqual(reduced["ok"]["headers"], {"x-stillwatch-reduce": "summary"})
        for answer, status in ((denied, 403), (again, 429), (unverified, 403), (anthropic, 403)):
            self.assertEqual((answer["status"], answer["denied"]["status"]), (7, status))
            self.assertEqual(answer["denied"]["headers"]["x-should-retry"], "false")
            for secret in SECRETS:
                self.assertNotIn(secret, answer["denied"]["body"].lower())
        self.assertGreater(int(again["denied"]["headers"]["retry-after"]), 60)
        self.assertEqual(json.loads(denied["denied"]["body"])["error"]["code"], "permission_denied")
        body = json.loads(anthropic["denied"]["body"])
        self.assertEqual((body["type"], body["error"]["type"], body["request_id"]), ("error", "permission_error", "req-7"))

    def test_reads_the_body_and_the_routes_settings(self):
        before = self.audit_size()
        chat = lambda model: json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}]})
        whole, cut, other, account, path = self.check(
            self.request(KEYS["fine"], body=chat("restricted-7")),
            self.request(KEYS["fine"], body=chat("restricted-7")[:-20], headers={"x-envoy-auth-partial-body": "true"}),
            self.request(KEYS["fine"], body=chat("model-1")),
            self.request(None, body=chat("model-1"), extensions={"account": "acct-denied"}),
            self.request(KEYS["fine"], "/openai/deployments/restricted-7/chat/completions", chat("model-1")))
        self.assertEqual([a["status"] for a in (whole, cut, other, account, path)], [7, 7, 0, 7, 7])
        records = self.audited(before, 4)
        self.assertEqual([r["details"]["rule"] for r in records], ["secret-directive", "secret-directive", "secret-list-denied", "secret-directive"])
        self.assertEqual({r["details"]["client_ip"] for r in records}, {"198.51.100.7"})
        self.assertEqual(records[2]["subject"], "acct-denied")

    def test_without_the_token_nothing_is_said(self):
        answer, = self.check({**self.request(KEYS["denied"]), "token": ""})
        self.assertEqual(answer["code"], 16)


class Otlp(GatewayCase):
    """OpenTelemetry's exporters for Node over gRPC; what they send is in the lake, once."""
    token = "sw_of-the-test-with-some-more-characters"

    def export(self, compression, token):
        done = subprocess.run(["node", os.path.join(HERE, "otlp_client.mjs"), f"127.0.0.1:{self.ports['otlp']}", compression, token],
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_exports_are_taken_and_reach_the_lake(self):
        for compression in ("none", "gzip"):
            for kind, answer in self.export(compression, self.token).items():
                self.assertEqual((kind, answer["code"], answer["error"]), (kind, 0, None))
        refused = self.export("none", "sw_another-token-of-some-length-and-more")
        self.assertEqual([a["grpc"] for a in refused.values()], [16, 16, 16])
        sql = "SELECT account_id, uniqExact(exchange_id) AS n FROM exchanges GROUP BY account_id ORDER BY account_id"
        end, rows = time.monotonic() + 60 * PATIENCE, {}
        while sum(map(int, rows.values())) < 60 and time.monotonic() < end:
            time.sleep(.5)
            got = subprocess.run([BINARY, "query", "--lake", "unix:" + os.path.join(self.folder, "data", "lake.socket"), "--output-format", "TSV", sql],
                                 capture_output=True, text=True, timeout=60)
            rows = dict(line.split("\t") for line in got.stdout.splitlines())
        want = {f"otlp-{c}-{i}": "5" for c in ("none", "gzip") for i in range(4)}
        want.update({f"otlp-log-{c}-{i}": "5" for c in ("none", "gzip") for i in range(2)})
        self.assertEqual(rows, want, got.stderr)


if __name__ == "__main__":
    unittest.main()
