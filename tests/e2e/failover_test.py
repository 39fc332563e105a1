"""A real `serve` finds campaigns in what is posted to it; then accounts that it has never seen send the
campaigns' text and are met at their first requests, first in shadow, then for real. Others are not."""
import gzip, http.client, json, os, signal, subprocess, time, unittest

from common import BINARY, PATIENCE, Case

POLICY = """version: 1
rules:
  - {id: accused, match: {verdict: distillation, tier: [high, elevated]}, action: deny%s}
recognition:
  - {id: failover, match: {by: [template, sketch], org_verified: false}, action: verify%s}
"""
CONFIG = """data: %s/data
listen: {port: 0}
otlp: {http: {enabled: false}, grpc: {enabled: false}}
ext_authz: {enabled: false}
passes: {interval_s: 1, window_days: 0, threads: 2}
policy: {file: %s/policy.yaml}
"""
BATCH = 4 << 20  # bytes of a post, before compression


class Failover(Case):
    def call(self, method, path, body=None, headers={}):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * PATIENCE)
        self.connection.request(method, path, body, headers)
        r = self.connection.getresponse()
        return r.status, r.read().decode()

    def post(self, path, lines):
        batch, size = [], 0
        for line in [*lines, None]:
            if batch and (line is None or size > BATCH):
                body = gzip.compress("".join(batch).encode(), 1)
                for _ in range(100 * PATIENCE):  # a full queue says when to come back
                    status, text = self.call("POST", path, body, {"Content-Encoding": "gzip"})
                    if status != 503:
                        break
                    time.sleep(.2)
                self.assertEqual(status, 200, text)
                self.assertEqual(json.loads(text)["rejected"], 0, text)
                batch, size = [], 0
            if line is not None:
                batch.append(line)
                size += len(line)

    def decide(self, e):
        body = {k: e[k] for k in ("account_id", "model", "messages", "client_ip") if k in e}
        status, text = self.call("POST", "/v1/decide", json.dumps(body), {"Content-Type": "application/json"})
        self.assertEqual(status, 200, text)
        return json.loads(text)

    def start(self):
        log = open(self.path("log"), "wb")
        self.addCleanup(log.close)
        child = subprocess.Popen([BINARY, "serve", "--config", self.write("serve.yaml", CONFIG % (self.dir, self.dir))], stdout=log, stderr=log)
        self.addCleanup(lambda: child.poll() is None and (child.kill(), child.wait()))
        self.port = self.wait_for(child, "serving")["port"]
        return child

    def said(self):
        with open(self.path("log"), encoding="utf-8") as f:
            return f.read()

    def wait_for(self, child, event):
        end = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < end and child.poll() is None:
            for line in self.said().splitlines():
                if f'"event":"{event}"' in line:
                    return json.loads(line)
            time.sleep(.05)
        self.fail(f"no {event}: {self.said()}")

    def test_a_fresh_pool_is_met_at_its_first_requests(self):
        self.connection = None
        world = self.path("world")
        self.run_it("simulate", "feb-2026-deepseek", "--scale", ".03", "--seed", "3", "--quiet", "--out", world)
        with open(world + "/truth_exchanges.csv") as f:
            harvest = dict(line.strip().split(",") for line in f.readlines()[1:])
        with open(world + "/truth_accounts.csv") as f:
            role = {line.split(",")[0]: line.split(",")[1] for line in f.readlines()[1:]}
        with open(world + "/exchanges.jsonl", encoding="utf-8") as f:
            lines = f.readlines()
        exchanges = [json.loads(line) for line in lines]
        # Of each harvest six accounts stay away, records and all: the fresh pool.
        senders = {}
        for e in exchanges:
            if e["exchange_id"] in harvest and role[e["account_id"]] == "campaign":
                senders.setdefault(harvest[e["exchange_id"]], set()).add(e["account_id"])
        fresh = {a for accounts in senders.values() for a in sorted(accounts)[:6]}
        self.assertGreaterEqual(len(fresh), 6)
        first, known, innocent = {}, {}, {}
        for e in exchanges:
            account = e["account_id"]
            if account in fresh:
                if e["exchange_id"] in harvest:
                    first.setdefault((account, harvest[e["exchange_id"]]), e)
            elif e["exchange_id"] in harvest and role[account] == "campaign":
                known[account] = e
            elif role[account] not in ("campaign", "permitted"):  # the permits are of another year
                innocent[account] = e

        self.write("policy.yaml", POLICY % ("", ""))  # in shadow
        child = self.start()
        with open(world + "/accounts.jsonl", encoding="utf-8") as f:
            self.post("/v1/accounts", [line for line in f if json.loads(line)["account_id"] not in fresh])
        self.post("/v1/exchanges", [line for line, e in zip(lines, exchanges) if e["account_id"] not in fresh])

        def share(asked, key, action):
            return sum(self.decide(e).get(key) == action for e in asked.values()) / len(asked)

        # A pass may see but a part of it; the last sees all.
        end, accused, met = time.monotonic() + 120 * PATIENCE, 0, 0
        while time.monotonic() < end and (accused < .8 or met < .8):
            accused, met = share(known, "shadowed", "deny"), share(first, "shadowed", "verify")
            time.sleep(.5)
            self.assertIsNone(child.poll(), self.said())
        self.assertTrue(accused >= .8 and met >= .8, (accused, met, self.said()[-3000:]))
        for e in [*known.values(), *first.values()]:
            self.assertEqual(self.decide(e)["action"], "allow")  # nothing is enforced
        touched = [e["account_id"] for e in innocent.values() if self.decide(e)["shadow"]]
        self.assertLessEqual(len(touched), len(innocent) // 200, [(a, role[a]) for a in touched])

        # The same, enforced; what a client may see of it names neither campaign nor rule.
        self.write("policy.yaml", POLICY % (", enforce: true", ", enforce: true"))
        child.send_signal(signal.SIGHUP)
        self.wait_for(child, "reloaded")
        one = self.decide(next(e for e in known.values() if self.decide(e)["action"] == "deny"))
        self.assertEqual((one["reason"], one["shadow"]), ("campaign", False))
        self.assertRegex(one["appeal_ref"], "^SW-")
        self.assertNotIn("cmp_", json.dumps(one))
        self.assertGreaterEqual(share(first, "action", "verify"), .8)
        answers = [self.decide(e) for e in first.values()]
        self.assertLessEqual({a["reason"] for a in answers if a["action"] == "verify"}, {"template", "sketch"})
        # Without the text nobody knows a fresh account.
        self.assertEqual({self.decide({"account_id": a})["action"] for a in fresh}, {"allow"})
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(60 * PATIENCE), 0, self.said()[-3000:])
        self.run_it("audit", "verify", self.path("data/audit"))

    def test_a_permit_counts_on_after_a_restart(self):
        self.write("policy.yaml", """version: 1
permits: [{id: licence, account_ids: [customer], exchanges_max: 4}]
lists: [{name: foes, kind: deny, enforce: true, entries: [{account: customer}]}]
""")

        def run(decisions):
            self.connection = None
            child = self.start()
            actions = [self.decide({"account_id": "customer"})["action"] for _ in range(decisions)]
            child.send_signal(signal.SIGTERM)
            self.assertEqual(child.wait(60 * PATIENCE), 0, self.said()[-3000:])
            return actions

        self.assertEqual(run(3), ["allow"] * 3)
        self.assertEqual(run(0), [])  # a restart uses nothing
        self.assertEqual(run(2), ["allow", "deny"])


if __name__ == "__main__":
    unittest.main()
