"""share export, preview, validate: what leaves is what the preview says, and nothing of what must stay is in its bytes."""
import base64, collections, json, os, re, struct, subprocess, tempfile, unittest
from clickhouse import Servers
from common import SAMPLE, Case

class Share(Case):
    @classmethod
    def setUpClass(cls):
        cls.whole = Case()
        cls.whole.setUp()
        cls.scanned = cls.whole.path("out")
        cls.log = cls.whole.path("exchanges.jsonl")
        with open(cls.log, "wb") as f:
            subprocess.run(["zstd", "-dc", f"{SAMPLE}/exchanges.jsonl.zst"], stdout=f, check=True)
        cls.whole.run_it("scan", "--accounts", f"{SAMPLE}/accounts.jsonl", "--permits", f"{SAMPLE}/permits.yaml", "--out", cls.scanned, cls.log)
        cls.campaigns = [c for c in json.load(open(f"{cls.scanned}/campaigns.json"))["campaigns"] if c["verdict"] == "distillation"]
        cls.others = [c for c in json.load(open(f"{cls.scanned}/campaigns.json"))["campaigns"] if c["verdict"] != "distillation"]
        cls.key = cls.whole.path("key")
        cls.whole.run_it("share", "key", cls.key)
        cls.exchanges = [json.loads(line) for line in open(cls.log)]
        cls.accounts = [json.loads(line) for line in open(f"{SAMPLE}/accounts.jsonl")]

    @classmethod
    def tearDownClass(cls):
        cls.whole.doCleanups()

    def export(self, *args, to="bundle.json", audience="provider", code=0):
        got = self.run_it("share", "export", "--out-of", self.scanned, "--audience", audience, "--issuer", "Provider A", "--to", self.path(to), "--alone", "a test", *args, code=code)
        return got if code else (open(self.path(to)).read() if os.path.isfile(self.path(to)) else None)

    def test_preview_is_the_export_and_nothing_else(self):
        for audience in ("provider", "cloud", "government", "public"):
            said = collections.Counter()
            out, _ = self.run_it("share", "preview", "--out-of", self.scanned, "--audience", audience, "--key", self.key)
            for line in out.splitlines():
                words = line.split()
                if words[:1] == ["leaves"] and words[2] != "its":
                    said[words[2], " ".join(words[3:])] += 1
            got = collections.Counter()
            bundle = json.loads(self.export("--key", self.key, audience=audience))
            for o in bundle["objects"]:
                if o["type"] == "indicator" and o["pattern_type"] == "stillwatch":
                    kind, value = re.fullmatch(r"(\S+) (?:=|blinded) '(.*)'", o["pattern"]).groups()
                    got[kind, value] += 1
                elif o["type"] == "indicator" and "software:" in o["pattern"]:
                    got["client", "/".join(re.findall(r"= '([^']*)'", o["pattern"]))] += 1
                elif o["type"] == "indicator":
                    got["account-id", re.findall(r"user_id = '([^']*)'", o["pattern"])[0]] += 1
                elif o["type"] == "user-account" and "/" in o["user_id"]:
                    got["account", o["user_id"].split("/")[1]] += 1
                elif o["type"] == "campaign":
                    for label in o["extensions"]["extension-definition--499bd72f-1df0-4fa4-9a5d-d86d61a64ab3"]["campaign_figures"]["capabilities"]:
                        got["capability", label] += 1
            self.assertEqual(got, said)
            if audience != "public":
                self.assertGreater(len([k for k in got if k[0] == "template-sketch"]), 0)
            counts = json.loads(self.run_it("share", "preview", "--json", "--out-of", self.scanned, "--audience", audience, "--key", self.key)[0])
            self.assertEqual(sum(l["count"] for l in counts["leaves"] if l["type"] != "campaign-figures"), sum(said.values()))

    def test_nothing_that_stays_is_in_the_bytes(self):
        secrets = {v for a in self.accounts for k in ("account_id", "org_id", "payment_id", "signup_ip", "referrer") if (v := a.get(k))}
        secrets |= {a["email_domain"] for a in self.accounts if a.get("email_domain")}
        secrets |= {v for e in self.exchanges for k in ("exchange_id", "account_id", "client_ip", "api_key_id") if (v := e.get(k))}
        texts = {m["content"] for e in self.exchanges for m in e["messages"]} | {e["response"] for e in self.exchanges if e.get("response")}
        def grams(text):  # four words in a row: a shingle
            words = re.findall("[a-z]+", text.lower())
            return {tuple(words[i:i + 4]) for i in range(len(words) - 3)}
        said = set().union(*map(grams, texts))
        exact = {str(c[k]) for c in self.campaigns for k in ("exchanges", "input_tokens", "output_tokens") if c[k] > 999}
        for audience in ("provider", "cloud", "government", "public"):
            for form in ("stix", "misp-event", "misp-feed"):
                to = f"{audience}-{form}"
                self.export("--key", self.key, "--format", form, to=to, audience=audience)
                whole = ""
                for root, _, files in os.walk(self.path(to)):
                    whole += "".join(open(os.path.join(root, f)).read() for f in files)
                whole = whole or open(self.path(to)).read()
                words = set(re.findall(r"[A-Za-z0-9_.:@-]+", whole))
                self.assertEqual(words & secrets, set(), to)
                self.assertEqual(words & exact, set(), to)
                self.assertEqual(grams(whole) & said, set(), to)

    def sketches(self):
        """Of each exchange: its account and the hashes of system prompt and turn, by `sketch`."""
        out, _ = self.run_it("sketch", self.log)
        for line in out.splitlines():
            e = json.loads(line)
            hashes = set()
            for part, skip in (("system", 0), ("turn", 8)):
                raw = base64.b64decode(e["sketch"].get(part, ""))[skip:]
                hashes |= set(struct.unpack(f"<{len(raw) // 4}I", raw))
            yield e["account_id"], hashes

    def test_a_dictionary_attack_recovers_the_scaffold_and_nothing_rarer(self):
        """The receiver guesses with every text of the log: the best dictionary there is."""
        bundle = json.loads(self.export())
        sent = set()
        for o in bundle["objects"]:
            if o["type"] == "indicator" and o["pattern"].startswith("template-sketch"):
                value = o["pattern"].split("'")[1][2:]
                sent |= {int(value[i:i + 8], 16) for i in range(0, len(value), 8)}
        self.assertGreater(len(sent), 10)
        accounts, exchanges, confirmed = collections.defaultdict(set), collections.Counter(), collections.defaultdict(set)
        guesses = hit = 0
        for account, hashes in self.sketches():
            guesses += 1
            common = frozenset(hashes & sent)
            for h in hashes:
                accounts[h].add(account)
                exchanges[h] += 1
            if common:
                hit += 1
                confirmed[common].add(account)
        # Every hash that left is common property: no guess of one account's text is confirmed by it.
        self.assertGreaterEqual(min(len(accounts[h]) for h in sent), 20)
        self.assertGreaterEqual(min(exchanges[h] for h in sent), 200)
        of_few = {h for h in exchanges if len(accounts[h]) < 20 or exchanges[h] < 200}
        self.assertEqual(sent & of_few, set())
        self.assertGreater(len(of_few), 1000)
        print(f"\ndictionary attack: {guesses} guesses (every exchange of the log), {hit} share a hash with the {len(sent)} sent, "
              f"of {len(of_few)} hashes of fewer than 20 accounts or 200 exchanges 0 are confirmed, "
              f"the rarest confirmed hash is of {min(len(accounts[h]) for h in sent)} accounts", flush=True)

    def test_the_same_bytes_and_what_changed_since(self):
        at = ("--at", "2026-11-21T12:00:00Z")
        first = self.export(*at)
        self.assertEqual(first, self.export(*at, to="again.json"))
        # Later, one campaign less: its objects are revoked under their ids, the others stay as they were.
        kept = self.campaigns[0]["id"]
        later = self.export("--at", "2026-11-22T12:00:00Z", "--previous", self.path("bundle.json"), kept, to="later.json")
        was = {o["id"]: o for o in json.loads(first)["objects"]}
        now = {o["id"]: o for o in json.loads(later)["objects"]}
        revoked = {i for i, o in now.items() if o.get("revoked")}
        self.assertEqual({was[i]["type"] for i in revoked} >= {"campaign", "indicator", "report", "relationship"}, True)
        self.assertEqual(len([i for i in revoked if i.startswith("campaign--")]), len(self.campaigns) - 1)
        for i in revoked:
            self.assertEqual(now[i]["created"], was[i]["created"])
            self.assertGreater(now[i]["modified"], was[i]["modified"])
        for i in set(now) - revoked:
            self.assertEqual(now[i], was[i])
        # All of it.
        self.run_it("share", "export", "--revoke", "--previous", self.path("bundle.json"), "--issuer", "Provider A", "--out-of", self.scanned,
                    "--at", "2026-11-23T12:00:00Z", "--to", self.path("none.json"), "--alone", "a test")
        none = json.loads(open(self.path("none.json")).read())
        self.assertTrue(all(o["revoked"] for o in none["objects"] if o["type"] in ("indicator", "campaign", "report")))
        _, err = self.run_it("share", "export", "--revoke", "--previous", self.path("bundle.json"), "--issuer", "Somebody", "--out-of", self.scanned,
                             "--to", self.path("x.json"), "--alone", "a test", code=2)
        self.assertIn("nothing in it is of the issuer 'Somebody'", err)
        self.assertFalse(os.path.exists(self.path("x.json")))

    def test_every_export_is_in_the_audit_log(self):
        audit = self.path("audit")
        self.export("--audit", audit, "--key", self.key)
        out, _ = self.run_it("audit", "verify", audit)
        self.assertIn("1 records", out)
        record = json.loads(open(f"{audit}/audit-000001.jsonl").readline())
        self.assertEqual((record["action"], record["subject"]), ("share.export", self.path("bundle.json")))
        self.assertEqual(len(record["details"]["release"]["campaigns"]), len(self.campaigns))
        said = subprocess.run(["b2sum", "-l", "256", self.path("bundle.json")], capture_output=True, text=True, check=True).stdout.split()[0]
        self.assertEqual(record["details"]["blake2b"], said)
        self.assertEqual(record["details"]["alone"], "a test")
        # What cannot be recorded does not leave.
        self.export("--audit", "/proc/nowhere", to="secret.json", code=2)
        self.assertFalse(os.path.exists(self.path("secret.json")))

    def test_two_persons_answer_for_it(self):
        data = self.path("data")
        os.mkdir(data)
        ada, bob, eve = (self.run_it("token", "create", who, *[w for r in roles for w in ("--role", r)], "--data", data)[0].strip()
                         for who, roles in (("ada", ("analyst", "approver")), ("bob", ("approver", "analyst")), ("eve", ("share",))))
        def as_(token, verb, *args, code=0):
            env = {k: v for k, v in os.environ.items() if k != "STILLWATCH_TOKEN"}
            return self.run_it("share", verb, *args, "--data", data, code=code, env={**env, "STILLWATCH_TOKEN": token} if token else env)[code and 1]
        what = ("--out-of", self.scanned, "--audience", "provider", "--issuer", "Provider A")
        # Nothing is written in one step, nor proposed by nobody, for no reason or by one who may not.
        for token, more, said in ((ada, ("--to", self.path("x")), "--alone REASON"), (ada, (), "--note"), ("", ("--note", "asked"), "STILLWATCH_TOKEN"),
                                  ("stw_aaaaaaaa_wrong", ("--note", "asked"), "unknown"), (eve, ("--note", "asked"), "lacks the role analyst"),
                                  (ada, ("--alone", "x"), "--to")):
            err = as_(token, "export", *what, *more, code=2)
            self.assertIn(said, err)
            self.assertEqual(err.count("\n"), 1, err)
        self.assertFalse(os.path.exists(self.path("x")))
        self.assertEqual(len(as_("", "exports").splitlines()), 1)
        self.assertIn("share approve 1", as_(ada, "export", *what, "--at", "2026-11-21T12:00:00Z", "--note", "they asked"))
        to = ("--to", self.path("approved.json"))
        self.assertIn("is proposed", as_("", "fetch", "1", *to, code=2))
        self.assertIn("who cannot approve it too", as_(ada, "approve", "1", code=2))
        self.assertIn("lacks the role approver", as_(eve, "approve", "1", code=2))
        self.assertFalse(os.path.exists(self.path("approved.json")))
        self.assertIn("approved by bob", as_(bob, "approve", "1"))
        self.assertIn("is approved by bob", as_(bob, "reject", "1", code=2))
        as_("", "fetch", "1", *to)
        alone = self.export("--at", "2026-11-21T12:00:00Z")
        self.assertEqual(open(self.path("approved.json")).read(), alone)
        self.assertRegex(as_("", "exports"), r"1 +approved +bundle +provider +ada +bob")
        # Another is rejected, a feed of several files goes the same way, an unknown one is none.
        as_(bob, "export", *what, "--format", "misp-feed", "--note", "they asked")
        as_(bob, "export", *what, "--note", "again")
        self.assertIn("rejected by ada", as_(ada, "reject", "3"))
        self.assertIn("is rejected", as_("", "fetch", "3", "--to", self.path("x"), code=2))
        as_(ada, "approve", "2")
        as_("", "fetch", "2", "--to", self.path("feed"))
        self.export("--format", "misp-feed", to="feed2")
        self.assertEqual(sorted(os.listdir(self.path("feed"))), sorted(os.listdir(self.path("feed2"))))
        as_("", "fetch", "9", "--to", self.path("x"), code=2)
        # What was changed on the disk after the approval does not leave.
        with open(f"{data}/state/exports/1.json", "a") as f:
            f.write(" ")
        self.assertIn("was changed after it was approved", as_("", "fetch", "1", "--to", self.path("x"), code=2))
        self.assertFalse(os.path.exists(self.path("x")))
        records = [json.loads(line) for line in open(f"{data}/audit/audit-000001.jsonl")]
        self.assertEqual([(r["actor"], r["action"]) for r in records if r["action"].startswith("share.") and not r["actor"].startswith("local:")],
                         [("ada", "share.propose"), ("bob", "share.approve"), ("bob", "share.propose"), ("bob", "share.propose"), ("ada", "share.reject"), ("ada", "share.approve")])
        self.assertEqual(sum(r["action"] == "share.download" for r in records), 2)

    def test_misp(self):
        event = json.loads(self.export("--format", "misp-event", self.campaigns[0]["id"]))["Event"]
        for name in ("uuid", "info", "date", "timestamp", "threat_level_id", "analysis", "distribution"):
            self.assertIsInstance(event[name], str, name)
        self.assertIn({"name": "tlp:amber"}, event["Tag"])
        templates = {"user-account": "49606b06-22f0-4ac8-8eee-2f12ad46f3d3", "ai-chat-prompt": "a78f4156-0bb7-405c-aa25-ba16a73f68e4",
                     "ja4-plus": "2c15c75e-e7db-4b62-8d17-633e7571818f", "asn": "4ec55cc6-9e49-4c64-b794-03c25c1a6587",
                     "report": "70a68471-df22-4e3f-aa1a-5a3be19f82df"}
        uuids = [event["uuid"]]
        for o in event["Object"]:
            self.assertEqual(o["template_uuid"], templates[o["name"]])
            self.assertTrue(o["template_version"].isdigit())
            self.assertIs(o["deleted"], False)
            uuids += [o["uuid"]] + [a["uuid"] for a in o["Attribute"]] + [r["uuid"] for r in o["ObjectReference"]]
            self.assertTrue(all(a["object_relation"] and a["type"] and a["category"] and a["value"] for a in o["Attribute"]))
        uuids += [a["uuid"] for a in event["Attribute"]]
        self.assertEqual(len(uuids), len(set(uuids)))
        objects = {o["uuid"] for o in event["Object"]}
        self.assertTrue(all(r["referenced_uuid"] in objects for o in event["Object"] for r in o["ObjectReference"]))
        self.assertIn("ai-chat-prompt", {o["name"] for o in event["Object"]})
        self.export("--format", "misp-feed", to="feed")
        manifest = json.load(open(self.path("feed/manifest.json")))
        self.assertEqual(len(manifest), len(self.campaigns))
        for uuid in manifest:
            self.assertEqual(json.load(open(self.path(f"feed/{uuid}.json")))["Event"]["uuid"], uuid)
        for line in open(self.path("feed/hashes.csv")):
            self.assertRegex(line, r"^[0-9a-f]{32},[0-9a-f-]{36}\n$")
        # A feed is what its folder holds: a campaign that no longer holds goes.
        self.export("--format", "misp-feed", self.campaigns[0]["id"], to="feed")
        self.assertEqual(len([f for f in os.listdir(self.path("feed")) if len(f) == 41]), 1)

    def test_validate_points_at_the_fault(self):
        good = self.export("--key", self.key)
        out, _ = self.run_it("share", "validate", self.path("bundle.json"))
        self.assertIn("valid STIX 2.1", out)
        counts = json.loads(self.run_it("share", "validate", "--json", self.path("bundle.json"))[0])
        self.assertEqual(sum(counts["objects"].values()), len(json.loads(good)["objects"]))
        objects = json.loads(good)["objects"]
        place = {o["type"]: i for i, o in reversed(list(enumerate(objects)))}
        def broken(change):
            bundle = json.loads(good)
            change(bundle)
            return self.run_it("share", "validate", self.write("bad.json", json.dumps(bundle)), code=2)[1]
        c, r, i = place["campaign"], place["relationship"], place["indicator"]
        u = place["user-account"]
        cases = [
            (lambda b: b["objects"][c].pop("name"), f"bad.json: /objects/{c}/name: is missing"),
            (lambda b: b["objects"][c].update(spec_version="2.0"), f"/objects/{c}/spec_version: is 2.0; only 2.1 is read"),
            (lambda b: b.update(spec_version="2.0"), "/spec_version: a bundle of STIX 2.1 has none"),
            (lambda b: b["objects"][r].update(target_ref=b["objects"][r]["source_ref"]), f"/objects/{r}/target_ref: is the source_ref itself"),
            (lambda b: b["objects"][i].update(pattern="[a:b = "), f"/objects/{i}/pattern: "),
            (lambda b: b["objects"][u].update(user_id="another"), f"/objects/{u}/id: does not follow"),
            (lambda b: b["objects"][c].pop("created_by_ref"), f"/objects/{c}/created_by_ref: is missing: nobody answers"),
            (lambda b: b["objects"][c].update(object_marking_refs=["marking-definition--" + b["objects"][c]["id"][10:]]), f"/objects/{c}/object_marking_refs/0: is marked by what is not in the bundle"),
            (lambda b: b["objects"].append(b["objects"][c]), f"/objects/{len(objects)}/id: is the same version"),
        ]
        for change, said in cases:
            self.assertIn(said, broken(change))
        _, err = self.run_it("share", "validate", self.write("cut.json", good[:len(good) // 2]), code=2)
        self.assertRegex(err, r"cut.json: /objects/\d+.*: byte \d+: ")
        self.run_it("share", "validate", self.path("nowhere"), code=2)

    def test_schemas(self):
        first = self.export("--key", self.key, "--opinion", "agree", "--at", "2026-11-21T12:00:00Z", audience="cloud")
        self.export("--key", self.key, "--at", "2026-11-22T12:00:00Z", "--previous", self.path("bundle.json"), self.campaigns[0]["id"], to="second.json", audience="cloud")
        def faults(*names):
            check = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stix_schemas.py")
            done = subprocess.run(["/usr/bin/python3", check, *map(self.path, names)], capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout.splitlines()
        self.assertEqual(faults("bundle.json", "second.json"), [])
        # The schemas do check.
        bundle = json.loads(first)
        campaign = next(o for o in bundle["objects"] if o["type"] == "campaign")
        campaign["extensions"]["extension-definition--499bd72f-1df0-4fa4-9a5d-d86d61a64ab3"]["campaign_figures"]["prompts"] = ["x"]
        del campaign["name"]
        self.write("bad.json", json.dumps(bundle))
        self.assertEqual(len(faults("bad.json")) > 1, "STILLWATCH_STIX_SCHEMAS" in os.environ)
        self.assertGreater(len(faults("bad.json")), 0)

    def test_a_lake_on_a_cluster_gives_the_same_bytes(self):
        with tempfile.TemporaryDirectory(dir=self.dir) as folder:
            servers = Servers(folder, 2)
            try:
                lake = servers.url("sharing")
                out = self.path("clustered")
                self.run_it("scan", "--accounts", f"{SAMPLE}/accounts.jsonl", "--permits", f"{SAMPLE}/permits.yaml", "--out", out, "--lake", lake, self.log)
                at = ("--at", "2026-11-21T12:00:00Z", "--key", self.key)
                want = self.export(*at, audience="cloud")
                self.run_it("share", "export", "--out-of", out, "--lake", lake, "--audience", "cloud", "--issuer", "Provider A", "--to", self.path("there.json"), "--alone", "a test", *at)
                self.assertTrue(open(self.path("there.json")).read() == want, "other bytes than of the embedded lake")
            finally:
                servers.stop()

    def test_what_may_not_leave_is_refused_plainly(self):
        for other in self.others:
            if other["verdict"] != "unresolved":
                _, err = self.export(other["id"], code=2)
                self.assertIn("only a distillation, or the suspicion of one (unresolved), may leave", err)
        for args, said in ((("--audience", "friends"), "--audience: provider, cloud, government or public"), (("--tlp", "blue"), "tlp: clear, green"),
                           (("--opinion", "fine"), "opinion: strongly-disagree"), (("--at", "today"), "--at"), (("--format", "pdf"), "format: stix"),
                           (("--key", SAMPLE + "/accounts.jsonl"), "accounts.jsonl"), (("nobody",), "nobody: no campaign")):
            options = ["--out-of", self.scanned, "--issuer", "Provider A", "--to", self.path("x"), "--alone", "a test"] + ([] if "--audience" in args else ["--audience", "provider"])
            _, err = self.run_it("share", "export", *options, *args, code=2)
            self.assertIn(said, err)
            self.assertFalse(os.path.exists(self.path("x")))


if __name__ == "__main__":
    unittest.main()
