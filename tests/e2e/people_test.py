"""What people do with a service: tokens, a policy from proposal to rollback, an appeal, the audit log."""
import datetime, glob, json, os, re, signal, time, unittest

import serve_test
from common import PATIENCE, Case

POLICY = """version: 1
name: %s
approval_above: %d
lockout_share_max: 0.5
lists: [{name: foes, kind: deny, enforce: %s, entries: [{account: mallory}]}]
"""


class People(Case):
    config, start, log, events, wait_for, ask, end, decide = (
        getattr(serve_test.Serve, m) for m in ("config", "start", "log", "events", "wait_for", "ask", "end", "decide"))

    def token(self, person, *roles):
        out, err = self.run_it("token", "create", person, "--data", self.path("data"), *[x for r in roles for x in ("--role", r)])
        self.assertRegex(out, r"^stw_[a-z2-7]{8}_[\w-]{43}\n$")
        self.assertNotIn(out.strip(), err)
        return out.strip()

    def api(self, token, method, path, body=None, status=200):
        got, text, _ = self.ask(method, "/api/v1" + path, None if body is None else json.dumps(body),
                                {"Authorization": "Bearer " + token, **({"Content-Type": "application/json"} if body is not None else {})})
        self.assertEqual(got, status, text)
        return json.loads(text)

    def policy(self, token, *args, code=0):
        env = {**os.environ, "STILLWATCH_TOKEN": token}
        return self.run_it("policy", *args, "--url", f"http://127.0.0.1:{self.port}", code=code, env=env)

    def test_tokens_beside_a_running_service(self):
        os.mkdir(self.path("data"))
        admin = self.token("root", "admin", "analyst")
        child = self.start(self.config())
        self.assertEqual(self.ask("GET", "/api/v1/me")[0], 401)
        self.assertEqual(self.api(admin, "GET", "/me"), {"person": "root", "roles": ["analyst", "admin"]})
        ada = self.token("ada", "analyst")
        end = time.monotonic() + 60 * PATIENCE
        while self.ask("GET", "/api/v1/me", headers={"Authorization": "Bearer " + ada})[0] != 200 and time.monotonic() < end:
            time.sleep(.1)
        self.api(ada, "GET", "/tokens", status=403)
        made = self.api(admin, "POST", "/tokens", {"person": "gw", "roles": ["decide"]}, 201)
        self.assertEqual(self.ask("POST", "/v1/decide", '{"account_id":"a"}', {"Content-Type": "application/json", "Authorization": "Bearer " + made["token"]})[0], 200)
        self.api(made["token"], "GET", "/campaigns", status=403)
        self.assertIn("revoked", self.run_it("token", "revoke", made["id"], "--data", self.path("data"))[0])
        end = time.monotonic() + 60 * PATIENCE
        while self.ask("POST", "/v1/decide", '{"account_id":"a"}', {"Content-Type": "application/json", "Authorization": "Bearer " + made["token"]})[0] != 401:
            self.assertLess(time.monotonic(), end, "a revoked token still works")
            time.sleep(.1)
        listed = self.run_it("token", "list", "--data", self.path("data"))[0]
        for t in (admin, ada, made["token"]):
            self.assertNotIn(t[13:], listed)
        self.assertEqual(len(listed.splitlines()), 4)
        self.end(child)
        for hidden in (admin, ada, made["token"]):
            self.assertNotIn(hidden[13:], self.log())
        self.run_it("token", "create", "x", "--role", "king", "--data", self.path("data"), code=2)
        self.run_it("token", "create", "x", "--role", "decide", "--data", self.path("nowhere"), code=2)

    def traffic(self, token):
        """Thirty accounts within the last hour, and waits until they are in the lake."""
        now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=30)
        lines = [json.dumps({"exchange_id": f"e{i}", "ts": (now + datetime.timedelta(seconds=i)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                             "account_id": "mallory" if i == 7 else f"acct-{i}", "model": "m"}) for i in range(30)]
        got = self.ask("POST", "/v1/exchanges", "\n".join(lines) + "\n", {"Content-Type": "application/x-ndjson", "Authorization": "Bearer " + token})
        self.assertIn(got[0], (200, 202), got)

    def test_from_proposal_to_appeal(self):
        os.mkdir(self.path("data"))
        ada, bob = self.token("ada", "analyst"), self.token("bob", "analyst", "approver", "ingest")
        gateway = self.token("gateway", "decide")
        child = self.start(self.config())
        ask = lambda account: json.loads(self.ask("POST", "/v1/decide", json.dumps({"account_id": account, "model": "m"}),
                                                  {"Content-Type": "application/json", "Authorization": "Bearer " + gateway})[1])
        self.traffic(bob)
        file = self.write("p.yaml", POLICY % ("one", 0, "true"))
        self.assertIn("in order", self.run_it("policy", "check", file)[0])
        # Until the lake has the traffic there is nothing to try it on.
        tried = lambda: self.ask("POST", "/api/v1/policies/dry-run", json.dumps({"text": POLICY % ("one", 0, "true")}),
                                 {"Authorization": "Bearer " + ada, "Content-Type": "application/json"})
        self.until(tried, lambda got: got[0] == 200 and json.loads(got[1])["touched"] == 1, 60)
        self.assertIn("over the last day: 1 accounts touched", self.policy(ada, "check", file, "--dry-run")[0])
        self.assertIn("a second person must approve", self.policy(ada, "propose", file, "--note", "mallory again")[0])
        self.assertIn("403", self.policy(ada, "activate", "1", code=2)[1])
        self.assertIn("403", self.policy(ada, "approve", "1", code=2)[1])  # no approver
        self.assertEqual(ask("mallory")["action"], "allow")
        self.assertIn("version 1: approved", self.policy(bob, "approve", "1")[0])
        self.assertIn("version 1: active", self.policy(ada, "activate", "1")[0])
        denied = self.until(lambda: ask("mallory"), lambda d: d["action"] == "deny")
        self.assertEqual(ask("acct-1")["action"], "allow")

        # One that would lock out most of a day's accounts is refused with the count.
        everyone = POLICY % ("all", 0, "true")
        everyone = everyone.replace("{account: mallory}", ", ".join("{account: acct-%d}" % i for i in range(30)))
        refused = self.policy(ada, "propose", self.write("all.yaml", everyone), code=2)[1]
        self.assertIn("409", refused)
        self.assertIn("29", refused)

        # The customer appeals with what the refusal quoted; access is back at once.
        self.assertNotIn("foes", json.dumps(denied))
        appeal = self.api(ada, "POST", "/appeals", {"ref": denied["appeal_ref"].lower(), "message": "we are a school"}, 201)
        self.assertEqual((appeal["account_id"], appeal["status"]), ("mallory", "open"))
        path = f"/appeals/{appeal['ref']}/overturn"
        self.api(ada, "POST", path, {"revision": appeal["revision"], "reason": "term papers"})
        self.api(bob, "POST", path, {"revision": appeal["revision"], "reason": "second"}, 409)
        self.until(lambda: ask("mallory"), lambda d: d["action"] == "allow")

        self.write("p2.yaml", POLICY % ("two", 0, "false"))
        diff = self.policy(ada, "diff", "active", self.path("p2.yaml"))[0]
        self.assertIn("-name: one\n+name: two\n", diff)
        self.assertIn("version 1 is out of force", self.policy(bob, "rollback")[0])
        self.assertIn("rolled back", self.policy(bob, "list")[0])

        # All of it is in the log, which verifies beside the service, after a kill, and not when touched.
        actions = [r["action"] for r in self.api(ada, "GET", "/audit?limit=500")["records"]]
        for wanted in ("policy.propose", "policy.approve", "policy.activate", "policy.rollback", "decision.deny", "appeal.open", "appeal.overturn", "token.create"):
            self.assertIn(wanted, actions)
        log = self.path("data/audit")
        head = re.search(r"head (\d+:\w+)", self.run_it("audit", "verify", log)[0]).group(1)
        self.assertTrue(self.api(ada, "POST", "/audit/verify", {"anchors": [head]})["ok"])
        child.send_signal(signal.SIGKILL)
        child.wait()
        child = self.start(self.config())
        self.assertEqual(self.api(ada, "GET", f"/appeals/{appeal['ref']}")["status"], "overturned")
        self.assertEqual(self.api(ada, "GET", "/policies/1")["status"], "rolled back")
        self.end(child)
        self.run_it("audit", "verify", log, "--anchor", head)
        segment = sorted(glob.glob(log + "/audit-*.jsonl"))[0]
        data = open(segment, "rb").read()
        open(segment, "wb").write(data.replace(b'"ada"', b'"eve"', 1))
        out, err = self.run_it("audit", "verify", log, "--anchor", head, code=2)
        self.assertIn("was changed", out)
        self.assertEqual(json.loads(self.run_it("audit", "verify", log, "--json", code=2)[0])["ok"], False)

    def until(self, ask, good, seconds=60):
        end = time.monotonic() + seconds * PATIENCE
        while True:
            got = ask()
            if good(got):
                return got
            self.assertLess(time.monotonic(), end, got)
            time.sleep(.1)

    def test_a_signed_log(self):
        key = self.path("audit.key")
        public = self.run_it("audit", "key", key)[0].strip()
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        self.run_it("audit", "key", key, code=2)  # is there already
        child = self.start(self.config("audit: {signing_key: %s}\npolicy: {file: %s}\n" % (key, self.write("p.yaml", POLICY % ("one", 100, "true")))))
        for _ in range(3):
            self.assertEqual(self.decide("mallory")["action"], "deny")
        self.end(child)
        log = self.path("data/audit")
        self.assertIn("signed through", self.run_it("audit", "verify", log, "--public-key", public)[0])
        self.run_it("audit", "verify", log, "--public-key", "00" * 32, code=2)
        self.run_it("audit", "verify", log, "--public-key", "xyz", code=2)


if __name__ == "__main__":
    unittest.main()
