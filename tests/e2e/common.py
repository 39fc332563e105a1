"""What the end-to-end tests share. Standard library only."""
import json, os, shutil, subprocess, tempfile, time, unittest, warnings

warnings.simplefilter("ignore", ResourceWarning)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("STILLWATCH", os.path.join(ROOT, "build", "stillwatch"))
SAMPLE = os.path.join(ROOT, "tests", "data", "sample")

class Case(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("ignore", ResourceWarning)
        self.dir = tempfile.mkdtemp(prefix="stillwatch-test-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def run_it(self, *args, code=0, stdin=None, timeout=120):
        """Runs the program, checks its exit code and gives (stdout, stderr)."""
        done = subprocess.run([BINARY, *args], input=stdin, capture_output=True, timeout=timeout)
        self.assertEqual(done.returncode, code, f"{args}: {done.stderr.decode(errors='replace')[-2000:]}")
        return done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data.encode() if isinstance(data, str) else data)
        return self.path(name)

    def lines(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read().splitlines()

def wait_until_reading(child, log, lake, seconds=60):
    """Returns once the child has the log open, or has ended. Before the lake is there, what has it
    open is only the look at its first record, which closes it again."""
    end = time.monotonic() + seconds
    while child.poll() is None and time.monotonic() < end:
        try:
            if os.path.isdir(lake) and any(os.readlink(f"/proc/{child.pid}/fd/{fd}") == os.path.realpath(log) for fd in os.listdir(f"/proc/{child.pid}/fd")):
                return
        except OSError:
            pass
        time.sleep(.002)

def record(n=0, **fields):
    o = {"exchange_id": f"x{n}", "ts": f"2026-04-{1 + n // 1440 % 28:02d}T{n // 60 % 24:02d}:{n % 60:02d}:00.000Z",
         "account_id": f"a{n % 7}", "messages": [{"role": "user", "content": f"question number {n} about a lamp"}]}
    o.update(fields)
    return json.dumps({k: v for k, v in o.items() if v is not None}) + "\n"

def sample_log(folder):
    target = os.path.join(folder, "exchanges.jsonl")
    subprocess.run(["zstd", "-dqf", os.path.join(SAMPLE, "exchanges.jsonl.zst"), "-o", target], check=True)
    return target
