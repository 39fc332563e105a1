"""ClickHouse servers for a test: Debian's clickhouse-server on loopback, on ports that the kernel chose, in
folders of the test's own. They die with the test."""
import ctypes, os, signal, socket, subprocess, time, urllib.request
from common import PATIENCE

BINARY = "/usr/sbin/clickhouse-server"
USERS = """<yandex><profiles><default/></profiles><quotas><default/></quotas><users>%s</users></yandex>""" % "".join(
    f"<{name}><password>{password}</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></{name}>"
    for name, password in (("default", ""), ("guarded", "se:c@ret")))

def free_ports(n):
    held = [socket.socket() for _ in range(n)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports

def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)

class Servers:
    """`n` servers that know each other as cluster `test`."""
    def __init__(self, folder, n):
        self.folder, self.n, self.procs = folder, n, [None] * n
        for _ in range(5):  # somebody may take a port before the server does
            ports = free_ports(2 * n)
            self.http, self.tcp = ports[:n], ports[n:]
            for i in range(n):
                self.configure(i)
                self.start(i)
            if all([self.ready(i) for i in range(n)]):
                return
            self.stop()
        raise RuntimeError("no ClickHouse server starts here (tools/setup test installs clickhouse-server)")

    def configure(self, i):
        f = f"{self.folder}/server{i}"
        os.makedirs(f, exist_ok=True)
        shards = "".join(f"<shard><replica><host>127.0.0.1</host><port>{port}</port></replica></shard>" for port in self.tcp)
        with open(f"{f}/users.xml", "w") as out:
            out.write(USERS)
        with open(f"{f}/config.xml", "w") as out:
            out.write(f"<yandex><logger><level>warning</level><log>{f}/log</log><errorlog>{f}/err</errorlog></logger><listen_host>127.0.0.1"
                      f"</listen_host><http_port>{self.http[i]}</http_port><tcp_port>{self.tcp[i]}</tcp_port><path>{f}/data/</path>"
                      f"<tmp_path>{f}/tmp/</tmp_path><user_files_path>{f}/files/</user_files_path><format_schema_path>{f}/schemas/"
                      "</format_schema_path><users_config>users.xml</users_config><default_profile>default</default_profile>"
                      "<default_database>default</default_database><mark_cache_size>268435456</mark_cache_size>"
                      f"<remote_servers><test>{shards}</test></remote_servers></yandex>")

    def start(self, i):
        f = f"{self.folder}/server{i}"
        with open(f"{f}/out", "ab") as out:
            self.procs[i] = subprocess.Popen([BINARY, f"--config-file={f}/config.xml"], cwd=f, stdout=out, stderr=out, preexec_fn=die_with_parent)

    def ready(self, i):
        end = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < end and self.procs[i].poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http[i]}/ping", timeout=5):
                    return True
            except OSError:
                time.sleep(.05)
        return False

    def signal(self, i, what):
        self.procs[i].send_signal(what)

    def kill(self, i):
        self.procs[i].kill()
        self.procs[i].wait()

    def stop(self):
        for p in self.procs:
            if p is not None and p.poll() is None:
                p.kill()
                p.wait()

    def url(self, database, wait=60, user="", hosts=None):
        hosts = hosts or ",".join(f"127.0.0.1:{port}" for port in self.http)
        return f"clickhouse://{user}{hosts}/{database}?cluster=test&wait={wait}"
