"""What the tests of gateways share: a model server, a Stillwatch to ask, gateways to start."""
import glob, hashlib, http.server, json, os, signal, socket, subprocess, sys, threading, time, urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from common import BINARY, Case, PATIENCE, ROOT  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))

# Keys of clients, by what the policy does to them.
KEYS = {"fine": "sk-fine-1", "denied": "sk-denied-1", "slow": "sk-slow-1", "unverified": "sk-unverified-1", "reduced": "sk-reduced-1",
        "watched": "sk-watched-1"}


def key_id(key):
    return hashlib.sha256(key.encode()).hexdigest()


def policy(directive):
    entry = lambda who: f"[{{key: {key_id(KEYS[who])}}}, {{account: acct-{who}}}]"
    return f"""version: 1
name: gateways
lists:
  - {{name: secret-list-denied, kind: deny, action: deny, enforce: true, entries: {entry("denied")}}}
  - {{name: secret-list-slow, kind: deny, action: throttle, rate: 1/hour, burst: 1, enforce: true, entries: {entry("slow")}}}
  - {{name: secret-list-unverified, kind: deny, action: verify, enforce: true, entries: {entry("unverified")}}}
  - {{name: secret-list-reduced, kind: deny, action: reduce, reduce_to: summary, enforce: true, entries: {entry("reduced")}}}
  - {{name: secret-list-watched, kind: deny, action: deny, entries: {entry("watched")}}}
""" + (f"""directives:
  - {{id: secret-directive, basis: test, models: ["restricted-*"], require: {{citizenship: [US]}}, unknown: deny, enforce: true}}
""" if directive else "")


class Model(http.server.BaseHTTPRequestHandler):
    """OpenAI's chat completions and Anthropic's messages, as far as a client looks at them."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        q = json.loads(self.rfile.read(int(self.headers["content-length"])))
        seen = {"path": self.path, "model": q["model"], "headers": {k.lower(): v for k, v in self.headers.items()}}
        self.server.seen.append(seen)
        # No model answers at once, and Caddy 2.6 drops one answer in some hundred that comes while it is
        # still closing the request's body (with and without forward_auth).
        time.sleep(.01)
        if q["model"] == "busy":  # without x-should-retry: clients try again
            return self.answer(429, {"error": {"message": "busy", "type": "rate_limit_error", "code": "rate_limit_exceeded", "param": None}},
                               {"retry-after-ms": "1"})
        if q["model"] == "forbidden":
            return self.answer(403, {"error": {"message": "the model's own", "type": "permission_error", "code": "own", "param": None}}, {})
        messages = self.path.endswith("/messages")
        if q.get("stream"):
            return self.stream(q, messages)
        if messages:
            return self.answer(200, {"id": "msg_1", "type": "message", "role": "assistant", "model": q["model"], "stop_reason": "end_turn",
                                     "stop_sequence": None, "content": [{"type": "text", "text": "an answer"}],
                                     "usage": {"input_tokens": 2, "output_tokens": 2}}, {})
        self.answer(200, {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": q["model"],
                          "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "an answer"}}],
                          "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}}, {})

    def stream(self, q, messages):
        if messages:
            events = [("message_start", {"type": "message_start", "message": {
                           "id": "msg_1", "type": "message", "role": "assistant", "model": q["model"], "content": [], "stop_reason": None,
                           "stop_sequence": None, "usage": {"input_tokens": 2, "output_tokens": 0}}}),
                      ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                      *[("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": t}})
                        for t in ("an ", "answer")],
                      ("content_block_stop", {"type": "content_block_stop", "index": 0}),
                      ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}}),
                      ("message_stop", {"type": "message_stop"})]
            body = "".join(f"event: {name}\ndata: {json.dumps(o)}\n\n" for name, o in events)
        else:
            chunk = lambda delta, end=None: {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": q["model"],
                                             "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
            body = "".join(f"data: {json.dumps(c)}\n\n" for c in (chunk({"role": "assistant", "content": "an "}), chunk({"content": "answer"}),
                                                                   chunk({}, "stop"))) + "data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in (body[:len(body) // 2].encode(), body[len(body) // 2:].encode()):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def answer(self, status, o, headers):
        body = json.dumps(o).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for k, v in headers.items():
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(body)


class ModelServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Model)
        self.seen = []

    def handle_error(self, request, client_address):
        pass  # a gateway that ends resets its connections


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class GatewayCase(Case):
    """One Stillwatch and one model server a class; `gateway(NAME)` starts examples/NAME/run before them."""
    token = ""
    directive = False  # one that wants to know the model: a gateway that does not show the body would be refused all

    @classmethod
    def setUpClass(cls):
        cls.folder = __import__("tempfile").mkdtemp(dir=__import__("common").FOLDERS.name)
        cls.model = ModelServer()
        threading.Thread(target=cls.model.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.model.server_close)
        cls.addClassCleanup(cls.model.shutdown)
        cls.start_stillwatch()

    @classmethod
    def start(cls, *args, **how):
        """A process that ends with the class, whatever happens."""
        child = subprocess.Popen(*args, **how)
        cls.addClassCleanup(stop, child)
        return child

    @classmethod
    def start_stillwatch(cls):
        at = lambda name: os.path.join(cls.folder, name)
        files = {"policy.yaml": policy(cls.directive), "token": cls.token, "config.yaml": f"""data: {at("data")}
listen: {{port: 0}}
otlp: {{http: {{port: 0}}, grpc: {{port: 0}}}}
ext_authz: {{port: 0}}
policy: {{file: {at("policy.yaml")}}}
passes: {{enabled: false}}
log: {{file: {at("log")}}}
drain_s: 5
""" + (f"tokens: [{{person: gateway, roles: [decide, ingest, analyst], file: {at('token')}}}]\n" if cls.token else "")}
        for name, text in files.items():
            with open(at(name), "w") as f:
                f.write(text)
        cls.restart()

    @classmethod
    def restart(cls):
        """Starts `stillwatch serve` on the class's folder and waits until it serves."""
        at = lambda name: os.path.join(cls.folder, name)
        if os.path.exists(at("log")):
            os.remove(at("log"))
        with open(at("stderr"), "w") as f:
            cls.stillwatch = cls.start([BINARY, "serve", "--config", at("config.yaml")], stderr=f, stdout=f)
        end = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < end and cls.stillwatch.poll() is None:
            said = []
            if os.path.exists(at("log")):
                with open(at("log")) as f:
                    said = [json.loads(line) for line in f if line.endswith("\n")]
            for s in (s for s in said if s["event"] == "serving"):
                cls.ports = {"http": s["port"], "ext_authz": s["ext_authz_port"], "otlp": s["otlp_grpc_port"]}
                return
            time.sleep(.02)
        raise AssertionError("stillwatch did not start: " + open(at("stderr")).read()[-2000:])

    def setUp(self):
        super().setUp()
        self.model.seen.clear()

    @classmethod
    def gateway(cls, name, port_of="http", **environment):
        """Starts the example and gives its address, once it accepts connections."""
        for attempt in range(5):
            port = free_port()  # nobody else's in the moment until the gateway has it; if not, another
            addresses = {"LISTEN": port, "STILLWATCH": cls.ports[port_of], "MODEL": cls.model.server_address[1]}
            with open(os.path.join(cls.folder, f"{name}.log"), "w") as log:
                child = cls.start([os.path.join(ROOT, "examples", name, "run")], cwd=cls.folder, stdout=subprocess.DEVNULL, stderr=log,
                                  env={**os.environ, **{k: f"127.0.0.1:{v}" for k, v in addresses.items()}, **environment})
            end = time.monotonic() + 60 * PATIENCE
            while time.monotonic() < end and child.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    return f"http://127.0.0.1:{port}"
                except OSError:
                    time.sleep(.02)
        raise AssertionError(f"{name} did not start: " + open(os.path.join(cls.folder, f"{name}.log")).read()[-2000:])

    def node(self, script, jobs, *args):
        done = subprocess.run(["node", os.path.join(HERE, script), *args], input=json.dumps(jobs), capture_output=True, text=True,
                              timeout=120 * PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def audited(self, since=0, least=0):
        """Decisions in the audit log, those before `since` left out. What is offered to it is written a
        moment later, so this waits for `least` of them."""
        end = time.monotonic() + 60 * PATIENCE
        while True:
            found = []
            for name in sorted(glob.glob(os.path.join(self.folder, "data", "audit", "audit-*.jsonl"))):
                with open(name) as f:
                    found += [json.loads(line) for line in f if line.endswith("\n")]
            found = [r for r in found if r["actor"] == "gateway"][since:]
            if len(found) >= least or time.monotonic() > end:
                return found
            time.sleep(.02)

    def audit_size(self):
        """How many there are once nothing is on its way: the log has one order, and it ends on a mark."""
        mark = f"mark-{time.monotonic_ns()}"
        body = json.dumps({"account_id": "acct-denied", "api_key_id": mark}).encode()
        headers = {"content-type": "application/json", **({"authorization": f"Bearer {self.token}"} if self.token else {})}
        self.assertEqual(self.get(f"http://127.0.0.1:{self.ports['http']}/v1/decide", headers, body)[0], 200)
        end = time.monotonic() + 60 * PATIENCE
        while True:
            found = self.audited()
            if any(mark in json.dumps(r) for r in found):
                return len(found)
            self.assertLess(time.monotonic(), end, "the audit log does not say what was decided")
            time.sleep(.02)

    def get(self, url, headers={}, body=None):
        """(status, headers, body) of a plain request."""
        request = urllib.request.Request(url, headers=headers, data=body)
        try:
            with urllib.request.urlopen(request, timeout=60 * PATIENCE) as r:
                return r.status, dict(r.headers), r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, dict(e.headers), e.read().decode()


def stop(child):
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(60 * PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise AssertionError(f"{child.args} did not end within a minute of SIGTERM")
