"""The rig's variants on worlds of the project's own: the committed sample and a fresh seed."""
import os, subprocess, sys, unittest
from common import BINARY, ROOT, SAMPLE, Case

class Worlds(Case):
    def rig(self, world, *extra):
        done = subprocess.run([sys.executable, os.path.join(ROOT, "tools", "rig"), world, "--binary", BINARY, "--work", self.path("work"), *extra],
                              capture_output=True, timeout=500)
        self.assertEqual(done.returncode, 0, done.stdout.decode()[-4000:] + done.stderr.decode()[-2000:])

    def test_sample_and_all_its_variants(self):
        self.rig(SAMPLE)

    def test_another_seed(self):
        subprocess.run([sys.executable, os.path.join(ROOT, "tools", "make_world"), "--seed", "23", "--scale", ".6", "--out", self.path("world")],
                       check=True, capture_output=True)
        self.rig(self.path("world"), "--only", "plain,careful,nocampaign,notext")

if __name__ == "__main__":
    unittest.main()
