"""What the end-to-end tests share. Standard library only."""
import json, os, signal, subprocess, tempfile, time, unittest, warnings

warnings.simplefilter("ignore", ResourceWarning)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("STILLWATCH", os.path.join(ROOT, "build", "stillwatch"))
PATIENCE = int(os.environ.get("STILLWATCH_PATIENCE", "1"))
SAMPLE = os.path.join(ROOT, "tests", "data", "sample")

# All folders of a run lie in one, which goes when Python ends: by a failure, ctrl-C or SIGTERM too.
signal.signal(signal.SIGTERM, signal.default_int_handler)
FOLDERS = tempfile.TemporaryDirectory(prefix="stillwatch-test-", ignore_cleanup_errors=True)

class Case(unittest.TestCase):
    def setUp(self):
        """A new folder; a test may call it again for one more."""
        warnings.simplefilter("ignore", ResourceWarning)
        folder = tempfile.TemporaryDirectory(dir=FOLDERS.name, ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        self.dir = folder.name

    def path(self, name):
        return os.path.join(self.dir, name)

    def run_it(self, *args, code=0, stdin=None, timeout=120, **how):
        """Runs the program, checks its exit code and gives (stdout, stderr)."""
        done = subprocess.run([BINARY, *args], input=stdin, capture_output=True, timeout=timeout * PATIENCE, **how)
        self.assertEqual(done.returncode, code, f"{args}: {done.stderr.decode(errors='replace')[-2000:]}")
        return done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def run_where(self, setup, *args):
        """Runs the program in a mount namespace of its own, after the shell line `setup`; what that
        mounts goes with the process. Gives (exit code, stdout, stderr)."""
        inside = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
        if subprocess.run([*inside, "mount", "-t", "tmpfs", "none", self.dir], capture_output=True).returncode != 0:
            self.skipTest("mounting is not allowed here")
        done = subprocess.run([*inside, "sh", "-ec", setup, BINARY, *args], capture_output=True, timeout=120 * PATIENCE)
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data.encode() if isinstance(data, str) else data)
        return self.path(name)

    def lines(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read().splitlines()

def wait_until_reading(child, log, lake, seconds=60 * PATIENCE):
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

def wait_until_handled(child, what):
    """Returns once the child has a handler of its own for a signal, or has ended."""
    end = time.monotonic() + 60 * PATIENCE
    while child.poll() is None and time.monotonic() < end:
        with open(f"/proc/{child.pid}/status") as f:
            caught = next(int(line.split()[1], 16) for line in f if line.startswith("SigCgt:"))
        if caught >> (what - 1) & 1:
            return
        time.sleep(.002)

def unpack_lz4(data, size):
    """One LZ4 block, by its specification (lz4_Block_format)."""
    out, at = bytearray(), 0
    while at < len(data):
        token = data[at]
        at += 1
        length = token >> 4
        if length == 15:
            while True:
                length += data[at]
                at += 1
                if data[at - 1] != 255:
                    break
        out += data[at:at + length]
        at += length
        if at >= len(data):
            break
        offset = data[at] | data[at + 1] << 8
        at += 2
        length = token & 15
        if length == 15:
            while True:
                length += data[at]
                at += 1
                if data[at - 1] != 255:
                    break
        length += 4
        while length > 0:
            piece = out[len(out) - offset:][:length]
            out += piece
            length -= len(piece)
    assert len(out) == size, (len(out), size)
    return bytes(out)

def lake_bytes(lake):
    """Every file of a lake as (path, bytes), columns decompressed. A block of a column is a checksum
    (16), method (1), size from here (4), size of the data (4), data; others stand as they are."""
    for folder, _, files in os.walk(lake):
        for file in files:
            path = os.path.join(folder, file)
            raw = open(path, "rb").read()
            if file.endswith(".bin"):
                out, at = b"", 0
                while at < len(raw):
                    method = raw[at + 16]
                    packed, size = (int.from_bytes(raw[at + k:at + k + 4], "little") for k in (17, 21))
                    data = raw[at + 25:at + 16 + packed]
                    if method == 0x82:
                        out += unpack_lz4(data, size)
                    elif method == 0x02:
                        out += data
                    else:
                        raise ValueError(f"{path}: compression {method:#x} is not known to this test")
                    at += 16 + packed
                raw = out
            yield path, raw

def record(n=0, **fields):
    o = {"exchange_id": f"x{n}", "ts": f"2026-04-{1 + n // 1440 % 28:02d}T{n // 60 % 24:02d}:{n % 60:02d}:00.000Z",
         "account_id": f"a{n % 7}", "messages": [{"role": "user", "content": f"question number {n} about a lamp"}]}
    o.update(fields)
    return json.dumps({k: v for k, v in o.items() if v is not None}) + "\n"

def sample_log(folder):
    target = os.path.join(folder, "exchanges.jsonl")
    subprocess.run(["zstd", "-dqf", os.path.join(SAMPLE, "exchanges.jsonl.zst"), "-o", target], check=True)
    return target
