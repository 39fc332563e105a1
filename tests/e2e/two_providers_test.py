"""The worked exchange of docs/SHARING.md: two providers and a government body, as `examples/sharing/run` plays it."""
import os, re, subprocess, sys, unittest

from common import BINARY, Case

RUN = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "sharing", "run")


class TwoProviders(Case):
    def test_neither_alone_both_together_and_one_no_more_when_the_other_takes_it_back(self):
        done = subprocess.run([sys.executable, RUN, "--keep", self.path("kept")], capture_output=True, text=True, env={**os.environ, "STILLWATCH": BINARY})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        days = re.findall(r"^day \d+: provider-[ab]: (.*)", done.stdout, re.M)
        self.assertGreaterEqual(len(days), 4, done.stdout)
        for said in days[:-2]:
            self.assertRegex(said, "^(nothing|unresolved, .*|.* and would be unresolved alone)$", done.stdout)
        for said in days[-2:]:
            self.assertRegex(said, "^distillation, .* and would be unresolved alone$", done.stdout)
        self.assertEqual(re.findall(r"^taken back: provider-b: (\w+)", done.stdout, re.M), ["unresolved"], done.stdout)
        # What left: of a suspicion nothing but scaffolds, rhythms and figures.
        for name in ("provider-b",):  # provider-a's is revoked by now
            with open(os.path.join(self.path("kept"), f"{name}-told.json")) as f:
                bundle = f.read()
            self.assertIn("Suspected distillation campaign", bundle)
            self.assertEqual(set(re.findall(r'"pattern":"([a-z-]+) ', bundle)), {"template-sketch", "rhythm"})
            for kept in ("user-account", "autonomous-system", "ipv4-addr", "acct-"):
                self.assertNotIn(f'"type":"{kept}"', bundle)


if __name__ == "__main__":
    unittest.main()
