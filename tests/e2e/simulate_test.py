"""simulate as a person would run it: the same world at any thread count and through a pipe, truth that
counts what was written, one clear line for what cannot be."""
import csv, filecmp, json, os, signal, subprocess, time, unittest
from common import BINARY, PATIENCE, Case

TINY = """name: tiny
start: 2026-05-01T00:00:00Z
days: 3
innocents: {accounts: 120, exchanges: 900}
pools:
  - {name: p, operator: op, accounts: 30, account_age: [1, 5], victims: 2, banned: 2026-05-02T10:00:00Z, failover: q}
  - {name: q, operator: op, accounts: 24}
campaigns:
  - {name: c, operator: op, pools: [p, q], method: grading, exchanges: 2_000}
"""

class Simulate(Case):
    def setUp(self):
        super().setUp()
        self.tiny = self.write("tiny.yaml", TINY)

    def test_world_is_the_same_at_any_thread_count_through_a_pipe_and_from_its_own_scenario(self):
        self.run_it("simulate", self.tiny, "--out", self.path("a"), "--threads", "1")
        self.run_it("simulate", self.tiny, "--out", self.path("b"), "--threads", "4", "--quiet")
        piped, _ = self.run_it("simulate", self.tiny, "--out", "-", "--side", self.path("c"), "--quiet")
        self.run_it("simulate", self.path("a/scenario.yaml"), "--out", self.path("d"), "--quiet")
        for name in sorted(os.listdir(self.path("a"))):
            self.assertTrue(filecmp.cmp(self.path("a/" + name), self.path("b/" + name), shallow=False), name)
            self.assertTrue(filecmp.cmp(self.path("a/" + name), self.path("d/" + name), shallow=False), name)
            if name != "exchanges.jsonl":
                self.assertTrue(filecmp.cmp(self.path("a/" + name), self.path("c/" + name), shallow=False), name)
        with open(self.path("a/exchanges.jsonl"), encoding="utf-8") as f:
            self.assertEqual(f.read(), piped)
        self.run_it("simulate", self.tiny, "--out", self.path("e"), "--seed", "2", "--quiet")
        self.assertFalse(filecmp.cmp(self.path("a/exchanges.jsonl"), self.path("e/exchanges.jsonl"), shallow=False))

    def test_truth_counts_what_was_written_and_a_scan_takes_all_of_it(self):
        self.run_it("simulate", self.tiny, "--out", self.path("w"), "--quiet")
        truth = {r["exchange_id"]: r["campaign"] for r in csv.DictReader(self.lines("w/truth_exchanges.csv"))}
        roles = {r["account_id"]: r for r in csv.DictReader(self.lines("w/truth_accounts.csv"))}
        campaign = list(csv.DictReader(self.lines("w/truth_campaigns.csv")))
        self.assertEqual([c["campaign"] for c in campaign], ["c"])
        self.assertEqual(int(campaign[0]["exchanges"]), len(truth))
        exchanges = [json.loads(l) for l in self.lines("w/exchanges.jsonl")]
        harvest = [e for e in exchanges if e["exchange_id"] in truth]
        self.assertEqual(len(harvest), len(truth))
        self.assertEqual(len({e["account_id"] for e in harvest}), int(campaign[0]["accounts"]))
        self.assertEqual({roles[e["account_id"]]["role"] for e in harvest} - {"victim"}, {"campaign"})
        self.assertEqual(min(e["ts"] for e in harvest), campaign[0]["first_seen"])
        self.assertEqual(max(e["ts"] for e in harvest), campaign[0]["last_seen"])
        self.assertEqual({json.loads(l)["account_id"] for l in self.lines("w/accounts.jsonl")}, set(roles))
        self.run_it("scan", "--accounts", self.path("w/accounts.jsonl"), "--permits", self.path("w/permits.yaml"), "--known", self.path("w/known.yaml"), "--strict",
                    "--out", self.path("o"), "--quiet", self.path("w/exchanges.jsonl"))
        with open(self.path("o/run.json"), encoding="utf-8") as f:
            run = json.load(f)
        self.assertEqual((run["exchanges"], run["rejected"]), (len(exchanges), 0))

    def test_the_first_days_are_the_beginning_of_the_same_world(self):
        self.run_it("simulate", self.tiny, "--out", self.path("w"), "--quiet")
        self.run_it("simulate", self.tiny, "--out", self.path("f"), "--days", "2", "--quiet")
        whole, first = ({json.loads(l)["exchange_id"]: l for l in self.lines(f"{d}/exchanges.jsonl")} for d in "wf")
        self.assertLess(len(first), len(whole))
        for name, line in first.items():
            self.assertEqual(line, whole[name])
        self.assertEqual({n for n, l in whole.items() if json.loads(l)["ts"] < "2026-05-03"}, set(first))
        truth = {d: list(csv.DictReader(self.lines(f"{d}/truth_exchanges.csv"))) for d in "wf"}
        self.assertEqual(sorted(r["exchange_id"] for r in truth["w"] if r["exchange_id"] in first), sorted(r["exchange_id"] for r in truth["f"]))
        for name in ("accounts.jsonl", "truth_accounts.csv", "truth_pools.csv", "scenario.yaml"):
            self.assertTrue(filecmp.cmp(self.path("w/" + name), self.path("f/" + name), shallow=False), name)
        roles = {r["account_id"]: r["role"] for r in csv.DictReader(self.lines("w/truth_accounts.csv"))}
        pools = {r["account_id"]: r["pool"] for r in csv.DictReader(self.lines("w/truth_pools.csv"))}
        self.assertEqual({a for a, role in roles.items() if role == "campaign"}, set(pools))
        self.assertEqual(sorted(pools.values()), ["p"] * 30 + ["q"] * 24)
        done = self.run_it("simulate", self.tiny, "--out", self.path("x"), "--days", "4", code=2)
        self.assertIn("--days: the scenario has 3; expected 1 to that many", "".join(map(str, done)))

    def test_piped_into_a_scan_that_waits_for_the_side_files(self):
        side, out = self.path("s"), self.path("o")
        scan = subprocess.Popen([BINARY, "scan", "--accounts", side + "/accounts.jsonl", "--permits", side + "/permits.yaml", "--known",
                                 side + "/known.yaml", "--out", out, "--quiet", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(.3)
        self.assertIsNone(scan.poll(), "it did not wait")
        simulated = subprocess.run([BINARY, "simulate", self.tiny, "--out", "-", "--side", side, "--quiet"], stdout=scan.stdin)
        _, err = scan.communicate(timeout=120 * PATIENCE)
        self.assertEqual((simulated.returncode, scan.returncode), (0, 0), err.decode())
        with open(out + "/run.json", encoding="utf-8") as f:
            self.assertGreater(json.load(f)["exchanges"], 2500)
        # Nothing comes, and nothing will: the missing file is named.
        _, err = self.run_it("scan", "--accounts", self.path("none"), "--out", self.path("p"), "-", stdin=b"", code=2)
        self.assertIn("none: does not exist", err)

    def test_interrupted_it_leaves_nothing_that_looks_complete(self):
        self.run_it("simulate", self.tiny, "--out", self.path("w"), "--quiet")
        child = subprocess.Popen([BINARY, "simulate", "june-2026", "--scale", ".2", "--out", self.path("w"), "--threads", "1", "--quiet"])
        end = time.monotonic() + 60
        while not os.path.exists(self.path("w/exchanges.jsonl.partial")) and time.monotonic() < end:
            time.sleep(.01)
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(timeout=60 * PATIENCE), 130)
        left = sorted(os.listdir(self.path("w")))
        self.assertFalse([f for f in left if f.endswith(".partial")], left)
        for name in ("exchanges.jsonl", "truth_exchanges.csv", "truth_campaigns.csv"):
            self.assertNotIn(name, left)

    def test_knobs_and_prompts(self):
        shown, _ = self.run_it("simulate", self.tiny, "--show", "--set", "samples=4", "--set", "careful=true")
        self.assertIn("samples: 4", shown)
        self.assertIn("infrastructure: 0\n", shown)
        prompts = self.write("prompts.txt", 'say "hello" to the heron\n')
        self.run_it("simulate", self.tiny, "--prompts", prompts, "--out", self.path("w"), "--quiet")
        turns = [json.loads(l)["messages"][-1]["content"] for l in self.lines("w/exchanges.jsonl")]
        self.assertGreater(sum('say "hello" to the heron' in t for t in turns), len(turns) / 2)

    def test_what_cannot_be_is_one_clear_line(self):
        out = self.path("o")
        bad = self.write("bad.yaml", TINY.replace("days: 3", "dayz: 3"))
        empty = self.write("empty.txt", "\n")
        for args, what in [
            ((bad, "--out", out), "bad.yaml:3: unknown key \"dayz\""),
            (("nothing-of-the-kind", "--out", out), "neither a preset nor a scenario"),
            ((self.tiny, "--out", out, "--scale", "0"), "--scale: 0 is impossible"),
            ((self.tiny, "--out", out, "--scale", "-2"), "--scale: -2 is impossible"),
            ((self.tiny, "--out", out, "--set", "sample=4"), "unknown key \"sample\""),
            ((self.tiny, "--out", out, "--set", "samples=2", "--set", "jitter=2"), "--set jitter=2: jitter: 2 is impossible; 0 to 1"),
            ((bad, "--out", out, "--set", "samples=2"), "bad.yaml:3: unknown key \"dayz\""),
            (("clean", "--out", out, "--set", "jitter=.5"), "jitter: contradicts a scenario without campaigns"),
            ((self.tiny, "--out", out, "--set", "pivot_share=.5"), "pivot_share: contradicts models"),
            ((self.tiny, "--out", out, "--set", "jitter"), "expected KNOB=VALUE"),
            ((self.tiny, "--out", out, "--prompts", empty), "no line with text"),
            ((self.tiny, "--out", out, "--prompts", self.path("none")), "no such file"),
            ((self.tiny, "--out", out, "--threads", "0"), "--threads"),
            ((self.tiny, "--out", "-"), "--side"),
            ((self.tiny, "--out", out, "--side", self.path("s")), "--side: goes with --out -"),
            ((self.tiny,), "--out: name a folder"),
            ((), "name a SCENARIO"),
            ((self.tiny, "--out", "/proc/none"), "cannot be written"),
        ]:
            _, err = self.run_it("simulate", *args, code=2)
            self.assertIn(what, err, args)
            self.assertEqual(len(err.strip().splitlines()), 1, err)
        self.assertFalse(os.path.exists(out))

if __name__ == "__main__":
    unittest.main()
